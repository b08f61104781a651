"""How flows on molecules train, and what is measured of their molecules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.seeding import fold_seed, global_seed
from flowsuite.molecules.chemistry import EncodingError, graph_from_mol, read_mol, smiles_from_packed
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.metrics.table import Report
from flowsuite.molecules.packed import PackedMolecules, ordered_batch, to_dense
from flowsuite.molecules.prefix import Prefixes
from flowsuite.molecules.sampler import Generated
from flowsuite.molecules.samples import remove_parts, save_part, write_all
from flowsuite.molecules.testing import draw_both, judge, print_headline, save

EXAMPLES = 24  # molecules in TensorBoard's picture


class MoleculeModule(FlowModule):
    """What all flows on molecules share. The flow has a `vocabulary`, `properties` that it is conditional on, and
    `expand(batch)`, which turns a PyG batch into what its density takes; a subclass defines `loss`, `generate` and
    `rebuilt`.

    After a test, all processes together draw `test_samples` molecules with valence checks, and as many without; one
    compares them with the training and test molecules, see `flowsuite.molecules.testing`, and writes `molecules.json`.

    Args:
        flow: the model, of the class `flow_class`.
        test_samples: molecules to draw after a test, by a conditional model with the properties of test molecules; 0
            for none.
        test_temperature: factor on the noise, there.
        sample_batch: molecules drawn at a time, there.
        kwargs: those of `FlowModule`.
    """

    flow_class: type[nn.Module]
    compiles = False

    def __init__(
        self,
        flow: nn.Module,
        test_samples: int = 1000,
        test_temperature: float = 1.0,
        sample_batch: int = 500,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if not isinstance(flow, self.flow_class):
            raise TypeError(f"flow must be a {self.flow_class.__name__}, got {type(flow).__name__}")
        if test_samples < 0 or sample_batch < 1 or not test_temperature >= 0:
            raise ValueError(
                "expected test_samples >= 0, sample_batch >= 1 and test_temperature >= 0, got "
                f"{test_samples}, {sample_batch}, {test_temperature}"
            )
        self.test_samples, self.test_temperature, self.sample_batch = test_samples, test_temperature, sample_batch

    # Data

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """What the density takes of a batch of molecules, made on the CPU still: nothing waits for the GPU there."""
        return (self.flow.expand(batch), batch.y) if isinstance(batch, Batch) else batch

    def unpack(self, batch):
        if isinstance(batch, Batch):
            return self.flow.expand(batch), batch.y
        return super().unpack(batch)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.check_data()
        report = getattr(getattr(self.trainer, "datamodule", None), "report", None)
        if report is not None:
            self.print(report.summary())

    def on_validation_start(self) -> None:
        self.check_data()

    def on_test_start(self) -> None:
        self.check_data()

    def on_predict_start(self) -> None:
        self.check_data()

    def check_data(self) -> None:
        """That data and model speak of the same atoms and properties."""
        data = getattr(self.trainer, "datamodule", None)
        vocabulary = getattr(data, "vocabulary", None)
        for name in ("window", "max_atoms"):
            theirs, ours = getattr(data, name, 0), getattr(self.flow, name, None)
            if ours is not None and theirs > ours:
                raise ValueError(f"{name} of the data is {theirs}, of the model {ours}: give both the same `{name}`")
        if vocabulary is not None and vocabulary != self.flow.vocabulary:
            raise ValueError(
                f"the data have the atom classes {', '.join(vocabulary.names)}, the model "
                f"{', '.join(self.flow.vocabulary.names)}: give both the same `atoms`"
            )
        if self.flow.properties and hasattr(data, "packed"):
            names = tuple(data.packed("train").names)
            if names != self.flow.properties:
                raise ValueError(
                    f"the data have the properties {', '.join(names) or 'none'}, the model "
                    f"{', '.join(self.flow.properties)}: give both the same `properties`"
                )

    # Generation

    def rebuilt(self, packed: PackedMolecules) -> PackedMolecules:
        """The molecules, encoded and decoded again."""
        raise NotImplementedError(f"{type(self).__name__} must define rebuilt(packed)")

    def save_samples(self, samples, out, first):
        return [save_part(samples, Path(out), first)]

    def finish_samples(self, out, firsts, sdf: bool = False, svg: bool = False):
        """`molecules.smi`, `.csv`, `.png` (or `.svg`) and, if asked for, `.sdf` of all samples."""
        return write_all(Path(out), firsts, sdf, svg)

    def discard_samples(self, out, firsts):
        remove_parts(Path(out), firsts)

    @torch.no_grad()
    def example_images(self):
        """A grid of generated molecules."""
        from flowsuite.molecules.draw import grid_tensor

        if self.flow.properties:
            return None
        generated = self.generate(EXAMPLES)
        return grid_tensor(smiles_from_packed(generated.molecules))

    # Testing

    def report_folder(self) -> Path:
        """The folder of the run whose checkpoint is tested, else the root of all runs."""
        checkpoint = self.trainer.ckpt_path
        if checkpoint and Path(checkpoint).parent.name == "checkpoints":
            return Path(checkpoint).parent.parent
        return Path(self.trainer.default_root_dir)

    def on_test_epoch_end(self) -> None:
        if self.test_samples:
            data = getattr(self.trainer, "datamodule", None)
            drawn = draw_both(self, data)
            if self.trainer.is_global_zero:
                self.report(*judge(self, data, drawn))
        super().on_test_epoch_end()

    def report(self, report: Report, figures: dict[str, float]) -> None:
        """Prints, writes and logs what `judge` found."""
        print_headline(figures, self.test_samples, self.test_temperature)
        report.print()
        path = save(report, figures, self.report_folder())
        self.print(f"all figures and histograms: {path}")
        self.log_dict({f"test/{name}": value for name, value in figures.items()}, rank_zero_only=True)


class GraphAFModule(MoleculeModule):
    """Trains a `GraphAF` by maximum likelihood of a random breadth-first order of each molecule, new every epoch.

    Logged: `nats_per_molecule`, `-log p(G, order)` (with continuous decisions a bound), its parts `atom_nats` and
    `bond_nats`, and `nats_per_step`.

    Args:
        flow: a `GraphAF`.
        kwargs: those of `MoleculeModule` and `FlowModule`.
    """

    flow_class = GraphAF
    context_by_option = True

    def __init__(self, flow: GraphAF, **kwargs):
        super().__init__(flow, **kwargs)

    def _initialize_flow(self, batch) -> None:
        self.flow_initialized = True  # nothing here starts from the data but the scale of the properties

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if self.flow.properties and hasattr(data, "normalization"):
            scale = data.normalization()
            self.flow.property_mean.copy_(scale["mean"])
            self.flow.property_std.copy_(scale["std"])

    # Loss

    def loss(self, x: Prefixes, context, stage):
        nats, (atoms, bonds) = self.flow.log_probs(x, context if self.flow.properties else None)
        loss, n = -nats.mean(), x.molecules
        figures = {
            "nats_per_molecule": loss,
            "atom_nats": -atoms.sum() / n,
            "bond_nats": -bonds.sum() / n,
            "nats_per_step": -(atoms.sum() + bonds.sum()) / (atoms.numel() + bonds.numel()),
        }
        return loss, figures

    # Generation

    def generate(
        self,
        n,
        context: Any = None,
        temperature=1.0,
        generator=None,
        max_atoms: int | None = None,
        min_atoms: int = 1,
        unchecked: bool = False,
        start: str | None = None,
        property: dict[str, float] | None = None,
    ) -> Generated:
        """`n` molecules.

        Args:
            n: how many.
            context: (n, P) properties, or see `property`.
            temperature: factor on the noise.
            generator: on this module's device.
            max_atoms, min_atoms: bounds of the size.
            unchecked: refuse nothing.
            start: a SMILES that all are built upon; its atoms come first, in a random order for each.
            property: the same wanted properties for all.
        """
        largest = self.flow.max_atoms if max_atoms is None else max_atoms
        first = None if start is None else self.starts(start, n, largest, generator)
        context = self.wanted(property, n) if property is not None else context
        if self.flow.properties and context is None:
            names = "=...,".join(self.flow.properties)
            raise ValueError(f"this model is conditional: give --property {names}=..., or --context FILE")
        return self.flow.sample(
            n,
            context,
            temperature,
            generator,
            max_atoms=max_atoms,
            min_atoms=min_atoms,
            check=not unchecked,
            start=first,
        )

    def wanted(self, values: dict[str, float], n: int) -> Tensor:
        if not self.flow.properties:
            raise ValueError(f"--property: this model is not conditional, got {', '.join(values)}")
        if set(values) != set(self.flow.properties):
            known = ", ".join(self.flow.properties)
            raise ValueError(f"--property: the properties of this model are {known}, got {', '.join(values)}")
        row = torch.tensor([values[name] for name in self.flow.properties], device=self.device)
        return row.expand(n, -1)

    def starts(self, smiles: str, n: int, max_atoms: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """`n` random breadth-first orders of a molecule, dense."""
        try:
            graph = graph_from_mol(read_mol(smiles), self.flow.vocabulary, max_atoms)
        except EncodingError as error:
            raise ValueError(f"start {smiles!r}: {error}") from None
        packed = PackedMolecules.from_graphs([graph], self.flow.vocabulary)
        seed = torch.randint(2**62, (1,), device=self.device, generator=generator)
        orders = torch.Generator().manual_seed(int(seed))
        batch = ordered_batch(packed, torch.zeros(n, dtype=torch.long), self.flow.window, orders)
        return to_dense(batch)

    @torch.no_grad()
    def rebuilt(self, packed: PackedMolecules) -> PackedMolecules:
        orders = torch.Generator().manual_seed(fold_seed(global_seed(), "reconstruction"))
        batch = ordered_batch(packed, torch.arange(len(packed)), self.flow.window, orders)
        prefixes = self.flow.expand(batch).to(self.device)
        context = packed.properties.to(self.device) if self.flow.properties else None
        return self.flow.decode(*self.flow.encode(prefixes, context), prefixes, context).molecules
