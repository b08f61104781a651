import numpy as np
import pytest
import torch
from toyflow import Vectors

import flowsuite.core.training.loader as loader_module
from flowsuite.core.training.loader import FlowLoader


class Indices(torch.utils.data.Dataset):
    """Items are their own index, one at a time."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.tensor(i), np.random.rand()


def as_rank(monkeypatch, rank, ranks):
    monkeypatch.setattr(loader_module, "world", lambda: (rank, ranks))


def test_epochs_are_permutations_and_differ():
    loader = FlowLoader(Indices(20), 4, shuffle=True)
    epochs = [torch.cat([x for x, _ in loader]) for _ in range(3)]
    assert all(sorted(epoch.tolist()) == list(range(20)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])
    loader.set_epoch(1)
    assert torch.equal(torch.cat([x for x, _ in loader]), epochs[1])


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_what_one_process_sees(monkeypatch, ranks):
    whole = [set(x.tolist()) for x, _ in FlowLoader(Indices(25), 2 * ranks, shuffle=True)]
    parts = []
    for rank in range(ranks):
        as_rank(monkeypatch, rank, ranks)
        parts.append([x.tolist() for x, _ in FlowLoader(Indices(25), 2, shuffle=True)])
    assert all(len(batch) == 2 for part in parts for batch in part)
    assert [set().union(*batches) for batches in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize(("n", "ranks"), [(20, 1), (23, 2), (25, 3), (7, 3)])
def test_evaluation_sees_every_example_once(monkeypatch, n, ranks):
    seen, lengths = [], []
    for rank in range(ranks):
        as_rank(monkeypatch, rank, ranks)
        batches = [x.tolist() for x, _ in FlowLoader(Indices(n), 2, "val")]
        lengths.append(len(batches))
        assert all(batches)
        seen += [i for batch in batches for i in batch]
    assert len(set(lengths)) == 1
    repeated = (ranks - n % (2 * ranks)) if 0 < n % (2 * ranks) < ranks else 0
    assert set(seen) == set(range(n)) and len(seen) == n + repeated


@pytest.mark.parametrize("workers", [0, 2])
def test_resumes_at_the_next_batch(workers):
    def new():
        return FlowLoader(Vectors(40, 3, augment=True), 4, shuffle=True, num_workers=workers)

    whole = list(new())
    loader = new()
    iterator = iter(loader)
    first = [next(iterator) for _ in range(4)]
    state = loader.state_dict()
    assert state == {"epoch": 0, "batch": 4}
    resumed = new()
    resumed.load_state_dict(state)
    rest = list(resumed)
    assert all(torch.equal(a, b) for a, b in zip(whole, [*first, *rest], strict=True))
    assert len(list(resumed)) == 10


def test_state_of_another_epoch_does_not_apply():
    loader = FlowLoader(Indices(20), 4, shuffle=True)
    loader.load_state_dict({"epoch": 0, "batch": 3})
    loader.set_epoch(1)
    assert len(list(loader)) == 5
    loader.load_state_dict({"epoch": 2, "batch": 5})
    loader.set_epoch(3)
    assert len(list(loader)) == 5


def test_augmentation_leaves_the_generators_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(3), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    a = [noise for _, noise in FlowLoader(Indices(8), 4, "val")]
    assert torch.equal(torch.rand(3), expected[0]) and np.random.rand() == expected[1]
    b = [noise for _, noise in FlowLoader(Indices(8), 4, "val")]
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert len(torch.cat(a).unique()) == 8


def test_peek_moves_nothing():
    loader = FlowLoader(Vectors(40, 3, augment=True), 4, shuffle=True)
    iterator = iter(loader)
    next(iterator)
    peeked = loader.peek(1, 2)
    assert all(torch.equal(a, b) for a, b in zip(peeked, iterator, strict=False))


def test_too_few_examples():
    with pytest.raises(ValueError, match="train set has 3 examples, fewer than the 4"):
        FlowLoader(Indices(3), 4, shuffle=True)
    with pytest.raises(ValueError, match="val set has 0 examples"):
        FlowLoader(Indices(0), 4, "val")
