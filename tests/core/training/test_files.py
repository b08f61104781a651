"""Files that are written whole, and errors that name them."""

from __future__ import annotations

import errno
import os

import pytest

from flowsuite.core.training.cli import main, summary
from flowsuite.core.training.files import WriteError, atomic_write, check_writable, make_folder, output_folder


@pytest.fixture
def blocked(tmp_path):
    """A path that nobody can write to, root included: it is below a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "out"


def no_folder(path):
    return f"cannot write to {path}: not a directory"


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "new" / "a.bin"
    with pytest.raises(KeyError), atomic_write(path) as file:
        file.write(b"half")
        raise KeyError
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and list(path.parent.iterdir()) == [path]


def test_errors_name_the_path(blocked, tmp_path):
    for path in (blocked, blocked / "deeper"):
        for attempt in (make_folder, check_writable, lambda path: atomic_write(path).__enter__()):
            with pytest.raises(WriteError) as error:
                attempt(path)
            assert str(error.value) == no_folder(path) == summary(error.value)
    with pytest.raises(WriteError) as error:
        make_folder(blocked.parent)  # a file
    assert str(error.value) == no_folder(blocked.parent)
    with pytest.raises(WriteError, match="is a directory"), atomic_write(tmp_path):
        pass
    with pytest.raises(WriteError, match="is a directory"):
        check_writable(tmp_path)


def test_writable_paths_pass_and_leave_nothing(tmp_path):
    check_writable(tmp_path / "new" / "a.png", None)
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "old.png").write_text("kept")
    check_writable(tmp_path / "old.png")
    assert (tmp_path / "old.png").read_text() == "kept"


def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(WriteError, match=f"cannot write to {path}: no space left"), atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not path.exists()


def test_errors_of_the_file_system_are_said_in_words(tmp_path):
    with pytest.raises(OSError) as error:
        tmp_path.read_bytes()
    assert summary(error.value) == f"{tmp_path}: is a directory"


@pytest.mark.parametrize(
    "command",
    [
        "fit --config images/demo --trainer.default_root_dir {}",
        "demo --out {}",
        "density picture --ckpt_path absent.ckpt --data 2spirals --out {}",
        "pointclouds compare a.npy b.npy --json {}",
        "pointclouds shapes {}",
        "images sweep --ckpt_path absent.ckpt --out {}.png",
        "pointclouds reconstruct --ckpt_path absent.ckpt --data Shapes --out {}.png",
    ],
)
def test_commands_say_first_where_they_cannot_write(command, blocked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command.format(blocked).split()) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"flowsuite: error: cannot write to {blocked}") and error.endswith(": not a directory")


def test_output_folders_go_with_a_failure(tmp_path):
    """Those that were made and hold nothing, no others."""

    def fail(path, file=None):
        with pytest.raises(KeyError), output_folder(path) as folder:
            assert folder.is_dir()
            if file:
                (folder / file).touch()
            raise KeyError

    fail(tmp_path / "a/b/c")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    fail(tmp_path / "a")
    fail(tmp_path / "a/b/c")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]
    fail(tmp_path / "a/b/c", "kept")
    assert (tmp_path / "a/b/c/kept").exists()
    with output_folder(tmp_path / "d/e"):
        pass
    assert (tmp_path / "d/e").is_dir()
