"""Weights that are not as a kind wants them: one line that says which and what was expected, for every importer."""

from __future__ import annotations

import json

import pytest
import torch

from flowsuite.core.training import cli
from flowsuite.core.training.importing import converters
from tests.reference.conftest import FILES, load_case

KINDS = converters()
CASES = {}
for path, config in FILES:
    if config["case_kind"] in KINDS:
        CASES.setdefault(config["case_kind"], (path, config))

MUTATIONS = {
    "missing": None,
    "other shape": lambda w: torch.cat((w.reshape(1, -1), w.reshape(1, -1)), dim=1)[:, :-1],
    "longer": lambda w: torch.cat((w, w)) if w.ndim else w.repeat(2),
    "scalar": lambda w: torch.zeros((), dtype=w.dtype),
    "another axis": lambda w: w[None],
    "empty": lambda w: w.flatten()[:0],
    "integers": lambda w: w.to(torch.int64),
    "complex": lambda w: w.to(torch.complex64),
    "sparse": lambda w: w.reshape(1, -1).to_sparse(),
    "text": lambda w: "abc",
    "nested": lambda w: {"a": w},
    "nothing": lambda w: None,
}
NEVER = ("complex", "sparse", "text", "nested", "nothing")  # no importer takes these, whichever weight it is


def some_names(weights: dict) -> list[str]:
    names = sorted(weights)
    return names[:: max(1, len(names) // 3)][:4]


def failure(kind: str, weights: dict, config: dict) -> str | None:
    """The message of the ValueError, None if the weights are taken; any other error is the test's."""
    try:
        KINDS[kind].from_reference(kind, weights, config)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("kind", CASES)
def test_one_line_that_names_the_weight(kind, mutation):
    case, change = load_case(*CASES[kind]), MUTATIONS[mutation]
    if not case.param:
        pytest.skip("a case without weights")
    for name in some_names(case.param):
        weights = dict(case.param)
        weight = weights.pop(name)
        if change is not None:
            weights[name] = change(weight)
        message = failure(kind, weights, case.config)
        if mutation in NEVER:
            assert message and name in message


@pytest.mark.parametrize("kind", CASES)
def test_no_state_dict_and_strange_names(kind):
    case = load_case(*CASES[kind])
    assert failure(kind, {}, case.config)
    assert "weight 3 " in (failure(kind, {**case.param, 3: torch.zeros(2)}, case.config) or "")


SHAPES = {  # kind -> a weight that decides no size of the model, so that another shape of it is the one at fault
    "nvidia-waveglow": "WN.1.in_layers.0.weight_v",
    "l0sg-waveflow": "flows.1.coupling.net.res_blocks.0.filter_gate_conv.conv.weight_v",
    "rosinality-glow": "blocks.0.flows.1.actnorm.loc",
    "zuko-cnf": "transform.ode.2.weight",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [kind for kind in SHAPES if kind in CASES])
def test_from_the_shell_the_files_the_weight_and_the_shape_are_named(kind, tmp_path, capsys):
    case, name = load_case(*CASES[kind]), SHAPES[kind]
    case.param[name] = torch.cat((case.param[name], case.param[name]), dim=1)
    weights, config, out = (tmp_path / file for file in ("weights.pt", "config.json", "model.ckpt"))
    torch.save(case.param, weights)
    config.write_text(json.dumps(case.config))
    assert cli.main(["import", kind, str(weights), "--config", str(config), "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"flowsuite: error: {weights} with {config}: not of kind {kind}: ")
    assert f"{name} {tuple(case.param[name].shape)}" in error and "expected shape" in error and "\n" not in error
    assert not out.exists()


def test_a_missing_layer_of_a_zuko_cnf_is_not_passed_over():
    if "zuko-cnf" not in CASES:
        pytest.skip("no case of kind zuko-cnf")
    case = load_case(*CASES["zuko-cnf"])
    for name in ("transform.ode.0.weight", "transform.ode.2.weight", "transform.ode.2.bias"):
        weights = {key: w for key, w in case.param.items() if key != name}
        assert name in failure(case.kind, weights, case.config)
