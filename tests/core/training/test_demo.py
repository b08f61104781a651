"""`flowsuite demo`: which parts are done, what is said of those that are not, and what is handed to them."""

from __future__ import annotations

import sys
import types

import pytest

from flowsuite.core.training import demo
from flowsuite.core.training.demo_parts import Part, Plan, find_parts
from flowsuite.core.training.pictures import write_png


def make_parts(monkeypatch, **runs) -> dict[str, Part]:
    """Parts of a minute each, by name and `run(folder, options)`, in place of those of the suite."""
    parts = {}
    for name, run in runs.items():
        module = types.ModuleType(f"made_{name}")
        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)
        parts[name] = Part(name, module.__name__, extra=name, seconds=60)
    monkeypatch.setattr(demo, "find_parts", lambda: parts)
    return parts


def shows(title):
    return lambda folder, options: demo.Section(title, "as it should", headline={"options": " ".join(options)})


def breaks(error):
    def run(folder, options):
        raise error

    return run


def test_order_and_what_modules_state():
    found = find_parts()
    assert list(found) == ["images", "vae", "variational", "pointclouds", "molecules", "audio", "video"]
    assert found["audio"] == Part(
        "audio", "flowsuite.audio.demo", "audio", ("librosa", "soundfile", "torchaudio"), found["audio"].seconds
    )
    assert sum(part.seconds for part in found.values()) < 15 * 60
    assert found["vae"].extra == "images" and found["variational"].extra == ""


def test_one_failure_does_not_lose_the_others(monkeypatch, tmp_path, capsys):
    make_parts(monkeypatch, a=breaks(ValueError("no such\ndata <here>")), b=shows("Part B"))
    assert demo.main(["--out", str(tmp_path)]) == 1
    page, printed = (tmp_path / "index.html").read_text(), capsys.readouterr()
    assert "failed: no such data &lt;here&gt;" in page and "Part B" in page
    assert printed.err.strip() == "flowsuite: error: a failed: no such data <here>"
    assert "part 1 of 2: a, usually about 1 min; 0 s so far, about 2 min to go" in printed.out
    assert "part 2 of 2: b, usually about 1 min; 0 s so far, about 1 min to go" in printed.out


def test_a_figure_that_cannot_be_shown_is_a_failure_of_its_part(monkeypatch, tmp_path):
    lost = demo.Section("A", "", figures=[(tmp_path / "absent.png", "lost")])
    make_parts(monkeypatch, a=lambda folder, options: lost, b=shows("Part B"))
    assert demo.main(["--out", str(tmp_path)]) == 1
    page = (tmp_path / "index.html").read_text()
    assert "absent.png: no such file" in page and "Part B" in page


@pytest.mark.parametrize("known", [True, False])
def test_missing_extra_is_named(monkeypatch, tmp_path, capsys, known):
    missing = ModuleNotFoundError("No module named 'not_there'", name="not_there.inside")
    parts = make_parts(monkeypatch, a=breaks(missing), b=shows("Part B"))
    if known:
        parts["a"] = Part("a", "made_a", "a", ("json", "not_there"))
    assert demo.main(["--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "left out: a, it needs not_there" in printed and "pip install 'flowsuite[a]'" in printed
    assert ("part 1 of 2" in printed) != known
    page = (tmp_path / "index.html").read_text()
    assert "pip install &#x27;flowsuite[a]&#x27;" in page and "Part B" in page


def test_own_modules_that_lack_are_failures(monkeypatch, tmp_path):
    make_parts(monkeypatch, a=breaks(ModuleNotFoundError("No module", name="flowsuite.lost")))
    assert demo.main(["--out", str(tmp_path)]) == 1


def test_budget(monkeypatch, tmp_path, capsys):
    make_parts(monkeypatch, a=shows("Part A"), b=shows("Part B"), c=shows("Part C"))
    monkeypatch.setattr(demo.time, "perf_counter", iter(range(0, 100_000, 30)).__next__)
    assert demo.main(["--out", str(tmp_path), "--minutes", "2.8"]) == 0
    page, printed = (tmp_path / "index.html").read_text(), capsys.readouterr().out
    assert "Part A" in page and "Part B" not in page
    assert "left out: b, it usually takes about 1 min, and 2 min of 2.8 min are over" in printed
    assert "it usually takes about 1 min" in page


def test_plan_takes_what_still_fits_and_measures_the_pace():
    parts = [Part(name, name, seconds=seconds) for name, seconds in (("a", 60), ("b", 600), ("c", 100))]
    plan = Plan(parts, minutes=10)
    assert [part.name for part in plan.fitting(0)] == ["a", "c"] and plan.to_go(0) == 160
    plan.waiting.pop(0)
    plan.done(parts[0], 120)
    assert plan.pace == 2 and plan.to_go(120) == 200 and plan.to_go(450) == 0
    plan.done(parts[1], 1)
    assert plan.pace == 1  # not faster than usual
    assert Plan(parts).to_go(1e6) == 760


def test_seed_and_choice_are_handed_on(monkeypatch, tmp_path):
    parts = make_parts(monkeypatch, a=shows("Part A"), b=shows("Part B"), c=shows("Part C"))
    parts["b"] = Part("b", "made_b", seed="--seed")
    assert demo.main(["--out", str(tmp_path), "--domains", "b", "a", "--seed", "7"]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "--seed_everything 7" in page and "<dd>--seed 7</dd>" in page and "Part C" not in page
    assert page.index("Part A") < page.index("Part B")


@pytest.mark.parametrize("argv", [["--only", "poetry"], ["--minutes", "0"], ["--seed", "x"]])
def test_wrong_options_are_refused(tmp_path, capsys, argv):
    with pytest.raises(SystemExit):
        demo.main(["--out", str(tmp_path), *argv])
    assert argv[1] in capsys.readouterr().err


def test_an_interrupt_stops_all_and_keeps_what_is_done(monkeypatch, tmp_path):
    make_parts(monkeypatch, a=shows("Part A"), b=breaks(KeyboardInterrupt()), c=shows("Part C"))
    with pytest.raises(KeyboardInterrupt):
        demo.main(["--out", str(tmp_path)])
    page = (tmp_path / "index.html").read_text()
    assert "Part A" in page and "Part C" not in page


@pytest.mark.parametrize(("status", "error"), [(130, KeyboardInterrupt), (1, RuntimeError)])
def test_training_that_ends_early(monkeypatch, tmp_path, status, error):
    from flowsuite.core.training import lightning_cli

    monkeypatch.setattr(lightning_cli, "run", lambda argv: status)
    with pytest.raises(error):
        demo.train_recipe("images/demo", tmp_path / "images")


def test_pages_are_made_anew(tmp_path):
    import torch

    path = write_png(tmp_path / "a.png", torch.zeros(1, 2, 2, dtype=torch.uint8))
    first = demo.write_page([demo.Section("A", "", figures=[(path, "dark")])], tmp_path).read_text()
    path.unlink()
    assert "data:image/png;base64," in first and "A" in first
