import pytest
import torch
import torch.nn.functional as F

from flowsuite.core.nets.resnet import ResNet, ShiftBatchNorm2d, WeightNormConv2d


@pytest.mark.parametrize("magnitude", [False, True])
def test_weight_norm(magnitude):
    conv = WeightNormConv2d(3, 5, 3, magnitude=magnitude)
    norms = conv.normalized_weight().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, conv.magnitude if magnitude else torch.ones(5))
    bound = (2 / 3) ** 0.5
    assert conv.weight.abs().max() <= bound
    if magnitude:
        torch.testing.assert_close(conv.magnitude, torch.full((5,), bound * (27 / 12) ** 0.5))
    x = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        before = conv(x)
        conv.weight.mul_(2)
        torch.testing.assert_close(conv(x), before)
        conv.weight.add_(torch.randn_like(conv.weight))
        torch.testing.assert_close(conv(x), F.conv2d(x, conv.normalized_weight(), conv.bias, padding=1))


@pytest.mark.parametrize("lag", [0.0, 0.5])
def test_batch_norm_statistics(lag):
    norm = ShiftBatchNorm2d(3, lag=lag).double().train()
    with torch.no_grad():
        norm.bias.normal_()
    x = 2 * torch.randn(4, 3, 5, 5, dtype=torch.float64) + 1
    y = norm(x)
    mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * var)
    if lag:
        mean, var = 0.5 * mean / 0.5, (0.5 * var + 0.5) / 0.5
    expected = (x - mean[:, None, None]) / (var[:, None, None] + 1e-4).sqrt() + norm.bias[:, None, None]
    torch.testing.assert_close(y, expected)
    norm.eval()
    running = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-4).sqrt()
    torch.testing.assert_close(norm(x), running + norm.bias[:, None, None])


def test_biases_only_where_no_batch_norm_follows():
    net = ResNet(3, 4, 6, blocks=2, bottleneck=True)
    has_bias = {name: conv.bias is not None for name, conv in net.named_modules() if isinstance(conv, WeightNormConv2d)}
    without = {name for name, bias in has_bias.items() if not bias}
    assert without == {f"blocks.{i}.convs.{j}" for i in (0, 1) for j in (0, 1)}
    assert all(has_bias.values()) is False
    plain = ResNet(3, 4, 6, blocks=2, batch_norm=False)
    assert all(conv.bias is not None for conv in plain.modules() if isinstance(conv, WeightNormConv2d))


def test_output_is_the_same_for_both_memory_formats():
    net = ResNet(3, 4, 6, blocks=1).eval()
    x = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(net(x), net(x.contiguous(memory_format=torch.channels_last)))
    assert net(x).shape == (2, 6, 4, 6)
