"""Reversible training: the gradients of plain backpropagation, without its memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.flow_step import FlowStep, FlowSteps
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.maf import MAF
from flowsuite.core.nets.conv import GlowNet
from flowsuite.core.nets.mlp import MLP
from flowsuite.core.transform import Compose
from flowsuite.images.glow import Glow

PRECISIONS = [(torch.float64, 1e-8), (torch.float32, 1e-4)]


def coupling(swap=False, spline=False, context=3):
    mapping = RationalQuadraticSpline(5) if spline else Affine(make_scale("tanh"))
    net = MLP(2, 2 * mapping.n_params, [16], context_features=context)
    return Coupling(net, mapping, swap=swap, conditional=bool(context))


def conditional_chain(reversible):
    layers = []
    for i in range(3):
        layers += [ActNorm(4), InvertibleConv1x1(4), coupling(i % 2 == 1, spline=i == 1)]
    maf = MAF(4, 2, 12, context_features=3).transform
    return Compose([*layers, Compose([Permutation.reverse(4), *maf])], reversible)


def shared_chain(reversible):
    """One coupling and one network used several times."""
    twice = coupling()
    other = Coupling(twice.net, Affine(make_scale("tanh")), swap=True, conditional=True)
    return Compose([twice, Permutation.reverse(4), twice, other, ActNorm(4), twice], reversible)


def glow_steps(reversible):
    steps = [FlowStep(ActNorm(4), InvertibleConv1x1(4), Coupling(GlowNet(2, 4, 8), Affine())) for _ in range(3)]
    return FlowSteps(steps, reversible)


def randomize(module):
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))


def plain_and_reversible(make, dtype):
    """The same random module with reversible off and on."""
    torch.manual_seed(0)
    plain, reversible = make(False), make(True)
    randomize(plain)
    reversible.load_state_dict(plain.state_dict())
    return plain.to(dtype), reversible.to(dtype)


def gradients(transform, x, context=None):
    """Loss and its gradients in x, context and every parameter."""
    x = x.clone().requires_grad_()
    wanted = [x, *transform.parameters()]
    if context is not None:
        context = context.clone().requires_grad_()
        wanted.append(context)
    z, ladj = transform(x, context)
    weights = torch.linspace(0.5, 1.5, z.numel(), dtype=z.dtype).view_as(z)
    loss = (weights * z.square()).sum() - (ladj * torch.arange(1, len(ladj) + 1)).sum()
    return loss, torch.autograd.grad(loss, wanted)


def assert_same_gradients(plain, reversible, relative, *inputs):
    loss, expected = gradients(plain, *inputs)
    other_loss, actual = gradients(reversible, *inputs)
    torch.testing.assert_close(other_loss, loss, rtol=relative, atol=0)
    assert len(expected) == len(actual)
    for a, b in zip(actual, expected, strict=True):
        assert (a - b).norm() <= relative * b.norm(), f"gradient of shape {tuple(b.shape)}"


@pytest.mark.parametrize(("dtype", "relative"), PRECISIONS, ids=["float64", "float32"])
@pytest.mark.parametrize("make", [conditional_chain, shared_chain], ids=["context", "sharing"])
def test_chain_with_context(make, dtype, relative):
    plain, reversible = plain_and_reversible(make, dtype)
    x, context = torch.randn(6, 4, dtype=dtype), torch.randn(6, 3, dtype=dtype)
    assert_same_gradients(plain, reversible, relative, x, context)


@pytest.mark.parametrize(("dtype", "relative"), PRECISIONS, ids=["float64", "float32"])
def test_flow_steps(dtype, relative):
    plain, reversible = plain_and_reversible(glow_steps, dtype)
    assert_same_gradients(plain, reversible, relative, torch.randn(3, 4, 4, 4, dtype=dtype))


@pytest.mark.parametrize(("dtype", "relative"), PRECISIONS, ids=["float64", "float32"])
@pytest.mark.parametrize("coupling_kind", ["affine", "additive"])
def test_glow(dtype, relative, coupling_kind):
    def make(reversible):
        return Glow((1, 8, 8), levels=2, steps=3, width=8, coupling=coupling_kind, reversible=reversible)

    plain, reversible = plain_and_reversible(make, dtype)
    x = torch.rand(3, 1, 8, 8, dtype=dtype)
    assert_same_gradients(plain.continuous.transform, reversible.continuous.transform, relative, x)


def test_frozen_parameters_and_constant_inputs():
    plain, reversible = plain_and_reversible(conditional_chain, torch.float64)
    x, context = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    for chain in (plain, reversible):
        chain.transforms[2].requires_grad_(False)
        z, ladj = chain(x, context)
        (z.square().sum() - ladj.sum()).backward()
    for (name, p), q in zip(plain.named_parameters(), reversible.parameters(), strict=True):
        if name.startswith("transforms.2."):
            assert p.grad is None and q.grad is None
        else:
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-8, atol=1e-10)


def test_gradients_under_autocast():
    """Inputs recovered in float32 pass through the same bfloat16 networks."""
    plain, reversible = plain_and_reversible(glow_steps, torch.float32)
    x = torch.randn(4, 4, 4, 4)
    results = []
    for chain in (plain, reversible):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            results.append(torch.cat([g.flatten() for g in gradients(chain, x)[1]]))
    assert (results[0] - results[1]).norm() < 0.02 * results[0].norm()


def test_batch_norm_in_training_is_refused():
    chain = Compose([MovingBatchNorm(4), Permutation.reverse(4)], reversible=True)
    z, ladj = chain(torch.randn(6, 4, requires_grad=True))
    with pytest.raises(RuntimeError, match="cannot decode in training mode"):
        (z.sum() + ladj.sum()).backward()


def test_evaluation_is_untouched():
    plain, reversible = plain_and_reversible(conditional_chain, torch.float64)
    x, context = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        for a, b in zip(plain(x, context), reversible(x, context), strict=True):
            assert torch.equal(a, b)


def saved_bytes(depth, reversible):
    """Bytes of distinct tensor storages that autograd holds for the backward pass, parameters aside."""
    torch.manual_seed(0)
    step = FlowStep(ActNorm(4), InvertibleConv1x1(4), Coupling(GlowNet(2, 4, 8), Affine(make_scale("tanh"))))
    chain = FlowSteps([copy.deepcopy(step) for _ in range(depth)], reversible)
    x = torch.randn(4, 4, 8, 8, requires_grad=True)
    parameters = {p.untyped_storage().data_ptr() for p in chain.parameters()}
    held = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            held[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        z, ladj = chain(x)
    assert z.grad_fn is not None
    size = sum(storage.nbytes() for storage in held.values())
    (z.square().sum() - ladj.sum()).backward()
    assert all(p.grad is not None for p in chain.parameters())
    return size


def test_saved_memory_does_not_grow_with_depth():
    shallow, deep = saved_bytes(8, True), saved_bytes(32, True)
    assert 0 < shallow == deep
    plain_shallow, plain_deep = saved_bytes(8, False), saved_bytes(32, False)
    assert plain_deep > 3.5 * plain_shallow
    assert plain_deep > 100 * deep


@pytest.mark.slow
def test_saved_memory_at_depth_128():
    assert saved_bytes(128, True) == saved_bytes(8, True)


def test_nothing_else_is_held_between_forward_and_backward():
    """Tensors kept outside autograd's saved ones would escape the hooks: count live tensors instead."""
    import gc

    def live_bytes(depth):
        chain = FlowSteps(
            [FlowStep(ActNorm(4), InvertibleConv1x1(4), Coupling(GlowNet(2, 4, 8), Affine())) for _ in range(depth)],
            reversible=True,
        )
        x = torch.randn(4, 4, 8, 8, requires_grad=True)
        gc.collect()
        before = {id(o) for o in gc.get_objects() if issubclass(type(o), torch.Tensor)}
        z, ladj = chain(x)
        gc.collect()
        new = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor) and id(o) not in before]
        size = sum(o.untyped_storage().nbytes() for o in new)
        assert z.requires_grad and ladj.requires_grad
        return size

    activation = 4 * 4 * 8 * 8 * 4
    shallow, deep = live_bytes(4), live_bytes(12)
    assert shallow >= activation
    assert deep - shallow < activation  # the folded 4x4 matrices are cached, no activation is


def test_layers_that_are_no_bijections_are_refused():
    from flowsuite.core.layers.dequantize import UniformDequantize

    with pytest.raises(ValueError, match="reversible chain needs bijective layers, got UniformDequantize"):
        Compose([UniformDequantize(), ActNorm(3)], reversible=True)
