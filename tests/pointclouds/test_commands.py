"""`flowsuite pointclouds build | render | shapes`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.cli import main as flowsuite
from flowsuite.pointclouds.build import SHARES, split_by_name
from flowsuite.pointclouds.commands import COMMANDS
from flowsuite.pointclouds.data import ModelNetPC15k, ShapeNetPC15k
from flowsuite.pointclouds.ply import write_ply
from tests.pointclouds.files import SQUARE_OFF, cloud, write_cloud


def write_meshes(root, names, text=SQUARE_OFF):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def build(root, *options):
    return flowsuite(["pointclouds", "build", str(root / "in"), str(root / "out"), "--points", "40", *options])


def built(root):
    return sorted(path.relative_to(root / "out").as_posix() for path in (root / "out").rglob("*.npy"))


def test_help_lists_the_commands(capsys):
    assert flowsuite(["pointclouds", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as done:
            flowsuite(["pointclouds", name, "--help"])
        assert done.value.code == 0 and "examples:" in capsys.readouterr().out
    assert flowsuite(["pointclouds", "bild"]) == 1
    assert "did you mean 'build'" in capsys.readouterr().err


def test_build_modelnet(tmp_path, capsys):
    write_meshes(
        tmp_path / "in", ["bed/train/bed_1.off", "bed/test/bed_2.off", "desk/train/desk_1.off", "desk/test/d.off"]
    )
    assert build(tmp_path, "--layout", "modelnet") == 0
    assert built(tmp_path) == ["bed/test/bed_2.npy", "bed/train/bed_1.npy", "desk/test/d.npy", "desk/train/desk_1.npy"]
    assert "4 clouds built, 0 were there, 0 bad" in capsys.readouterr().out
    points = np.load(tmp_path / "out/bed/train/bed_1.npy")
    assert points.shape == (40, 3) and points.dtype == np.float32
    assert (points[:, 1] == 0).all() and points.min() >= 0 and 1 < points.max() <= 2
    assert len(ModelNetPC15k(tmp_path / "out", points=10, eval_points=10).clouds("train")) == 2


def test_build_says_what_is_missing(tmp_path, capsys):
    write_meshes(tmp_path / "in", ["bed/train/0.off"])
    assert build(tmp_path, "--layout", "modelnet") == 0
    assert "note: no shapes in test" in capsys.readouterr().err
    write_meshes(tmp_path / "bad/in", ["bed/train/0.off"], "OFF\n0 0 0\n")
    assert build(tmp_path / "bad", "--layout", "modelnet", "--skip_bad") == 1
    assert "none of the 1 meshes" in capsys.readouterr().err


def test_build_keeps_what_is_there(tmp_path, capsys):
    write_meshes(tmp_path / "in", [f"bed/train/{k}.off" for k in range(3)])
    assert build(tmp_path, "--layout", "modelnet") == 0
    kept, redone = tmp_path / "out/bed/train/0.npy", tmp_path / "out/bed/train/1.npy"
    before, expected = kept.stat().st_mtime_ns, redone.read_bytes()
    redone.unlink()
    assert build(tmp_path, "--layout", "modelnet") == 0
    assert "1 clouds built, 2 were there" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == before and redone.read_bytes() == expected
    assert flowsuite(["pointclouds", "build", str(tmp_path / "in"), str(tmp_path / "out"), "--layout", "modelnet"]) == 1
    assert "0.npy is there with shape (40, 3), not (15000, 3)" in capsys.readouterr().err
    kept.write_bytes(b"half")
    assert build(tmp_path, "--layout", "modelnet") == 1
    assert "0.npy is there but no readable .npy" in capsys.readouterr().err


def test_build_shapenet_with_its_split_table(tmp_path):
    models = [f"{synset}/{model}/models/model_normalized.off" for synset in ("02691156", "chair") for model in "ab"]
    write_meshes(tmp_path / "in", models)
    table = "id,synsetId,subSynsetId,modelId,split\n1,02691156,0,a,val\n2,2691156,0,b,test\n3,03001627,0,a,train\n"
    (tmp_path / "all.csv").write_text(table)
    assert build(tmp_path, "--layout", "shapenet", "--splits", str(tmp_path / "all.csv")) == 0
    last = split_by_name("03001627/b", SHARES["shapenet"])
    expected = ["02691156/test/b.npy", "02691156/val/a.npy", "03001627/train/a.npy", f"03001627/{last}/b.npy"]
    assert built(tmp_path) == sorted(expected)
    assert ShapeNetPC15k(tmp_path / "out", "airplane").clouds("val").names == ["02691156/val/a"]


def test_mesh_too_small_for_float32_is_named(tmp_path, capsys):
    tiny = "OFF\n3 1 0\n0 0 0\n1e-30 0 0\n0 1e-30 0\n3 0 1 2\n"
    write_meshes(tmp_path / "in", ["bed/train/a.off"], tiny)
    assert build(tmp_path, "--layout", "modelnet", "--quiet") == 1
    assert "a.off: the surface has area 0" in capsys.readouterr().err and not built(tmp_path)


def test_splits_have_their_shares():
    splits = [split_by_name(f"chair/{k}", SHARES["shapenet"]) for k in range(4000)]
    for split, share in SHARES["shapenet"].items():
        assert splits.count(split) / 4000 == pytest.approx(share, abs=0.03)


def test_build_turns_and_scales(tmp_path):
    points = "0 0 5\n2 0 5\n2 0 6\n0 0 6\n99 99 99\n"  # upright when z is up; one vertex that no face has
    write_meshes(tmp_path / "in", ["bed/train/a.off"], f"OFF\n5 1 0\n{points}4 0 1 2 3\n")
    assert build(tmp_path, "--layout", "modelnet", "--up", "z", "--scale", "unit") == 0
    made = np.load(tmp_path / "out/bed/train/a.npy")
    assert np.abs(made[:, 2]).max() < 1e-6
    assert 0.35 < made[:, 0].max() <= 1 / 5**0.5 + 1e-6 and 0.15 < made[:, 1].max() <= 0.5 / 5**0.5 + 1e-6


def test_build_by_several_processes_is_the_same(tmp_path):
    write_meshes(tmp_path / "in", [f"bed/train/{k}.off" for k in range(5)])
    assert build(tmp_path, "--layout", "modelnet", "--quiet") == 0
    first = {name: (tmp_path / "out" / name).read_bytes() for name in built(tmp_path)}
    for name in first:
        (tmp_path / "out" / name).unlink()
    assert build(tmp_path, "--layout", "modelnet", "--workers", "2", "--quiet") == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in built(tmp_path)} == first
    assert len(set(first.values())) == 5


def test_bad_mesh_stops_or_is_counted(tmp_path, capsys):
    write_meshes(tmp_path / "in", ["bed/train/a.off", "bed/train/c.off"])
    write_meshes(tmp_path / "in", ["bed/train/b.off"], "OFF\n1 0 0\n0 0 0\n")
    assert build(tmp_path, "--layout", "modelnet", "--quiet") == 1
    error = capsys.readouterr().err
    assert "b.off: the mesh has no faces (--skip_bad" in error and error.count("\n") == 1
    assert build(tmp_path, "--layout", "modelnet", "--quiet", "--skip_bad") == 0
    done = capsys.readouterr()
    assert "1 clouds built, 1 were there, 1 bad meshes skipped" in done.out and "skipped: " in done.err
    assert built(tmp_path) == ["bed/train/a.npy", "bed/train/c.npy"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_build_names_a_folder_that_it_cannot_make(tmp_path, capsys, workers):
    write_meshes(tmp_path / "in", ["bed/train/a.off"])
    (tmp_path / "out").write_text("")
    assert build(tmp_path, "--layout", "modelnet", "--quiet", "--workers", workers) == 1
    assert capsys.readouterr().err == f"flowsuite: error: cannot write to {tmp_path / 'out'}: not a directory\n"


WRONG = {
    "no folder": (["gone", "--layout", "modelnet"], "gone is not a folder"),
    "no meshes": (["empty", "--layout", "modelnet"], "empty holds no meshes"),
    "same name": (["twice", "--layout", "shapenet"], r"both become"),
    "points": (["twice", "--layout", "modelnet", "--points", "0"], "--points and --workers must be at least 1"),
    "table": (["twice", "--layout", "shapenet", "--splits", "gone.csv"], "gone.csv not found"),
    "split": (["twice", "--layout", "shapenet", "--splits", "odd.csv"], "model a of 00000012 has split 'trian'"),
    "columns": (["twice", "--layout", "shapenet", "--splits", "bad.csv"], "expected columns synsetId"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_build_is_one_line(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "odd.csv").write_text("synsetId,modelId,split\n12,a,trian\n")
    write_meshes(tmp_path / "twice", ["chair/train/a.off", "chair/train/a.obj"])
    (folder, *options), message = WRONG[case]
    assert flowsuite(["pointclouds", "build", folder, "out", *options]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not (tmp_path / "out").exists()


def test_render_files_and_folders(tmp_path):
    for k in range(3):
        write_cloud(tmp_path / "clouds" / f"{k}.npy", cloud(k))
    write_ply(tmp_path / "clouds" / "3.ply", torch.randn(20, 3))
    np.save(tmp_path / "many.npy", np.stack([cloud(k) for k in range(4)]))
    out = tmp_path / "sheet.png"
    inputs = [str(tmp_path / "clouds"), str(tmp_path / "many.npy")]
    common = ["--out", str(out), "--size", "32", "--columns", "4"]
    assert flowsuite(["pointclouds", "render", *inputs, *common]) == 0
    assert Image.open(out).size == (4 * 34 - 2, 2 * 34 - 2)
    assert flowsuite(["pointclouds", "render", *inputs, *common, "--num", "3"]) == 0
    assert Image.open(out).size == (3 * 34 - 2, 32)
    np.save(tmp_path / "values.npy", cloud(0)[:, 0])
    before = out.read_bytes()
    heat = [str(tmp_path / "clouds/0.npy"), *common, "--values", str(tmp_path / "values.npy")]
    assert flowsuite(["pointclouds", "render", *heat]) == 0 and out.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.npy", "--out", "a.png"], "gone.npy not found"),
        (["gone.npy", "--out", "a.jpg"], "must end in .png, got a.jpg"),
        ([".", "--out", "a.png"], "holds no .npy or .ply"),
        (["gone.npy", "--out", "a.png", "--num", "0"], "--num"),
    ],
)
def test_wrong_render_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert flowsuite(["pointclouds", "render", *arguments]) == 1
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_shapes(tmp_path, capsys):
    options = ["--families", "chair", "torus", "--train", "2", "--val", "1", "--test", "0", "--points", "50"]
    assert flowsuite(["pointclouds", "shapes", str(tmp_path), *options]) == 0
    assert "6 clouds in" in capsys.readouterr().out
    assert len(ShapeNetPC15k(tmp_path, ["chair", "torus"]).clouds("train")) == 4
    assert flowsuite(["pointclouds", "shapes", str(tmp_path), "--families", "chiar"]) == 1
    assert "did you mean 'chair'" in capsys.readouterr().err
