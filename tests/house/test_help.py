"""Every command as a stranger reads it: `--help` ends well, every option says what it does, one name for one thing."""

from __future__ import annotations

import argparse
import importlib
import io
import re
from contextlib import redirect_stdout

import pytest

from flowsuite.core.training import cli
from flowsuite.core.training.recipes import domains, list_recipes
from flowsuite.images.vae import commands as vae

SHARED = {  # option -> what it says, wherever it is
    "--raw_weights": "take the trained weights even if there are averaged ones",
    "--allow": "package whose classes the checkpoint may name",
    "--quiet": "no progress bars",
    "--data_args": "arguments of the data module",
}


def commands():
    """All of them, as the words that follow `flowsuite`."""
    found = [
        "",
        *cli.TRAIN,
        *cli.COMMANDS,
        "recipes",
        *(f"density {name}" for name in ("steps", "certificate", "picture")),
    ]
    for domain in domains():
        path = cli.module_file(f"flowsuite.{domain}", "commands")
        if path is not None:
            found += [domain, *(f"{domain} {name}" for name in cli.read_literal(path, "COMMANDS"))]
            found += cli.shortcuts(domain)
    return [*found, *(f"images vae {name}" for name in vae.COMMANDS)]


def help_of(command, monkeypatch):
    """Exit code and text of `--help`, and the parser that printed it (None where there is none)."""
    used = []
    printed = argparse.ArgumentParser.print_help
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda self, *a: (used.append(self), printed(self, *a)))
    text = io.StringIO()
    with redirect_stdout(text):
        try:
            code = cli.main([*command.split(), "--help"])
        except SystemExit as end:
            code = end.code or 0
    return code, text.getvalue(), used[-1] if used else None


@pytest.mark.parametrize("command", commands())
def test_help(command, monkeypatch):
    code, text, parser = help_of(command, monkeypatch)
    assert code == 0 and "flowsuite" in text
    assert re.search(r"(?i)\bexamples?\b", text) or "COMMAND --help` says more" in text
    long = [line for line in text.splitlines() if len(line) > 130 and not line.startswith("  flowsuite")]
    assert not long
    for action in parser._actions if parser else ():
        name = action.option_strings[0] if action.option_strings else action.dest
        if not isinstance(action, argparse._SubParsersAction):
            assert action.help, f"{name} says nothing"
            assert "-" not in name.lstrip("-"), f"{name}: options have underscores"
        assert action.help == SHARED.get(name, action.help), name
    given = {option for action in parser._actions for option in action.option_strings} if parser else set()
    if "--ckpt_path" in given:
        assert {"--raw_weights", "--allow", "--seed"} <= given and given & {"--device", "--devices"}


@pytest.mark.parametrize("domain", domains())
def test_every_domain_has_one_table_of_commands(domain, capsys):
    module = importlib.import_module(f"flowsuite.{domain}.commands")
    for name, (what, path) in module.COMMANDS.items():
        assert what and callable(importlib.import_module(path).main), name
    assert cli.main([domain, "no-such-command"]) == 1
    assert f"unknown command 'no-such-command' of flowsuite {domain}" in capsys.readouterr().err


def test_the_overview_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in commands():
        words = command.split()
        assert all(re.search(rf"\b{re.escape(word)}\b", text) for word in words[:2]), command


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list_recipes())
def test_every_recipe_prints_its_configuration(recipe, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(["fit", "--config", recipe, "--print_config"])
    except SystemExit as end:
        code = end.code or 0
    assert code == 0 and "class_path: flowsuite." in capsys.readouterr().out
