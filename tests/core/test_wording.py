from flowsuite.core.wording import plural


def test_one_and_many():
    assert [plural(n, "clip") for n in (0, 1, 2, 2000)] == ["0 clips", "1 clip", "2 clips", "2,000 clips"]
