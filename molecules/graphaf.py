"""GraphAF: molecules as an autoregressive flow over atoms and bonds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from flowsuite.molecules.decisions import DECISIONS, Decision
from flowsuite.molecules.decisions.decision import ContinuousDecision
from flowsuite.molecules.gine import GINE
from flowsuite.molecules.noise import placed
from flowsuite.molecules.packed import to_dense
from flowsuite.molecules.prefix import Prefixes, Steps, expand
from flowsuite.molecules.rgcn import RGCN, Encoded
from flowsuite.molecules.sampler import Generated, Sampler
from flowsuite.molecules.vocabulary import BOND_NAMES, Vocabulary

CONDITIONERS = {"gine": GINE, "rgcn": RGCN}


class GraphAF(nn.Module):
    """An autoregressive flow on molecular graphs (arXiv 2001.09382), published and improved, by options.

    Atoms are added in breadth-first order, each followed by its bonds to the atoms before it:

        log p(G, order) = sum_i [log p(atom_i | G_<i) + sum_{j = max(0, i - W)}^{i - 1} log p(bond_ij | G_<ij)]

    Every decision is a flow of K numbers of noise given the vectors of the graph so far, see `Decision`. The defaults
    are ours: a STOP decision, GINE features, exact categorical decisions.

    Data are PyG batches in generation order (`flowsuite.molecules.packed.ordered_batch`). Densities are of one order;
    with a continuous decision they are a bound (one draw of the dequantisation noise).

    Args:
        atoms: atom classes, or the name of a preset, see `Vocabulary`.
        max_atoms: N, the largest molecule.
        window: W, the longest bond in places of the order.
        stop: a class STOP among the decisions about atoms.
        conditioner: "gine" or "rgcn".
        hidden: width of the conditioner.
        layers: its graph convolutions.
        decision: "categorical", "spline", "modulo" or "affine".
        decision_options: options of both decisions, such as `layers`, `hidden`.
        batch_norm: of an RGCN, "masked", "reference" or None.
        out: width of an RGCN's atom and graph vectors, `hidden` by default.
        learn_prior: one learned log-variance of the base of continuous decisions.
        properties: names of the numbers that generation is conditional on; the data must have them.
    """

    def __init__(
        self,
        atoms: Sequence[str] | str = "qm9-charged",
        max_atoms: int = 9,
        window: int = 8,
        stop: bool = True,
        conditioner: str = "gine",
        hidden: int = 128,
        layers: int = 4,
        decision: str = "categorical",
        decision_options: dict[str, Any] | None = None,
        batch_norm: str | None = "masked",
        out: int | None = None,
        learn_prior: bool = False,
        properties: Sequence[str] = (),
    ):
        super().__init__()
        if max_atoms < 1 or window < 1:
            raise ValueError(f"expected max_atoms and window >= 1, got {max_atoms}, {window}")
        for name, value, known in (("conditioner", conditioner, CONDITIONERS), ("decision", decision, DECISIONS)):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}: expected one of {', '.join(known)}")
        self.vocabulary = Vocabulary(atoms)
        self.max_atoms, self.window, self.stop = max_atoms, window, stop
        self.properties, self.context_features = tuple(properties), len(properties)
        if properties and conditioner != "gine":
            raise ValueError("only the conditioner 'gine' takes properties")
        if conditioner == "gine":
            self.conditioner = GINE(len(self.vocabulary), hidden, layers, max_atoms, len(properties))
        else:
            self.conditioner = RGCN(len(self.vocabulary), hidden, out or hidden, layers, batch_norm, max_atoms)
        self.register_buffer("property_mean", torch.zeros(len(properties)))
        self.register_buffer("property_std", torch.ones(len(properties)))
        options = dict(decision_options or {})
        if issubclass(DECISIONS[decision], ContinuousDecision):
            self.prior_ln_var = nn.Parameter(torch.zeros(1), requires_grad=learn_prior)
            options["prior_log_var"] = self.prior_ln_var
        elif learn_prior:
            raise ValueError(f"a {decision} decision has no continuous base to learn the variance of")
        cls = DECISIONS[decision]
        try:
            self.atom_decision: Decision = cls(len(self.vocabulary) + stop, self.conditioner, bond=False, **options)
            self.edge_decision: Decision = cls(len(BOND_NAMES) + 1, self.conditioner, bond=True, **options)
        except TypeError as error:
            raise ValueError(f"decision_options of {decision}: {str(error).partition(') ')[2] or error}") from None

    # Density

    def expand(self, batch: Batch) -> Prefixes:
        """All states and decisions of a batch, on its device; best done before it goes to a GPU."""
        atoms, bonds = to_dense(batch)
        if atoms.shape[1] > self.max_atoms:
            raise ValueError(f"a molecule of {atoms.shape[1]} atoms, the model's largest is {self.max_atoms}")
        place = torch.arange(atoms.shape[1], device=bonds.device)
        if bool((bonds.bool() & (place[:, None] - place > self.window)).any()):
            raise ValueError(f"a bond spans more than {self.window} places, the model's window: reorder the atoms")
        return expand(atoms, bonds, self.vocabulary, self.window, self.stop)

    def conditioner_device(self) -> torch.device:
        return next(self.conditioner.parameters()).device

    def standardize(self, context: Tensor | None) -> Tensor | None:
        """Properties (B, P) in units of the training data's spread."""
        if not self.properties:
            return None
        if context is None or context.ndim != 2 or context.shape[1] != len(self.properties):
            got = "none" if context is None else tuple(context.shape)
            raise ValueError(f"expected properties {', '.join(self.properties)} of every molecule, got {got}")
        return (context - self.property_mean) / self.property_std

    def check_rows(self, context: Tensor | None, n: int) -> None:
        """That a context has a row for each of n molecules."""
        if self.properties and context is not None and context.shape[0] != n:
            raise ValueError(f"expected the properties of {n} molecules, got those of {context.shape[0]}")

    def encode_states(self, prefixes: Prefixes, context: Tensor | None = None) -> Encoded:
        return self.conditioner(prefixes.graphs, self.standardize(context))

    def decisions(self, prefixes: Prefixes) -> tuple[tuple[Decision, Steps], tuple[Decision, Steps]]:
        return (self.atom_decision, prefixes.atoms), (self.edge_decision, prefixes.edges)

    def log_prob(self, x: Batch | Prefixes, context: Tensor | None = None) -> Tensor:
        """`log p(G, order)` in nats, (B,), of molecules in generation order; a bound, see the class."""
        total, _ = self.log_probs(x, context)
        return total

    def log_probs(self, x: Batch | Prefixes, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """`log_prob`, and its terms, one for each decision: of atoms, of bonds."""
        prefixes = x if isinstance(x, Prefixes) else self.expand(x)
        self.check_rows(context, prefixes.molecules)
        encoded = self.encode_states(prefixes, context)
        total, terms = 0.0, []
        for decision, steps in self.decisions(prefixes):
            terms.append(decision.log_prob(decision.prepare(encoded, steps), steps.target))
            zeros = terms[-1].new_zeros(prefixes.molecules)
            total = total + zeros.index_add(0, steps.molecule, terms[-1])
        return total, terms

    def forward(self, x: Batch | Prefixes, context: Tensor | None = None) -> Tensor:
        """`log_prob`: the call that wrappers such as DDP intercept."""
        return self.log_prob(x, context)

    def encode(self, x: Batch | Prefixes, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Standard normal noise (decisions, K) that decodes to the same molecules: of atoms, of bonds."""
        prefixes = x if isinstance(x, Prefixes) else self.expand(x)
        encoded = self.encode_states(prefixes, context)
        atoms, edges = (d.encode(d.prepare(encoded, steps), steps.target) for d, steps in self.decisions(prefixes))
        return atoms, edges

    # Generation

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> Generated:
        """`n` molecules; `options` are those of `Sampler`: `max_atoms`, `min_atoms`, `check`, `start`, `noise`."""
        return Sampler(self, n, context, temperature, generator=generator, **options).run()

    def decode(self, atoms: Tensor, edges: Tensor, x: Batch | Prefixes, context: Tensor | None = None) -> Generated:
        """Molecules from noise as `encode` gives it; `x` says only which decision each row of noise belongs to."""
        prefixes = x if isinstance(x, Prefixes) else self.expand(x)
        noise = placed(prefixes, atoms, edges, self.max_atoms)
        sampler = Sampler(self, prefixes.molecules, context, noise=noise, check=False)
        if not self.stop:  # such a model cannot say where it ends: the noise ends there
            sampler.largest = torch.bincount(prefixes.atoms.molecule, minlength=prefixes.molecules)
        return sampler.run()
