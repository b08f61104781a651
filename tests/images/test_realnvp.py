import copy

import pytest
import torch

from flowsuite.core.layers.moments import MovingMoments
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.transform import Compose, Inverse
from flowsuite.images.realnvp import RealNVP, reorder_cells

from .jacobian import jacobian

SHAPE = (3, 4, 4)


def make(shape=SHAPE, **options):
    """A RealNVP with every parameter and running average away from its initial value."""
    torch.manual_seed(0)
    flow = RealNVP(shape, **{"n_scales": 2, "base_dim": 3, "residual_blocks": 1, **options})
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in flow.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return flow.eval()


def some_images(shape=SHAPE, n=4):
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


OPTIONS = {
    "published": {},
    "no_batch_norm": {"batch_norm": False, "skip": False},
    "additive": {"coupling": "additive"},
    "bottleneck": {"bottleneck": True},
    "no_blocks": {"residual_blocks": 0},
    "bounded": {"scale": "tanh"},
    "one_channel": {"shape": (1, 4, 4)},
    "non_square": {"shape": (1, 2, 6)},
    "three_scales": {"shape": (1, 4, 8), "n_scales": 3},
    "one_scale_odd": {"shape": (2, 3, 3), "n_scales": 1},
    "other_alpha": {"alpha": 1e-6, "shape": (1, 4, 4)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_log_det_is_that_of_the_jacobian(options):
    flow = make(**options).double().continuous.eval()
    shape = options.get("shape", SHAPE)
    y = torch.rand(2, *shape, dtype=torch.float64)
    with torch.no_grad():
        z, ladj = flow.transform(y)
        back, inverse_ladj = flow.transform.inverse(z)
    expected = torch.linalg.slogdet(jacobian(flow.transform, y[0]))[1]
    torch.testing.assert_close(ladj[0], expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back, y, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(inverse_ladj, -ladj)


@pytest.mark.parametrize("options", [{}, {"shape": (1, 4, 4), "n_bits": 5}, {"batch_norm": False}])
def test_images_in_and_out(options):
    flow, images = make(**options), some_images(options.get("shape", SHAPE))
    reduced = images >> (8 - flow.n_bits) << (8 - flow.n_bits)
    z = flow.encode(images)
    assert z.shape == (4, flow.dims)
    assert torch.equal(flow.decode(z), reduced)
    assert flow.log_prob(images).shape == (4,)
    assert flow.sample(2, temperature=0.5).shape == (2, *flow.image_shape)
    assert [tuple(part.shape[1:]) for part in flow.body.unflatten(z)] == flow.body.shapes


@pytest.mark.parametrize("channels", [1, 3])
def test_reordering_is_unsqueeze_then_ordered_squeeze(channels):
    x = torch.randn(2, 4 * channels, 3, 5)
    expected = Compose([Inverse(Squeeze2d()), Squeeze2d("checkerboard")])(x)[0]
    assert torch.equal(reorder_cells(channels)(x)[0], expected)


def test_training_mode_uses_the_batch_and_moves_the_averages():
    flow, images = make(), some_images()
    first = copy.deepcopy(flow).train()
    y = flow.dequantize.center(images)
    together = first.continuous.log_prob(y)
    other = copy.deepcopy(flow).train().continuous.log_prob(torch.cat((y[:2], 1 - y[2:])))
    assert not torch.allclose(together[:2], other[:2])
    before, after = dict(flow.named_buffers()), dict(first.named_buffers())
    moving = [name for name in before if "running" in name]
    assert moving and all(not torch.equal(before[name], after[name]) for name in moving)
    evaluated = copy.deepcopy(flow)
    evaluated.log_prob(images)
    assert all(torch.equal(before[name], value) for name, value in evaluated.named_buffers())


def test_data_dependent_initialisation_leaves_the_averages():
    flow = make().train()
    before = {name: value.clone() for name, value in flow.named_buffers()}
    flow.initialize(some_images())
    assert all(torch.equal(before[name], value) for name, value in flow.named_buffers())


def test_output_norm_standardises_what_a_coupling_changes():
    flow = make().double().train()
    coupling = flow.body.levels[0][4]
    x = torch.randn(16, 12, 2, 2, dtype=torch.float64)
    moved = coupling(x)[0][:, 6:]
    torch.testing.assert_close(moved.mean(dim=(0, 2, 3)), torch.zeros(6, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        moved.var(dim=(0, 2, 3), correction=0), torch.ones(6, dtype=torch.float64), atol=0.01, rtol=0
    )


def test_lag_blends_batch_and_running_statistics():
    moments = MovingMoments(2, lag=0.25)
    moments.running_mean.fill_(3.0)
    mean, var = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([4.0, 4.0])
    used_mean, used_var = moments.blend(mean, var)
    torch.testing.assert_close(used_mean, (0.25 * mean + 0.75 * 3) / 0.75)
    torch.testing.assert_close(used_var, (0.25 * var + 0.75 * 1) / 0.75)
    used_mean.sum().backward()
    torch.testing.assert_close(mean.grad, torch.full((2,), 1 / 3))
    torch.testing.assert_close(moments.running_mean, torch.tensor([2.8, 2.9]))
    assert moments.step == 1


def test_decoding_in_training_mode_is_refused():
    flow = make().train()
    for decode in (lambda: flow.decode(torch.zeros(1, flow.dims)), lambda: flow.sample(1)):
        with pytest.raises(RuntimeError, match=r"call \.eval\(\) first"):
            decode()
    assert make(batch_norm=False).train().sample(1).shape == (1, *SHAPE)


def test_couplings_have_gradients_and_the_initial_scales():
    flow = RealNVP(SHAPE, n_scales=2, base_dim=3, residual_blocks=1)
    level = flow.body.levels[0]
    assert [level[i].map.scale.scale.item() for i in (0, 1, 2, 4, 5, 6)] == [0, 0, 0, 1, 1, 1]
    flow = make().train()
    flow.log_prob(some_images()).mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in flow.parameters())


def test_additive_keeps_the_third_and_the_last_affine():
    flow = make(coupling="additive")
    kinds = [[type(layer.map).__name__ for layer in level if hasattr(layer, "map")] for level in flow.body.levels]
    three = ["Additive", "Additive", "Affine"]
    assert kinds == [three + three, [*three, "Affine"]]


def test_penalised_parameters():
    flow = make()
    names = {id(p): name for name, p in flow.named_parameters()}
    penalised = {names[id(p)] for p in flow.penalized_parameters()}
    expected = {name for name in names.values() if name.endswith("magnitude")}
    scales = {n for n in names.values() if n.endswith("scale.scale") and int(n.split(".transforms.")[-1][0]) < 4}
    assert len(scales) == 7 and penalised == expected | scales


def test_examples_do_not_see_each_other_in_evaluation():
    flow = make().double().continuous.eval()
    y = torch.rand(3, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(flow.log_prob(y)[1:2], flow.log_prob(y[1:2]))


def test_training_mode_compiles_without_breaks():
    flow, images = make((1, 2, 2), n_scales=2, base_dim=2, residual_blocks=0).train(), some_images((1, 2, 2))
    eager = copy.deepcopy(flow)
    compiled, values = torch.compile(flow.log_prob, fullgraph=True, backend="eager"), []
    for log_prob in (compiled, eager.log_prob):
        torch.manual_seed(2)
        values.append(log_prob(images))
    torch.testing.assert_close(*values)
    for name, value in eager.named_buffers():
        torch.testing.assert_close(flow.get_buffer(name), value, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
def test_training_step_compiles_with_inductor():
    flow, images = make((1, 4, 4), n_scales=1, residual_blocks=1).train(), some_images((1, 4, 4))
    eager = copy.deepcopy(flow)
    y = flow.dequantize.center(images)
    values = torch.compile(flow.continuous.log_prob, fullgraph=True)(y)
    torch.testing.assert_close(values, eager.continuous.log_prob(y), rtol=1e-4, atol=1e-3)
    values.mean().backward()
    eager.continuous.log_prob(y).mean().backward()
    for (name, p), q in zip(flow.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_trains():
    torch.manual_seed(0)
    flow, images = RealNVP(SHAPE, n_scales=1, base_dim=4, residual_blocks=1), some_images(n=16) // 8
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    before = flow.train().bits_per_dim(images).mean().item()
    for _ in range(15):
        loss = flow.bits_per_dim(images).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < before - 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_scales": 0}, "n_scales must be at least 1"),
        ({"n_scales": 4}, "divisible by 8, got 4x4"),
        ({"coupling": "both"}, '"affine" or "additive"'),
        ({"scale": "cubic"}, "unknown scale map 'cubic'"),
        ({"bn_lag": 1.0}, r"lag must be in \[0, 1\)"),
        ({"residual_blocks": -1}, "blocks >= 0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
