"""Nothing that is loaded can run code, and what is downloaded is checked."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
ROOMS = ("core", "images", "audio", "molecules", "pointclouds", "video", "benchmarks")
FORBIDDEN = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs code"),
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.hub.load", "os.system"), "runs code"),
    **dict.fromkeys(("joblib.load", "dill.load", "shelve.open", "marshal.load", "marshal.loads"), "runs code"),
    **dict.fromkeys(("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load"), "takes any YAML tag"),
    **dict.fromkeys(("shutil.unpack_archive",), "unpacks unchecked names"),
    **dict.fromkeys(("urllib.request.urlopen", "urllib.request.urlretrieve", "requests.get"), "downloads unchecked"),
    **dict.fromkeys(("torch.hub.download_url_to_file", "torch.hub.load_state_dict_from_url"), "downloads unchecked"),
}
METHODS = {"extractall": "unpacks unchecked names", "extract": "unpacks unchecked names"}
ARGUMENTS = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
# TorchScript is a program; these load the feature networks that a user names, and their docstrings say so.
PROGRAMS = {"images/features.py", "video/metrics/networks.py"}
UNPICKLERS = {"core/training/pickles.py"}  # whose `find_class` gives a fixed list, as tests/core shows


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute; "" of anything else."""
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return node.id if isinstance(node, ast.Name) else ""


def offences(source: str, name: str) -> list[str]:
    """What a file does that it must not, with its lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        what, place = "", f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            what = ", ".join(sorted(names & {*FORBIDDEN, *ARGUMENTS, "torch.jit.load"}))
        elif isinstance(node, ast.Attribute) and dotted(node) == "pickle._Unpickler" and name not in UNPICKLERS:
            what = "pickle._Unpickler runs code"
        elif isinstance(node, ast.Call):
            what = called(dotted(node.func), node, name)
        if what:
            found.append(f"{place} {what}")
    return found


def called(function: str, call: ast.Call, name: str) -> str:
    """What is wrong with a call; "" if nothing is."""
    if function in FORBIDDEN:
        return f"{function} {FORBIDDEN[function]}"
    if function == "torch.jit.load" and name not in PROGRAMS:
        return "torch.jit.load runs code"
    method = function.rpartition(".")[2] if function else getattr(call.func, "attr", "")
    if method in METHODS and isinstance(call.func, ast.Attribute):
        return f"{method} {METHODS[method]}"
    if function in ARGUMENTS:
        argument, wanted = ARGUMENTS[function]
        given = {keyword.arg: keyword.value for keyword in call.keywords}.get(argument)
        if not (isinstance(given, ast.Constant) and given.value is wanted):
            return f"{function} without {argument}={wanted}"
    return ""


def test_nothing_that_is_loaded_can_run():
    files = [path for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py"))]
    assert len(files) > 300
    names = [(path, path.relative_to(HOUSE).as_posix()) for path in files]
    assert not [line for path, name in names for line in offences(path.read_text(encoding="utf-8"), name)]


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pickle.load(file)",
        "class A(pickle._Unpickler): pass",
        "from pickle import loads",
        "archive.extractall(folder)",
        "tarfile.open(path).extract(member)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text)",
        "torch.jit.load(path)",
        "urllib.request.urlopen(url)",
    ],
)
def test_the_check_sees(line):
    assert offences(line, "core/a.py")


def test_the_check_lets_pass_what_is_safe():
    lines = ("torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "model.eval()", "yaml.safe_load(t)")
    assert not offences("\n".join(lines), "core/a.py")


def break_download(folder: Path) -> Callable[..., None]:
    """In the place of torchvision's download: bytes that are not those that were published."""

    def fetch(url: str, filename: str | Path, *_: object, **__: object) -> None:
        Path(filename).parent.mkdir(parents=True, exist_ok=True)
        Path(filename).write_bytes(b"something else")

    return fetch


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10", "SVHN"])
def test_downloads_with_another_hash_are_refused(name, tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    from torchvision.datasets import utils

    from flowsuite.images import data

    monkeypatch.setattr(utils, "_urlretrieve", break_download(tmp_path))
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    with pytest.raises(ValueError, match=f"{name} cannot be fetched") as error:
        getattr(data, name)(str(tmp_path), download=True).prepare_data()
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_celeba_is_published_with_hashes():
    """torchvision compares them; it fetches through the package gdown, which a test cannot stand in for."""
    pytest.importorskip("torchvision")
    from torchvision.datasets import CelebA

    length = 2 * hashlib.md5(b"").digest_size
    assert CelebA.file_list and all(len(md5) == length for _, md5, _ in CelebA.file_list)


@pytest.mark.parametrize("name", ["PyGModelNet", "PyGShapeNet"])
def test_what_has_no_hash_is_not_downloaded(name, tmp_path, monkeypatch):
    pytest.importorskip("torch_geometric")
    import torch_geometric.datasets

    from flowsuite.pointclouds import data

    def download(self):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(getattr(torch_geometric.datasets, name.removeprefix("PyG")), "download", download)
    with pytest.raises(FileNotFoundError, match=r"raw.* not found: unpack https?://.*zip in .*raw"):
        getattr(data, name)(str(tmp_path)).prepare_data()


def test_a_processed_folder_of_pyg_runs_nothing(tmp_path):
    """PyG unpickles `processed/pre_transform.pt` where it finds one."""
    pytest.importorskip("torch_geometric")
    import torch

    from flowsuite.pointclouds.data import PyGModelNet
    from tests.pointclouds.test_pyg import write_modelnet

    write_modelnet(tmp_path)
    (tmp_path / "processed").mkdir()
    torch.save(Evil(tmp_path / "evil"), tmp_path / "processed" / "pre_transform.pt")
    PyGModelNet(str(tmp_path), rows=20).prepare_data()
    assert not (tmp_path / "evil").exists()


class Evil:
    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return Path.mkdir, (Path(self.path),)
