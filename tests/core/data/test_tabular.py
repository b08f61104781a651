"""The five published sets, as tiny files in their own formats, beside the published steps written out with pandas."""

from __future__ import annotations

import os
import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from flowsuite.core.data import BSDS300, Gas, Hepmass, Miniboone, Power
from flowsuite.core.data.frames import read_frame_pickle
from tests.core.data.frames2016 import write_old_pickle

SPLITS = ("train", "val", "test")


def check(module, expected, train_only=None):
    """The module's three sets are `expected`, in float32; the loader hands them out whole."""
    for split, wanted in zip(SPLITS, expected, strict=True):
        found = module.dataset(split).x
        assert found.dtype == torch.float32 and found.shape == wanted.shape, split
        assert np.allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6), split
    assert torch.equal(torch.cat(list(module.test_dataloader())), module.dataset("test").x)
    batch = next(iter(module.train_dataloader()))
    assert batch.shape == (module.batch_size, expected[0].shape[1])


def tails(data):
    n_test = int(0.1 * data.shape[0])
    test, rest = data[-n_test:], data[:-n_test]
    n_val = int(0.1 * rest.shape[0])
    return rest[:-n_val], rest[-n_val:], test


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def test_power(tmp_path):
    raw = np.random.RandomState(1).gamma(2.0, 3.0, (237, 8))
    save(tmp_path / "power" / "data.npy", raw)
    rng = np.random.RandomState(42)
    data = raw.copy()
    rng.shuffle(data)
    data = np.delete(np.delete(data, 3, axis=1), 1, axis=1)
    voltage, gap, metering = 0.01 * rng.rand(237, 1), 0.001 * rng.rand(237, 1), rng.rand(237, 3)
    data = data + np.hstack((gap, voltage, metering, np.zeros((237, 1))))
    train, val, test = tails(data)
    known = np.vstack((train, val))
    check(Power(str(tmp_path), batch_size=16), [(p - known.mean(0)) / known.std(0) for p in (train, val, test)])


def gas_frame(n=211):
    rng = np.random.RandomState(2)
    base = rng.randn(n, 3)
    table = {"Time": np.arange(n) / 100, "Meth": rng.rand(n), "Eth": rng.rand(n)}
    table |= {"a": base[:, 0], "b": base[:, 1], "c": 3 * base[:, 0] + 0.05 * rng.randn(n), "d": base[:, 2]}
    table |= {"e": base[:, 0] + 0.05 * rng.randn(n), "f": rng.randn(n), "g": -base[:, 1]}
    return pd.DataFrame(table)


def gas_expected(frame):
    data = frame.drop(columns=["Meth", "Eth", "Time"])
    while True:
        count = (data.corr() > 0.98).to_numpy().sum(1)
        if not (count > 1).any():
            break
        data = data.drop(columns=[data.columns[np.where(count > 1)[0][0]]])
    assert list(data.columns) == ["b", "d", "e", "f", "g"]
    return tails(((data - data.mean()) / data.std()).to_numpy())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_gas(tmp_path, protocol):
    (tmp_path / "gas").mkdir()
    frame = gas_frame()
    frame.to_pickle(tmp_path / "gas" / "ethylene_CO.pickle", protocol=protocol)
    check(Gas(str(tmp_path), batch_size=16), gas_expected(frame))


def test_gas_in_the_format_of_2016(tmp_path):
    (tmp_path / "gas").mkdir()
    frame = gas_frame()
    write_old_pickle(tmp_path / "gas" / "ethylene_CO.pickle", list(frame.columns), frame.to_numpy())
    check(Gas(str(tmp_path), batch_size=16), gas_expected(frame))


@pytest.mark.parametrize("columns", [None, ["x", "y", "n"]])
def test_frames_of_mixed_numbers(tmp_path, columns):
    frame = pd.DataFrame(np.random.RandomState(0).rand(5, 3), columns=columns)
    frame.iloc[:, 2] = 7.0
    frame["n2"] = np.arange(5, dtype=np.int32)
    frame["n3"] = np.float32(0.25)
    if columns:
        frame.index = pd.Index(list("vwxyz"), dtype=object)
        frame.columns = pd.Index(frame.columns, dtype=object)
    frame.to_pickle(tmp_path / "f.pickle")
    names, values = read_frame_pickle(tmp_path / "f.pickle")
    assert names == [str(name) for name in frame.columns] and np.array_equal(values, frame.to_numpy(np.float64))


