"""Any table: formats, splits, standardisation, checkpoints, errors."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from flowsuite.core.data import Table
from flowsuite.core.maf import MAF
from flowsuite.core.training.module import FlowModule

RAW = np.random.RandomState(0).gamma(2.0, 3.0, (60, 3))


def write(folder, suffix):
    path = folder / f"t{suffix}"
    if suffix == ".npy":
        np.save(path, RAW)
    elif suffix == ".npz":
        np.savez(path, other=RAW[:5], table=RAW)
    else:
        path.write_text("a,b, c\n" + "\n".join(",".join(map(repr, row)) for row in RAW.tolist()) + "\n\n")
    return path


def rows_of(module):
    return {split: module.restore(module.dataset(split).x.double()) for split in ("train", "val", "test")}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_formats_and_splits(tmp_path, suffix):
    data = Table(str(write(tmp_path, suffix)), key="table" if suffix == ".npz" else None, val=0.2, test=0.1)
    assert data.dims == 3 and data.columns == (["a", "b", "c"] if suffix == ".csv" else ["0", "1", "2"])
    rows = rows_of(data)
    assert [len(x) for x in rows.values()] == [42, 12, 6]
    together = torch.cat(list(rows.values())).numpy()
    order, wanted = np.argsort(together[:, 0]), np.argsort(RAW[:, 0])
    assert np.allclose(together[order], RAW[wanted], atol=1e-5)
    x = data.dataset("train").x
    assert x.dtype == torch.float32
    assert x.mean(0).abs().max() < 1e-5 and (x.std(0, correction=0) - 1).abs().max() < 1e-5
    other = Table(str(tmp_path / f"t{suffix}"), key=data.key, val=0.2, test=0.1, seed=1)
    assert not torch.equal(other.dataset("test").x, data.dataset("test").x)


def test_log_scale_is_the_change_of_units(tmp_path):
    data = Table(str(write(tmp_path, ".npy")))
    z = data.dataset("train").x.double()
    own = torch.distributions.Normal(data.mean, data.std).log_prob(data.restore(z)).sum(-1)
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(own, standard + data.log_scale)
    plain = Table(str(tmp_path / "t.npy"), standardise=False)
    assert plain.log_scale == 0 and torch.allclose(plain.dataset("test").x.double(), rows_of(data)["test"], atol=1e-5)


def fit(data, folder, **options):
    trainer = pl.Trainer(
        max_epochs=options.pop("epochs", 1),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(FlowModule(MAF(3, n_layers=1, hidden_features=8)), data, **options)
    return trainer


def test_checkpoints_keep_the_scale(tmp_path):
    path = write(tmp_path, ".npy")
    data = Table(str(path), batch_size=8)
    fit(data, tmp_path).save_checkpoint(tmp_path / "m.ckpt")
    state = torch.load(tmp_path / "m.ckpt", weights_only=True)["Table"]
    assert torch.equal(state["mean"], data.mean) and torch.equal(state["std"], data.std)
    again = fit(Table(str(path), batch_size=8), tmp_path, ckpt_path=str(tmp_path / "m.ckpt"), epochs=2)
    assert again.global_step == 12
    np.save(path, RAW + 1)
    with pytest.raises(ValueError, match=r"t\.npy is not the table that the checkpoint was trained on: its mean"):
        fit(Table(str(path), batch_size=8), tmp_path, ckpt_path=str(tmp_path / "m.ckpt"), epochs=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"t\.csv, line 3, column b: expected a finite number, got 'x'"),
        ("a,b\n1,2\n\n3,nan\n", r"t\.csv, line 4, column b: expected a finite number, got 'nan'"),
        ("1,2\n3,\n", r"t\.csv, line 2, column 1: expected a finite number, got ''"),
        ("1,y\n3,4\n", r"t\.csv, line 1, column 1: expected a finite number, got 'y'"),
        ("a,b\n1,2\n3,4,5\n", r"t\.csv, line 3: expected 2 values, got 3"),
        ("a,b\n1,2,3\n3,4,5\n", r"t\.csv, line 2: expected 2 values, got 3"),
        ("a,b\n", "no numbers"),
        ("", "first line is empty"),
        ("1,2\n3,4\n", "2 rows are too few"),
        ("a,b\n" + "1,2\n3,2\n" * 20, "column b is constant"),
    ],
)
def test_bad_text(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        Table(str(tmp_path / "t.csv")).train_dataloader()


def test_other_delimiters_and_signs(tmp_path):
    (tmp_path / "t.csv").write_text('﻿"p";"q"\n' + "\n".join(f"{a!r};-{b!r}" for a, b in RAW[:, :2].tolist()))
    data = Table(str(tmp_path / "t.csv"), delimiter=";")
    assert data.columns == ["p", "q"] and data.mean[1] < 0 < data.mean[0]


def test_bad_files_and_options(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv not found"):
        Table(str(tmp_path / "none.csv")).train_dataloader()
    with pytest.raises(ValueError, match=r"expected a \.npy, \.npz or \.csv"):
        (tmp_path / "t.txt").write_text("1")
        Table(str(tmp_path / "t.txt")).train_dataloader()
    path = write(tmp_path, ".npz")
    with pytest.raises(ValueError, match="holds 2 arrays: set key to one of other, table"):
        Table(str(path)).train_dataloader()
    with pytest.raises(ValueError, match="has no array 'x'"):
        Table(str(path), key="x").train_dataloader()
    with pytest.raises(ValueError, match="fractions"):
        Table(str(path), val=0.6, test=0.5)
    np.save(tmp_path / "t.npy", np.where(np.arange(180).reshape(60, 3) == 31, np.inf, RAW))
    with pytest.raises(ValueError, match=r"t\.npy: inf in row 10, column 1"):
        Table(str(tmp_path / "t.npy")).train_dataloader()
