import copy
import math

import pytest
import torch

from flowsuite.core.training.optim import GlowAdamax, update_all_at_once


@pytest.mark.parametrize("shape", [(), (5,), (3, 4)])
def test_follows_the_formula(shape):
    torch.manual_seed(0)
    w = torch.nn.Parameter(torch.randn(shape, dtype=torch.float64))
    lr, (b1, b2), eps = 1e-2, (0.9, 0.95), 1e-8
    optimizer = GlowAdamax([w], lr, (b1, b2), eps)
    expected, m, u = w.detach().clone(), 0.0, torch.zeros_like(w)
    for t in range(1, 21):
        g = torch.randn(shape, dtype=torch.float64)
        w.grad = g.clone()
        optimizer.step()
        m = b1 * m + (1 - b1) * g
        u = torch.maximum(b2 * u, g.abs())
        expected = expected - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (u + eps)
        torch.testing.assert_close(w.detach(), expected, rtol=1e-12, atol=1e-14)


def test_parameters_that_start_later_count_their_own_steps():
    a, b = (torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))
    optimizer = GlowAdamax([a, b], 0.1)
    a.grad = torch.ones_like(a)
    optimizer.step()
    b.grad, a.grad = torch.ones_like(b), None
    optimizer.step()
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_state_round_trip():
    def make():
        w = torch.nn.Parameter(torch.ones(3))
        return w, GlowAdamax([w], 0.1)

    (w1, first), (w2, second) = make(), make()
    for i in range(6):
        if i == 3:
            w2.data.copy_(w1.data)
            second.load_state_dict(copy.deepcopy(first.state_dict()))
        for w, optimizer in ((w1, first), (w2, second)):
            if w is w1 or i >= 3:
                w.grad = torch.full((3,), float(i - 2))
                optimizer.step()
    torch.testing.assert_close(w1, w2, rtol=0, atol=0)


def test_bad_arguments():
    w = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="betas"):
        GlowAdamax([w], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="lr"):
        GlowAdamax([w], lr=-1)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "SGD", "RMSprop", "Adagrad", "NAdam", "RAdam"])
def test_all_at_once_is_the_same_update(name):
    shapes, generator = [(3, 4), (5,), ()], torch.Generator().manual_seed(0)
    start = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    grads = [[torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes] for _ in range(4)]

    def trained(all_at_once):
        weights = [torch.nn.Parameter(w.clone()) for w in start]
        optimizer = getattr(torch.optim, name)(weights, lr=0.1)
        if all_at_once:
            update_all_at_once(optimizer)
            group = optimizer.param_groups[0]
            assert group["fused" if name in ("Adam", "AdamW", "SGD") else "foreach"]
        for of_step in grads:
            for w, g in zip(weights, of_step, strict=True):
                w.grad = g.clone()
            optimizer.step()
        return weights

    for w, expected in zip(trained(True), trained(False), strict=True):
        torch.testing.assert_close(w, expected, rtol=1e-12, atol=1e-14)


def test_a_choice_made_by_hand_stands():
    w = torch.nn.Parameter(torch.ones(2))
    for chosen in ({"foreach": False}, {"fused": False}, {"capturable": True}):
        optimizer = torch.optim.Adam([w], **chosen)
        before = dict(optimizer.param_groups[0])
        update_all_at_once(optimizer)
        assert optimizer.param_groups[0] == before
    glow = GlowAdamax([w])
    update_all_at_once(glow)
    assert "foreach" not in glow.param_groups[0]