class Attack:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "it holds a dict"),
        (Attack(), "mkdir"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), "not a number"),
        (pd.Series([1.0, 2.0]), "it holds a Series"),
    ],
)
def test_pickles_that_are_no_frames_of_numbers(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"bad\.pickle: .*{message}") as error:
        read_frame_pickle("bad.pickle")
    assert "\n" not in str(error.value) and not (tmp_path / "owned").exists()


def write_hepmass(root, n=180, trailing=False):
    rng = np.random.RandomState(3)
    names = ["# label", *(f"f{i}" for i in range(5))]

    def rows(extra):
        table = np.column_stack([rng.randint(0, 2, n), rng.randn(n, 5), rng.rand(n, extra)])
        table[:, 3] = np.maximum(table[:, 3], -0.5)  # its smallest value is frequent: dropped
        table[:, 4] = np.minimum(table[:, 4], 0.5)  # its most frequent one is the largest: kept
        return table

    (root / "hepmass").mkdir(exist_ok=True)
    tables = {"1000_train.csv": (names, rows(0)), "1000_test.csv": ([*names, "mass"], rows(1))}
    for file, (header, table) in tables.items():
        lines = [",".join(header), *(",".join(map(repr, row)) + ",9" * trailing for row in table.tolist())]
        (root / "hepmass" / file).write_text("\n".join(lines) + "\n")


@pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")
def hepmass_expected(root):
    train, test = (pd.read_csv(root / "hepmass" / f"1000_{s}.csv", index_col=False) for s in ("train", "test"))
    train, test = (part[part[part.columns[0]] == 1].drop(columns=part.columns[0]) for part in (train, test))
    test = test.drop(columns=test.columns[-1])
    mean, std = train.mean(), train.std()
    train, test = ((train - mean) / std).to_numpy(), ((test - mean) / std).to_numpy()
    keep = [i for i in range(train.shape[1]) if sorted(Counter(train[:, i]).items())[0][1] <= 5]
    assert keep == [0, 1, 3, 4]
    train, test = train[:, keep], test[:, keep]
    n_val = int(0.1 * len(train))
    return train[:-n_val], train[-n_val:], test


@pytest.mark.filterwarnings("ignore:Length of header")
@pytest.mark.parametrize("trailing", [False, True])
def test_hepmass(tmp_path, trailing):
    write_hepmass(tmp_path, trailing=trailing)
    check(Hepmass(str(tmp_path), cache=False, batch_size=16), hepmass_expected(tmp_path))
    assert len(list((tmp_path / "hepmass").iterdir())) == 2


def test_hepmass_cache(tmp_path, monkeypatch):
    from flowsuite.core.data import tabular_hepmass

    write_hepmass(tmp_path)
    first = Hepmass(str(tmp_path)).dataset("train").x
    read_again = tabular_hepmass.preprocess
    monkeypatch.setattr(tabular_hepmass, "preprocess", None)
    assert torch.equal(Hepmass(str(tmp_path)).dataset("train").x, first)
    (cache,) = (tmp_path / "hepmass").glob("*.npz")
    monkeypatch.setattr(tabular_hepmass, "preprocess", read_again)
    cache.write_bytes(b"damaged")
    assert torch.equal(Hepmass(str(tmp_path)).dataset("train").x, first)
    path = tmp_path / "hepmass" / "1000_train.csv"
    path.write_text(path.read_text() + "1,1,2,3,4,5\n")
    assert len(Hepmass(str(tmp_path)).dataset("train").x) + len(Hepmass(str(tmp_path)).dataset("val").x) == (
        pd.read_csv(path).iloc[:, 0].sum()
    )


def test_miniboone(tmp_path):
    raw = np.random.RandomState(4).gamma(2.0, 3.0, (150, 43))
    save(tmp_path / "miniboone" / "data.npy", raw)
    train, val, test = tails(raw)
    known = np.vstack((train, val))
    check(Miniboone(str(tmp_path), batch_size=16), [(p - known.mean(0)) / known.std(0) for p in (train, val, test)])


def write_bsds(path, parts):
    import h5py

    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, part in parts.items():
            file[key] = part


