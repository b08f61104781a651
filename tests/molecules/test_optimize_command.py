import csv
import json

import pytest

from flowsuite.core.training.checkpoint import load_module
from flowsuite.molecules.commands import main as molecules
from flowsuite.molecules.draw import draw_grid
from flowsuite.molecules.optimize import progress
from flowsuite.molecules.optimize.arguments import make_parser, options_of
from flowsuite.molecules.optimize.command import condition, main
from flowsuite.molecules.optimize.policy_gradient import PolicyGradient
from flowsuite.molecules.optimize.shaping import Shaping
from tests.molecules.optimizing import save_tiny, tiny

NEEDED = ["--ckpt_path", "m", "--target", "qed", "--out", "o"]
SMALL = ["--batch_size", "8", "--num", "12", "--top", "6", "--quiet"]


def run(tmp_path, *more: str) -> tuple[int, dict]:
    checkpoint = save_tiny(tmp_path / "model.ckpt")
    code = main(["--ckpt_path", checkpoint, "--out", str(tmp_path / "out"), *SMALL, *more])
    path = tmp_path / "out" / "summary.json"
    return code, json.loads(path.read_text()) if path.exists() else {}


def table(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_written(tmp_path, capsys):
    code, summary = run(tmp_path, "--target", "qed", "--steps", "2")
    out = tmp_path / "out"
    assert code == 0 and summary["steps"] == 2 and summary["largest size (atoms)"] == 9
    top = table(out / "top.csv")
    scores = [float(row["score"]) for row in top]
    assert len(top) == 6 and scores == sorted(scores, reverse=True)
    assert {"smiles", "plogp", "sa", "passes_pains", "passes_strain"} <= set(top[0])
    assert summary["top 3"] == pytest.approx(scores[:3], abs=1e-5)
    assert (out / "top.png").read_bytes().startswith(b"\x89PNG") and b"<svg" in (out / "top.svg").read_bytes()
    assert [row["step"] for row in table(out / "history.csv")] == ["1", "2"]
    tuned, before = (load_module(path).flow.state_dict() for path in (out / "model.ckpt", tmp_path / "model.ckpt"))
    assert any(not tuned[name].equal(before[name]) for name in before)
    printed = capsys.readouterr().out
    assert "policy mean after" in printed and "at most 9 atoms" in printed


def test_failures_of_a_target_are_told(tmp_path):
    score = tmp_path / "score.py"
    score.write_text("def odd(smiles):\n    return float(len(smiles)) if len(smiles) % 2 else float('nan')\n")
    _, summary = run(tmp_path, "--target", f"{score}:odd", "--target_takes", "smiles", "--steps", "1")
    assert any("failed, first" in note and "returned nan" in note for note in summary["notes"])


@pytest.mark.parametrize("constrained", [False, True])
def test_a_target_that_fails_everywhere_is_an_error(tmp_path, constrained):
    score = tmp_path / "score.py"
    score.write_text("def hopeless(mol):\n    raise KeyError('never')\n")
    starts = tmp_path / "starts.smi_logp"
    starts.write_text("-0.5,CC(C)C=O\n-1.2,CC(O)CN\n")
    more = ["--constrained", str(starts), "--restarts", "1"] if constrained else []
    with pytest.raises(ValueError, match=r"hopeless' failed on all of \d+ molecules, .*KeyError: 'never'"):
        run(tmp_path, "--target", f"{score}:hopeless", "--steps", "0", *more)
    assert not list((tmp_path / "out").iterdir())


def test_figures_are_told_on_the_way(tmp_path, capsys):
    checkpoint = save_tiny(tmp_path / "model.ckpt")
    main(["--ckpt_path", checkpoint, "--out", str(tmp_path / "out"), *SMALL[:-1], "--target", "qed", "--steps", "2"])
    told = [each for each in capsys.readouterr().err.splitlines() if each.startswith("step ")]
    assert [each.partition(":")[0] for each in told] == ["step 1", "step 2"] and "best 0." in told[0]


def test_ctrl_c_writes_what_there_is(tmp_path, monkeypatch):
    step = PolicyGradient.step

    def interrupted(self):
        if len(self.history) == 1:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(progress.PolicyGradient, "step", interrupted)
    code, summary = run(tmp_path, "--target", "qed", "--steps", "5")
    assert code == 130 and summary["steps"] == 1 and "interrupted after 1 steps" in summary["notes"]
    assert (tmp_path / "out" / "model.ckpt").exists() and len(table(tmp_path / "out" / "top.csv")) == 6


def test_constrained_improvement(tmp_path, capsys):
    starts = tmp_path / "starts.smi_logp"
    starts.write_text("-0.5,CC(C)C=O\n-1.2,C[C@H](O)CN\n0.1,C1CCOC1\n-1,C[N+](=O)[O-]\n-1,F/C=C/CO\n")
    more = ["--constrained", str(starts), "--restarts", "2", "--steps", "1", "--deltas", "0", "0.4"]
    code, _ = run(tmp_path, "--target", "plogp", *more)
    out = tmp_path / "out"
    assert code == 0
    rows = table(out / "improved.csv")
    assert len(rows) == 10 and {row["delta"] for row in rows} == {"0", "0.4"}
    found = [row for row in rows if row["smiles"]]
    assert found and all(float(row["gain"]) > 0 and float(row["similarity"]) > float(row["delta"]) for row in found)
    written = json.loads((out / "table.json").read_text())
    assert [row["delta"] for row in written["ours"]] == [0.0, 0.4] == [row["delta"] for row in written["codec only"]]
    assert "5 of 5 start molecules can be encoded" in written["notes"]
    assert (out / "improved.png").exists() and "codec only" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target", "qde"], "unknown property"),
        (["--target", "qed", "--top", "0"], "--top must be at least 1"),
        (["--target", "qed", "--property", "logp=2"], "are none, got logp"),
        (["--target", "qed", "--max_atoms", "1"], "--max_atoms must be at least 2"),
        (["--target", "qed", "--lr", "-1"], "^--lr must be above 0, got -1"),
        (["--target", "qed", "--bucket", "0"], "^--bucket must be above 0, got 0"),
        (["--target", "qed", "--workers", "-1"], "^--workers must be at least 0, got -1"),
        (["--target", "qed", "--limit", "0"], "^--limit must be at least 1, got 0"),
        (["--target", "qed", "--deltas", "0.4", "1"], r"^--deltas must be in \[0, 1\), got 1"),
    ],
)
def test_wrong_arguments(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, *more)


