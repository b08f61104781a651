"""The network of one flow: what it may see, and what it is made of."""

import warnings

import pytest
import torch

from flowsuite.audio.row_net import RowNet, height_dilations
from tests.audio.flows_made import BANDS, moved


def net_of(dilations, channels=4, **options):
    torch.manual_seed(0)
    return moved(RowNet(channels, dilations, BANDS, **options))


def test_published_dilations():
    assert height_dilations(8, 8) == height_dilations(16, 8) == [1] * 8
    assert height_dilations(32, 8) == [1, 2, 4, 1, 2, 4, 1, 2]
    assert height_dilations(64, 8) == [1, 2, 4, 8, 16, 1, 2, 4]
    assert height_dilations(128, 8) == [1, 2, 4, 8, 16, 32, 64, 1]
    reach = {h: RowNet(2, height_dilations(h, 8), 1).receptive_rows for h in (8, 16, 32, 64)}
    assert reach == {8: 17, 16: 17, 32: 35, 64: 77}


@pytest.mark.parametrize("dilations", [[1], [1, 1], [2, 1], [1, 3, 2]])
@pytest.mark.parametrize("bounded", [None, 0.7])
def test_causality(dilations, bounded):
    """Row r of the output sees the rows 0..r of what goes in, within its reach, and nothing below."""
    net, rows, width = net_of(dilations, scale_bound=bounded), 7, 3
    x = torch.randn(1, rows, width, dtype=torch.float64)
    mel = torch.randn(1, BANDS, rows, width, dtype=torch.float64)
    of_x, of_mel = torch.autograd.functional.jacobian(lambda a, b: torch.stack(net(a, b)), (x, mel))
    of_x = of_x.abs().sum((1, 3, 4, 6))  # (2, output rows, input rows)
    of_mel = of_mel.abs().sum((1, 3, 4, 5, 7))
    reach = 2 * sum(dilations)
    for r in range(rows):
        for given in range(rows):
            if given > r or r - given > reach:
                assert not of_x[:, r, given].any() and not of_mel[:, r, given].any()
        assert of_x[:, r, r].all() and of_mel[:, r, r].all()
    if rows > reach:
        assert of_x[:, -1, rows - 1 - reach].all()


def test_reach_over_columns():
    """`2^layers - 1` columns to either side, and the border is no different from zeros beyond it."""
    net = net_of([1, 1])
    x = torch.zeros(1, 3, 15, dtype=torch.float64, requires_grad=True)
    mel = torch.zeros(1, BANDS, 3, 15, dtype=torch.float64)
    net(x, mel)[0][0, 2, 7].backward()
    seen = x.grad[0].abs().sum(0) > 0
    assert seen.tolist() == [abs(j - 7) <= 3 for j in range(15)]


@torch.no_grad()
def test_columns_behind_a_clip_are_not_there():
    net = net_of([1, 2])
    x, mel = torch.randn(2, 5, 9, dtype=torch.float64), torch.randn(2, BANDS, 5, 9, dtype=torch.float64)
    columns = torch.ones(2, 1, 1, 9, dtype=torch.float64)
    columns[1, ..., 4:] = 0
    x[1, :, 4:] = 0
    both = net(x, mel, columns)
    for part, alone in zip(both, net(x[1:, :, :4], mel[1:, :, :, :4]), strict=True):
        torch.testing.assert_close(part[1:, :, :4], alone, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_starts_as_identity():
    log_s, t = RowNet(4, [1, 1], BANDS)(torch.randn(2, 3, 5), torch.randn(2, BANDS, 3, 5))
    assert not log_s.any() and not t.any()


def test_every_parameter_matters():
    net = net_of([1, 2, 1], channels=3)
    log_s, t = net(torch.randn(2, 6, 8).double(), torch.randn(2, BANDS, 6, 8).double())
    (log_s.square().sum() + t.sum()).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        if name == "front.weight":  # one number a filter, of which its norm leaves the sign
            assert p.grad.abs().max() < 1e-12
        else:
            assert p.grad.flatten(1).any(1).all() if p.ndim > 1 else p.grad.any(), name


def test_every_tap_matters():
    """No weight of a convolution is dead: all nine taps get gradient."""
    net = net_of([1, 2], channels=3)
    log_s, t = net(torch.randn(1, 7, 8).double(), torch.randn(1, BANDS, 7, 8).double())
    (log_s.square().sum() + t.sum()).backward()
    for conv in net.convs:
        assert (conv.weight.grad != 0).all()


@torch.no_grad()
def test_scale_bound():
    net = net_of([1, 1], scale_bound=0.3)
    net.out.weight.mul_(100)
    free = net_of([1, 1])
    free.out.weight.mul_(100)
    x, mel = torch.randn(1, 4, 9).double(), torch.randn(1, BANDS, 4, 9).double()
    (log_s, t), (raw, other) = net(x, mel), free(x, mel)
    assert log_s.abs().max() <= 0.3 < raw.abs().max()
    torch.testing.assert_close(log_s, 0.3 * torch.tanh(raw / 0.3))
    assert torch.equal(t, other)


@torch.no_grad()
def test_weights_do_not_depend_on_autocast():
    net = RowNet(4, [1, 1], BANDS)
    torch.nn.init.normal_(net.out.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = net.weights()
    for a, b in zip(low, net.weights(), strict=True):
        for x, y in zip(*((a, b) if isinstance(a, list) else ([a], [b])), strict=True):
            assert x.dtype == torch.float32 and torch.equal(x, y)


def test_height_out_of_reach():
    net = RowNet(2, [1, 1, 1], 1)  # 7 rows above
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.check_height(8)
    with pytest.warns(UserWarning, match="reach 7 rows, fewer than the 8"):
        net.check_height(9)


@pytest.mark.parametrize("arguments", [(0, [1]), (2, []), (2, [0, 1]), (2, [1], 0)])
def test_refused(arguments):
    with pytest.raises(ValueError, match="expected channels, n_mels, dilations >= 1"):
        RowNet(*arguments)


def test_bad_input():
    with pytest.raises(ValueError, match="scale_bound must be positive"):
        RowNet(2, [1], 1, scale_bound=0.0)
    with pytest.raises(ValueError, match="of 3 bands, got 5"):
        net_of([1])(torch.zeros(1, 3, 4).double(), torch.zeros(1, 5, 3, 4).double())
