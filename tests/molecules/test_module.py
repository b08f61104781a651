"""How GraphAF trains: losses, figures, hooks, properties, checkpoints."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from torch_geometric.data import Batch

from flowsuite.core.training.checkpoint import load_module, read_checkpoint
from flowsuite.molecules import GraphAFModule
from flowsuite.molecules.properties import PROPERTIES
from flowsuite.molecules.sampler import Generated
from flowsuite.molecules.smiles import parse
from tests.molecules.small import NATS, data, module, save, trainer

CONDITIONAL = {"properties": ["logp", "qed"]}


def fit(model, folder, steps=4, given=None, **options) -> pl.Trainer:
    pl.seed_everything(1)
    made = trainer(folder, max_steps=steps, **options)
    made.fit(model, datamodule=given or data(folder), ckpt_path=options.pop("ckpt_path", None))
    return made


def state(model) -> dict[str, torch.Tensor]:
    average = model.ema.average if model.ema is not None else {}
    return {**model.state_dict(), **{f"ema.{name}": value for name, value in average.items()}}


@pytest.mark.parametrize(
    "flow",
    [
        {},
        {"decision": "modulo", "decision_options": {"hidden": 16, "layers": 2}},
        {
            "conditioner": "rgcn",
            "stop": False,
            "decision": "affine",
            "decision_options": {"hidden": 16, "layers": 2},
        },
    ],
    ids=["ours", "graphdf", "published"],
)
def test_training_lowers_the_loss(flow, tmp_path):
    model, molecules = module(flow), data(tmp_path)
    before = trainer(tmp_path).validate(model, datamodule=molecules, verbose=False)[0]
    made = fit(model, tmp_path, 24, molecules)
    logged = made.callback_metrics
    assert {f"{stage}/{name}" for stage in ("train", "val") for name in NATS} <= logged.keys()
    assert "train/grad_norm" in logged and all(value.isfinite() for value in logged.values())
    assert logged["val/loss"] < before["val/loss"] - 2
    assert logged["val/atom_nats"] < before["val/atom_nats"]
    assert logged["val/bond_nats"] < before["val/bond_nats"]


def test_figures_are_means_over_molecules_and_steps(tmp_path):
    model, molecules = module().eval(), data(tmp_path)
    batch = next(iter(molecules.val_dataloader()))
    loss, figures = model.loss(*model.unpack(batch), "val")
    nats, (atoms, bonds) = model.flow.log_probs(batch)
    assert nats.shape == (10,) and len(atoms) == int(molecules.packed("val").sizes.sum()) + 10  # a STOP for each
    torch.testing.assert_close(loss, -nats.mean())
    torch.testing.assert_close(figures["nats_per_molecule"], figures["atom_nats"] + figures["bond_nats"])
    torch.testing.assert_close(figures["nats_per_step"], 10 * loss / (len(atoms) + len(bonds)))
    found = trainer(tmp_path).predict(model, datamodule=molecules)
    assert len(found) == 1 and found[0].shape == (10,) and found[0].isfinite().all()


def test_states_are_laid_out_before_the_batch_moves(tmp_path):
    model = module()
    batch = next(iter(data(tmp_path).val_dataloader()))
    assert isinstance(batch, Batch)
    prefixes, properties = model.on_before_batch_transfer(batch, 0)
    assert prefixes.shape == (10,) and properties is None
    torch.testing.assert_close(model.flow(prefixes), model.flow(batch))
    assert model.on_before_batch_transfer((prefixes, None), 0) == (prefixes, None)


def test_evaluation_does_not_depend_on_the_batch_size(tmp_path):
    model = module().eval()
    found = [
        trainer(tmp_path).validate(model, datamodule=data(tmp_path, batch_size=size), verbose=False)[0]["val/loss"]
        for size in (3, 10)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


class Snapshot(pl.Callback):
    """Saves after so many batches."""

    def __init__(self, path, batches: int):
        self.path, self.left = path, batches

    def on_train_batch_end(self, trainer, *args):
        self.left -= 1
        if self.left == 0:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("batches", [3, 6, 8])
def test_a_resumed_run_is_the_uninterrupted_one(batches, tmp_path):
    def run(ckpt_path=None, callbacks=()):
        pl.seed_everything(1)
        model = module(CONDITIONAL, ema_decay=0.9, warmup_steps=5)
        made = trainer(tmp_path, max_steps=10, callbacks=list(callbacks))
        given = data(tmp_path, properties=CONDITIONAL["properties"])
        made.fit(model, datamodule=given, ckpt_path=ckpt_path, weights_only=True)
        return state(model)

    path = tmp_path / "snapshot.ckpt"
    whole = run(callbacks=[Snapshot(path, batches)])
    assert read_checkpoint(path)["global_step"] == batches
    resumed = run(str(path))
    assert whole.keys() == resumed.keys()
    assert not [name for name in whole if not torch.equal(whole[name], resumed[name])]


def test_averaged_weights_are_evaluated_and_sampled(tmp_path):
    model, molecules = module(ema_decay=0.9), data(tmp_path)
    made = fit(model, tmp_path, 4, molecules)
    made.save_checkpoint(tmp_path / "model.ckpt")
    averaged, raw = (load_module(tmp_path / "model.ckpt", use_ema=use) for use in (True, False))
    name = next(name for name in model.ema.average if name.startswith("flow.atom_decision"))
    torch.testing.assert_close(averaged.state_dict()[name], model.ema.average[name], rtol=0, atol=0)
    torch.testing.assert_close(raw.state_dict()[name], model.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(averaged.state_dict()[name], raw.state_dict()[name])
    losses = [trainer(tmp_path).validate(m, datamodule=molecules, verbose=False)[0] for m in (averaged, raw)]
    assert made.callback_metrics["val/loss"].item() == pytest.approx(losses[0]["val/loss"], rel=1e-5)
    assert losses[0]["val/loss"] != pytest.approx(losses[1]["val/loss"], rel=1e-5)


def test_properties_are_standardised_with_the_training_data(tmp_path):
    model, molecules = module(CONDITIONAL), data(tmp_path, properties=CONDITIONAL["properties"])
    made = fit(model, tmp_path, 3, molecules)
    values = torch.tensor([[PROPERTIES[p](parse(s)) for p in ("logp", "qed")] for s in molecules.smiles("train")])
    made.save_checkpoint(tmp_path / "model.ckpt")
    loaded = load_module(tmp_path / "model.ckpt")
    torch.testing.assert_close(loaded.flow.property_mean, values.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loaded.flow.property_std, values.std(0, unbiased=False), rtol=1e-4, atol=1e-4)
    batch = next(iter(molecules.val_dataloader()))
    standard = loaded.flow.standardize(batch.y)
    torch.testing.assert_close(standard, (batch.y - loaded.flow.property_mean) / loaded.flow.property_std)
    other = batch.clone()
    other.y = batch.y + 3
    assert loaded.loss(*loaded.unpack(batch), "val")[0] != loaded.loss(*loaded.unpack(other), "val")[0]


def test_wanted_properties(tmp_path):
    model = load_module(save(tmp_path / "model.ckpt", **CONDITIONAL))
    made = model.generate(3, property={"qed": 0.5, "logp": 1.0}, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([[1.0, 0.5]]).expand(3, -1)
    same = model.generate(3, rows, generator=torch.Generator().manual_seed(0))
    assert isinstance(made, Generated) and all(
        torch.equal(a, b) for a, b in zip(made.molecules.dense(), same.molecules.dense(), strict=True)
    )
    with pytest.raises(ValueError, match=r"conditional: give --property logp=\.\.\.,qed=\.\.\."):
        model.generate(3)
    with pytest.raises(ValueError, match="the properties of this model are logp, qed, got logp"):
        model.generate(3, property={"logp": 1.0})
    with pytest.raises(ValueError, match="this model is not conditional, got logp"):
        module().generate(3, property={"logp": 1.0})
    assert model.example_images() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"atoms": ["C", "N", "O", "F"]}, "the data have the atom classes C, N, O, F, the model C, N, O, F, N., O-"),
        ({"properties": ["qed", "logp"]}, "the data have the properties qed, logp, the model logp, qed"),
        ({}, "the data have the properties none, the model logp, qed"),
    ],
)
@pytest.mark.parametrize("what", ["fit", "test", "validate", "predict"])
def test_data_of_another_kind_are_refused(what, options, message, tmp_path):
    model = module(CONDITIONAL)
    with pytest.raises(ValueError, match=message):
        getattr(trainer(tmp_path, max_steps=1), what)(model, datamodule=data(tmp_path, **options))


def test_larger_molecules_than_the_model_has_are_refused(tmp_path):
    with pytest.raises(ValueError, match="max_atoms of the data is 8, of the model 5"):
        fit(module({"max_atoms": 5}), tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test_samples": -1}, ValueError, "expected test_samples >= 0"),
        ({"sample_batch": 0}, ValueError, "sample_batch >= 1"),
        ({"test_temperature": float("nan")}, ValueError, "test_temperature >= 0"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        module(**options)


def test_other_flows_are_refused():
    with pytest.raises(TypeError, match="flow must be a GraphAF, got Linear"):
        GraphAFModule(torch.nn.Linear(2, 2))


def test_start_keeps_its_atoms_first_in_any_order():
    model = module().eval()
    atoms, bonds = model.starts("OCC(F)N", 40, 9, torch.Generator().manual_seed(0))
    assert atoms.shape == (40, 5) and bonds.shape == (40, 5, 5)
    assert (atoms.sort(1).values == atoms[0].sort().values).all() and len(atoms.unique(dim=0)) > 3
    assert (bonds.long().sum((1, 2)) == 8).all()


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C1CC", "unparsable"),
        ("", "empty"),
        ("CC.O", "disconnected|fragment"),
        ("CCS", "outside the vocabulary.*S"),
    ],
)
def test_wrong_starts(smiles, message):
    with pytest.raises(ValueError, match=f"start .*({message})"):
        module().generate(2, start=smiles)


def test_example_picture():
    picture = module().eval().example_images()
    assert picture.ndim == 3 and picture.shape[0] == 3 and 0 <= picture.min() < picture.max() <= 1