def test_properties_of_a_conditional_model():
    flow = tiny(properties=["logp", "qed"])
    parsed = make_parser().parse_args([*NEEDED, "--property", "qed=0.5,logp=2"]).property
    assert condition(flow, parsed).tolist() == [2.0, 0.5] and condition(tiny(), None) is None
    with pytest.raises(ValueError, match=r"conditional: give --property logp=\.\.\.,qed=\.\.\."):
        condition(flow, None)
    with pytest.raises(ValueError, match="the properties of this model are logp, qed, got mw"):
        condition(flow, {"mw": 1.0})


def test_the_folder_is_tried_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(progress.PolicyGradient, "__init__", lambda *args: pytest.fail("work was begun"))
    with pytest.raises(OSError, match=r"cannot write to .*out.*: not a directory"):
        run(tmp_path, "--target", "qed")


def test_failures_on_start_molecules_are_told(tmp_path):
    (tmp_path / "starts.smi").write_text("CC(C)C=O\nCCCO\n")
    (tmp_path / "score.py").write_text("def f(smiles):\n    return float('nan') if smiles == 'CCCO' else 1.0\n")
    more = ["--constrained", str(tmp_path / "starts.smi"), "--restarts", "1", "--steps", "0"]
    run(tmp_path, "--target", f"{tmp_path / 'score.py'}:f", "--target_takes", "smiles", *more)
    notes = json.loads((tmp_path / "out" / "table.json").read_text())["notes"]
    assert any("start molecules" in note and "2 molecules, 1 failed, first: CCCO" in note for note in notes)


@pytest.mark.parametrize(
    ("more", "shaping"),
    [
        (["--target", "plogp-sssr"], Shaping("exp", 1 / 3, 4.0, True)),
        (["--target", "plogp-sssr", "--offset", "2"], Shaping("exp", 1 / 3, 2.0, True)),
        (["--target", "plogp", "--shape", "linear"], Shaping("linear", 1 / 3, 4.0, True)),
        (["--target", "plogp", "--constrained", "some.smi"], Shaping("linear", 1.0, 4.0, True)),
        (["--target", "qed"], Shaping("linear", 1.0, 4.0, True)),
        (["--target", "plogp.py:qed"], Shaping("linear", 1.0, 4.0, True)),
    ],
)
def test_published_rewards_follow_the_target(more, shaping):
    assert options_of(make_parser().parse_args([*NEEDED, "--published", *more])).shaping == shaping
    assert options_of(make_parser().parse_args([*NEEDED, "--target", "plogp"])).shaping == Shaping()


def test_published_settings_and_exceptions_from_them():
    published = options_of(make_parser().parse_args([*NEEDED, "--published", "--lr", "0.01"]))
    assert (published.temperature, published.gamma, published.baseline, published.lr) == (0.75, 0.9, "index", 0.01)
    assert published.shaping.structure and published.refusal_penalty == 1.0
    assert options_of(make_parser().parse_args(NEEDED)).gamma == 1.0


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        molecules(["optimize", "--help"])
    assert "flowsuite optimize --ckpt_path model.ckpt --target qed" in capsys.readouterr().out


def test_a_grid_needs_molecules():
    with pytest.raises(ValueError, match="no molecule to draw"):
        draw_grid([], [])
    assert draw_grid(["CCO", "nonsense"], ["a", "b"]).startswith(b"\x89PNG")
