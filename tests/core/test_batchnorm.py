"""Moving batch norm: both kinds of training statistics, evaluation, several ranks."""

import os

import pytest
import torch
import torch.multiprocessing as mp

from flowsuite.core.layers.batchnorm import MovingBatchNorm


@pytest.mark.parametrize("shape", [(64, 5), (16, 5, 7), (8, 5, 4, 3)])
def test_training_with_batch_statistics(shape):
    torch.manual_seed(0)
    layer, x = MovingBatchNorm(5).double(), 3 * torch.randn(shape, dtype=torch.float64) + 2
    z, ladj = layer(x)
    flat, axes = x.movedim(1, -1).flatten(0, -2), [0, *range(2, x.ndim)]
    mean, var = flat.mean(0), flat.var(0, unbiased=False)
    torch.testing.assert_close(z.mean(axes), torch.zeros(5, dtype=x.dtype), rtol=0, atol=1e-12)
    torch.testing.assert_close(z.var(axes, unbiased=False), var / (var + 1e-4))
    expected = -0.5 * x[0, 0].numel() * torch.log(var + 1e-4).sum()
    torch.testing.assert_close(ladj, expected.expand(shape[0]))
    torch.testing.assert_close(layer.running_mean, 0.1 * mean)
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * var)


def test_gradients_pass_through_batch_statistics_only():
    x = torch.randn(16, 3, dtype=torch.float64, requires_grad=True)

    def gradient(statistics):
        layer = MovingBatchNorm(3, statistics=statistics).double()
        z, ladj = layer(x)
        assert not layer.running_mean.requires_grad
        return torch.autograd.grad(z.pow(3).sum() + ladj.sum(), x)[0]

    def plain(v):
        var, mean = torch.var_mean(v, dim=0, unbiased=False)
        z = (v - mean) / (var + 1e-4).sqrt()
        return z.pow(3).sum() - 0.5 * len(v) * torch.log(var + 1e-4).sum()

    torch.testing.assert_close(gradient("batch"), torch.autograd.grad(plain(x), x)[0])
    scale = 1 / (1 + 1e-4) ** 0.5  # running mean 0, variance 1
    torch.testing.assert_close(gradient("running"), 3 * scale**3 * x.detach().square())


def test_training_with_running_statistics_normalises_before_it_updates():
    torch.manual_seed(0)
    layer = MovingBatchNorm(4, momentum=0.2, statistics="running").double()
    mean, var = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    for _ in range(3):
        x = 2 * torch.randn(9, 4, dtype=torch.float64) + 1
        z, ladj = layer(x)
        torch.testing.assert_close(z, (x - mean) / (var + 1e-4).sqrt())
        torch.testing.assert_close(ladj, (-0.5 * torch.log(var + 1e-4).sum()).expand(9))
        mean, var = 0.8 * mean + 0.2 * x.mean(0), 0.8 * var + 0.2 * x.var(0)
        torch.testing.assert_close(layer.running_mean, mean)
        torch.testing.assert_close(layer.running_var, var)


def test_evaluation_uses_and_keeps_the_running_statistics():
    layer = MovingBatchNorm(3)
    for _ in range(100):
        layer(5 + 2 * torch.randn(256, 3))
    layer.eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    z, _ = layer(5 + 2 * torch.randn(4096, 3))
    assert z.mean().abs() < 0.1 and abs(z.std() - 1) < 0.1
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_refusals(statistics):
    layer = MovingBatchNorm(3, statistics=statistics)
    with pytest.raises(RuntimeError, match=r"cannot decode in training mode: call eval\(\)"):
        layer.generate(torch.randn(4, 3))
    with pytest.raises(ValueError, match="more than one value a channel"):
        layer(torch.randn(1, 3))
    with pytest.raises(ValueError, match="expected 3 channels"):
        layer(torch.randn(4, 2))


@pytest.mark.parametrize(
    ("options", "message"), [({"statistics": "none"}, "statistics"), ({"momentum": 0}, "momentum"), ({"eps": 0}, "eps")]
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MovingBatchNorm(3, **options)


def test_constant_channel_stays_finite():
    layer = MovingBatchNorm(2)
    x = torch.stack((torch.full((8,), 7.0), torch.randn(8)), 1).requires_grad_()
    z, ladj = layer(x)
    (z.square().sum() + ladj.sum()).backward()
    assert z.isfinite().all() and ladj.isfinite().all() and x.grad.isfinite().all()


def test_compiles_in_training():
    x = torch.randn(8, 3)
    layer, twin = MovingBatchNorm(3, affine=True), MovingBatchNorm(3, affine=True)
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    for a, b in zip(compiled(x), layer(x), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(twin.running_var, layer.running_var)


def _rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    x = torch.load(f"{folder}/x.pt", weights_only=True)
    layer, part = MovingBatchNorm(3), (x[:5] if rank == 0 else x[5:]).requires_grad_()
    z, ladj = layer(part)
    (z.pow(3).sum() + ladj.sum()).backward()
    torch.save([z.detach(), ladj.detach(), part.grad, layer.running_mean, layer.running_var], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_ranks_share_their_statistics(tmp_path):
    """Two ranks with unequal batches equal one process with the joined batch, gradients too."""
    x = torch.randn(12, 3)
    torch.save(x, tmp_path / "x.pt")
    context = mp.get_context("fork")
    ranks = [context.Process(target=_rank, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0, 0], f"a rank failed (pid {os.getpid()})"
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    layer, joined = MovingBatchNorm(3), x.clone().requires_grad_()
    z, ladj = layer(joined)
    (z.pow(3).sum() + ladj.sum()).backward()
    for i, whole in enumerate((z, ladj, joined.grad)):
        torch.testing.assert_close(torch.cat((first[i], second[i])), whole.detach(), rtol=1e-5, atol=1e-5)
    for saved in (first, second):
        torch.testing.assert_close(saved[3], layer.running_mean)
        torch.testing.assert_close(saved[4], layer.running_var)


def test_a_batch_with_nan_leaves_the_averages_finite():
    norm = MovingBatchNorm(3).train()
    x = torch.randn(8, 3)
    norm(x)
    before = norm.running_mean.clone()
    x[0, 1] = float("nan")
    norm(x)
    assert norm.running_mean.isfinite().all() and norm.running_var.isfinite().all()
    assert norm.running_mean[1] == before[1] and norm.running_mean[0] != before[0]
