"""The pages under docs/: snippets run, commands exist, every page is in the index, and the site builds."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pytorch_lightning import Trainer

from flowsuite.core.training import cli
from flowsuite.core.training.recipes import find_recipe

HOUSE = Path(__file__).parents[2]
DOCS = HOUSE / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PEERS = ("nflows", "normflows", "zuko")
NEW_DOMAIN = "new_domain.md"  # has a test of its own, which runs everything
TRAINING = {"--config", "--model", "--data", "--ckpt_path", "--weights", "--seed_everything", "--print_config"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)


SNIPPETS = [
    pytest.param(code, id=f"{page.stem}-{i}")
    for page in PAGES
    if page.name != NEW_DOMAIN
    for i, code in enumerate(blocks(page, "python"))
]
COMMANDS = [
    pytest.param(shlex.split(line, comments=True)[1:], id=f"{page.stem}: {line[:60]}")
    for page in PAGES
    if page.name != NEW_DOMAIN
    for block in blocks(page, "console")
    for line in block.splitlines()
    if line.startswith("flowsuite ")
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippet(code):
    for peer in PEERS:
        if re.search(rf"^(import|from) {peer}\b", code, flags=re.M):
            pytest.importorskip(peer)
    exec(code, {})


def test_there_is_a_snippet_for_each_peer():
    text = "".join(blocks(DOCS / "migrating.md", "python"))
    assert all(re.search(rf"^(import|from) {peer}\b", text, flags=re.M) for peer in PEERS)
    assert text.count("assert_close") >= 5


def argument_names(class_path: str) -> set[str]:
    """What a class can be given in YAML: its own arguments, and those of its bases."""
    module, _, name = class_path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    return {argument for base in cls.__mro__ for argument in inspect.signature(base.__init__).parameters}


def check_path(node: dict, path: str, option: str) -> None:
    """`init_args.flow.init_args.width` leads through class paths to arguments that those classes take."""
    keys = path.split(".")
    for key, name in zip(keys[::2], keys[1::2], strict=True):
        assert key == "init_args" and name in argument_names(node["class_path"]), option
        node = node.get("init_args", {}).get(name, {})


def check_training(argv: list[str]) -> None:
    """The recipe exists, and the options name arguments of its classes or of the trainer."""
    given = dict(zip(argv, [*argv[1:], ""], strict=True))
    recipe = HOUSE / given["--config"]
    config = yaml.safe_load((recipe if recipe.is_file() else find_recipe(given["--config"])).read_text())
    for option in (word for word in given if word.startswith("--")):
        root, _, path = option[2:].partition(".")
        if root == "trainer":
            assert path.partition(".")[0] in inspect.signature(Trainer.__init__).parameters, option
        elif path:
            chosen = given.get(f"--{root}")
            check_path({"class_path": chosen} if chosen else config[root], path, option)
        else:
            assert option in TRAINING, option


def help_of(words: list[str], capsys) -> str:
    try:
        code = cli.main([*words, "--help"])
    except SystemExit as done:
        code = done.code
    said = capsys.readouterr()
    assert not code, said.err
    return said.out


@pytest.mark.parametrize("argv", COMMANDS)
def test_command_exists(argv, capsys):
    if argv[0] in cli.TRAIN and "--config" in argv:
        check_training(argv)
        return
    first = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    text = help_of(argv[:first], capsys)
    for option in (word.partition("=")[0] for word in argv[first:] if word.startswith("--")):
        assert re.search(rf"{option}\b", text), f"{' '.join(argv[:first])} has no option {option}"


def test_the_check_of_commands_sees_mistakes():
    with pytest.raises(AssertionError, match="no_such"):
        check_training(["fit", "--config", "images/demo", "--model.init_args.flow.init_args.no_such", "1"])
    with pytest.raises(AssertionError, match="divices"):
        check_training(["fit", "--config", "images/demo", "--trainer.divices", "1"])
    with pytest.raises(ValueError, match="unknown recipe"):
        check_training(["fit", "--config", "images/no-such-recipe"])


def test_every_page_is_in_the_index():
    listed = {line for block in blocks(DOCS / "index.md", "{toctree}") for line in block.splitlines()}
    assert {page.stem for page in PAGES} - {"index"} <= listed


def test_links_to_files_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("api/") or (DOCS / target).exists(), f"{page.name}: {target}"


def test_api_pages_name_every_package():
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        from api_pages import packages, page
    finally:
        sys.path.pop(0)
    found = packages()
    assert {"flowsuite.core", "flowsuite.core.layers", "flowsuite.molecules.metrics"} <= set(found)
    assert all(folder.is_dir() for folder in found.values())
    text = page("flowsuite.core", found["flowsuite.core"])
    assert ".. automodule:: flowsuite.core.transform\n   :members:" in text


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name, reason="the site needs pip install 'flowsuite[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    layers = (tmp_path / "api/flowsuite.core.layers.html").read_text(encoding="utf-8")
    assert "flowsuite.core.layers.coupling.Coupling" in layers and "log-det is the sum of the map" in layers
    likelihood = (tmp_path / "likelihood.html").read_text(encoding="utf-8")
    assert "bits_per_dim" in likelihood
    for page in tmp_path.glob("*.html"):  # readable offline: nothing is fetched
        assert not re.search(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', page.read_text(encoding="utf-8")), page
