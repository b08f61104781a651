import math
import pickle

import numpy as np
import pytest

from flowsuite.molecules.optimize.rewards import Reward
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.optimize.shaping import Shaping
from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.processes import Pool
from flowsuite.molecules.properties import plogp, qed
from flowsuite.molecules.smiles import parse

HERE = "tests.molecules.optimizing"


@pytest.mark.parametrize(
    ("spec", "takes", "expected"),
    [
        ("qed", "mol", qed(parse("CCO"))),
        ("plogp", "mol", plogp(parse("CCO"))),
        ("plogp-sssr", "mol", plogp(parse("CCO"), "sssr")),
        (f"{HERE}:carbons", "mol", 2.0),
        (f"{HERE}:length", "smiles", 3.0),
        (f"{HERE}:lengths", "batch", 3.0),
    ],
)
def test_targets_by_name(spec, takes, expected):
    target = Target(spec, takes)
    assert target.score(["CCO"]) == [(pytest.approx(expected), "")]
    assert pickle.loads(pickle.dumps(target)).score(["CCO"]) == target.score(["CCO"])


def test_target_of_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def heavy(mol):\n    return mol.GetNumAtoms()\n")
    assert Target(f"{path}:heavy").score(["CCO"]) == [(3.0, "")]
    with pytest.raises(ValueError, match=r"no function 'hevy'.*did you mean 'heavy'"):
        Target(f"{path}:hevy")
    path.write_text("import nothing_of_this_name\n")
    with pytest.raises(ValueError, match="cannot be run: ModuleNotFoundError"):
        Target(f"{path}:heavy")


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("qde", ValueError, "unknown property 'qde'"),
        ("absent.py:score", FileNotFoundError, "target file absent.py not found"),
        ("no_such_module:score", ValueError, "'no_such_module' cannot be imported"),
    ],
)
def test_unknown_targets(spec, error, message):
    with pytest.raises(error, match=message):
        Target(spec)


def test_bad_scores_are_failures_that_name_the_molecule():
    scorer = Scorer(Target(f"{HERE}:moody"))
    scores = scorer(["CCCCC", "C" * 6, "C" * 7, "CC", "CCC", "CCCC", None])
    assert scores[0] == 5.0
    assert np.isnan(scores[1:]).all()
    assert scorer.failures["C" * 6] == "ValueError: returned nan"
    assert "no opinion on this" in scorer.failures["C" * 7]
    assert "NoneType" in scorer.failures["CC"] and "not a number" in scorer.failures["CCC"]
    assert "SystemExit" in scorer.failures["CCCC"]
    assert "6 molecules, 5 failed, first: CCCCCC: ValueError" in scorer.summary()


def test_one_bad_molecule_does_not_spoil_a_batch():
    scorer = Scorer(Target(f"{HERE}:lengths", "batch"))
    assert scorer(["CC", "CF", "CCC"]).tolist() == pytest.approx([2.0, math.nan, 3.0], nan_ok=True)
    assert list(scorer.failures) == ["CF"]


def test_a_target_that_always_fails_ends_the_run():
    scorer = Scorer(Target(f"{HERE}:hopeless"))
    scorer(["C" * n for n in range(1, 10)])
    with pytest.raises(ValueError, match=r"hopeless' failed on all of 40 molecules.*C: ValueError: never"):
        scorer(["C" * n for n in range(10, 41)])


def test_each_molecule_is_asked_about_once(monkeypatch):
    target = Target(f"{HERE}:length", "smiles")
    asked = []
    target.function = lambda text: asked.append(text) or 1.0
    scorer = Scorer(target)
    scorer(["C", "CC", "C"])
    scorer(["CC", "CCC"])
    assert asked == ["C", "CC", "CCC"]


def test_workers_give_the_same_scores():
    smiles = ["CCO", "c1ccccc1", None, "CC(=O)O"]
    with Pool(1) as pool:
        np.testing.assert_array_equal(Scorer(Target("qed"), pool)(smiles), Scorer(Target("qed"))(smiles))


def test_a_worker_runs_the_users_file_once(tmp_path):
    path, runs = tmp_path / "mine.py", tmp_path / "runs"
    path.write_text(f"open({str(runs)!r}, 'a').write('x')\ndef size(mol):\n    return mol.GetNumAtoms()\n")
    target = Target(f"{path}:size")
    with Pool(1) as pool:
        scorer = Scorer(target, pool)
        assert scorer(["C" * n for n in range(1, 40)]).tolist() == list(range(1, 40))  # in three chunks
        scorer(["CO", "CN"])
    assert runs.read_text() == "xx"  # here, and there


def test_reward_shapes():
    scores = np.array([0.0, 3.0, math.nan])
    assert Shaping("linear", 1 / 3).term(scores)[:2].tolist() == [0.0, 1.0]
    assert Shaping("exp", 1 / 3, 4.0).term(scores)[:2] == pytest.approx([-3.0, math.e - 4])
    assert np.isfinite(Shaping("exp").term(np.array([1e6]))).all()
    rewards = Reward(Shaping(), sign=-1.0)(["C", "CC", None, "CCC"], np.array([1.0, 2.0, math.nan, math.nan]))
    assert rewards[:3].tolist() == [-1.0, -2.0, -2.0] and math.isnan(rewards[3])


def test_published_reward_adds_structure():
    alert, fine = "CCOO", "CCCO"
    rewards = Reward(Shaping("linear", 1.0, structure=True))([alert, fine], np.array([0.5, 0.5]))
    assert rewards.tolist() == [1.5, 2.5]