def test_bsds300(tmp_path):
    rng = np.random.RandomState(5)
    parts = {key: rng.randn(n, 63) for key, n in (("train", 50), ("validation", 10), ("test", 20))}
    write_bsds(tmp_path / "BSDS300" / "BSDS300.hdf5", parts)
    check(BSDS300(str(tmp_path), batch_size=16), list(parts.values()))


@pytest.mark.parametrize(
    ("module", "file"),
    [
        (Power, "power/data.npy"),
        (Gas, "gas/ethylene_CO.pickle"),
        (Hepmass, "hepmass/1000_train.csv"),
        (Miniboone, "miniboone/data.npy"),
        (BSDS300, "BSDS300/BSDS300.hdf5"),
    ],
)
def test_files_that_are_missing_or_damaged_are_named(tmp_path, module, file):
    data = module(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"{file} not found: .*zenodo.*{file.split('/')[0]}") as error:
        data.train_dataloader()
    assert "\n" not in str(error.value)
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text("hello\n")
    (path.parent / "1000_test.csv").write_text("hello\n")
    with pytest.raises(ValueError, match=file) as error:
        data.train_dataloader()
    assert "\n" not in str(error.value)


def test_bad_numbers_are_named(tmp_path):
    raw = np.random.RandomState(4).rand(50, 8)
    raw[17, 5] = np.nan
    save(tmp_path / "power" / "data.npy", raw)
    with pytest.raises(ValueError, match=r"data\.npy: nan in row 17, column 5; 1 such"):
        Power(str(tmp_path)).dataset("train")
    save(tmp_path / "power" / "data.npy", raw[:, :7])
    with pytest.raises(ValueError, match=r"expected 8 columns, got shape \(50, 7\)"):
        Power(str(tmp_path)).dataset("train")
    save(tmp_path / "miniboone" / "data.npy", np.ones((50, 3)))
    with pytest.raises(ValueError, match="column 0 is constant"):
        Miniboone(str(tmp_path)).dataset("train")
    save(tmp_path / "miniboone" / "data.npy", np.random.rand(8, 3))
    with pytest.raises(ValueError, match="8 rows are too few"):
        Miniboone(str(tmp_path)).dataset("train")
    save(tmp_path / "miniboone" / "data.npy", np.array([[object()]]))
    with pytest.raises(ValueError, match="not a readable"):
        Miniboone(str(tmp_path)).dataset("train")


def test_bad_gas_and_bsds_are_named(tmp_path):
    (tmp_path / "gas").mkdir()
    gas_frame().drop(columns=["Eth"]).to_pickle(tmp_path / "gas" / "ethylene_CO.pickle")
    with pytest.raises(ValueError, match=r"ethylene_CO\.pickle: no column 'Eth', found Time, Meth, a"):
        Gas(str(tmp_path)).dataset("train")
    frame = gas_frame()
    frame.loc[9, "d"] = np.inf
    frame.to_pickle(tmp_path / "gas" / "ethylene_CO.pickle")
    with pytest.raises(ValueError, match=r"inf in row 9, column 3 \(d\)"):
        Gas(str(tmp_path)).dataset("train")
    path = tmp_path / "BSDS300" / "BSDS300.hdf5"
    write_bsds(path, {"train": np.ones((3, 2)), "test": np.ones((3, 2))})
    with pytest.raises(ValueError, match="no data set 'validation'"):
        BSDS300(str(tmp_path)).dataset("train")
    path.unlink()
    write_bsds(path, {"train": np.ones((3, 2)), "test": np.ones((3, 2)), "validation": np.ones((3, 1))})
    with pytest.raises(ValueError, match="as many columns"):
        BSDS300(str(tmp_path)).dataset("train")


def test_hepmass_with_other_columns(tmp_path):
    write_hepmass(tmp_path)
    path = tmp_path / "hepmass" / "1000_test.csv"
    text = path.read_text()
    path.write_text(text.replace("f3,", "f7,", 1))
    with pytest.raises(ValueError, match=r"1000_test\.csv: expected the columns of 1000_train\.csv"):
        Hepmass(str(tmp_path)).dataset("train")
    lines = text.splitlines()
    lines[6] = lines[6].replace(",", ",oops", 1)
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"1000_test\.csv, line 7, column f0: expected a finite number, got 'oops"):
        Hepmass(str(tmp_path)).dataset("train")
