"""What every transform of the suite must satisfy. A new layer, or an assembled flow, is one more line in `CASES`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from flowsuite.audio.conditioning import Conditioning
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.row_net import RowNet
from flowsuite.audio.waveglow import MixedCoupling
from flowsuite.audio.wavenet import WaveNet
from flowsuite.core.amortized_ffjord import AmortizedFFJORD
from flowsuite.core.ffjord import FFJORD
from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.affine import DiagonalScale, Rescale
from flowsuite.core.layers.amortized_cnf import AmortizedCNF
from flowsuite.core.layers.autoregressive import MaskedAutoregressive
from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.layers.compand import Compand
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1, InvertibleConv1x1LU
from flowsuite.core.layers.coupling import Coupling, MaskedCoupling, alternating, checkerboard
from flowsuite.core.layers.elementwise import Additive, Affine, Gated
from flowsuite.core.layers.elementwise_transform import ElementwiseTransform
from flowsuite.core.layers.flow_step import FlowStep, FlowSteps
from flowsuite.core.layers.iaf import InverseAutoregressive
from flowsuite.core.layers.logit import Logit
from flowsuite.core.layers.multiscale import MultiScale
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.layers.planar import Planar
from flowsuite.core.layers.radial import Radial
from flowsuite.core.layers.reorder import EvenOdd, Flatten, Reverse
from flowsuite.core.layers.scale import SCALES, make_scale
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.layers.split import GaussianTop, Split
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.layers.sylvester import Sylvester
from flowsuite.core.layers.whitening import Whitening
from flowsuite.core.maf import MAF
from flowsuite.core.nets.conv import EdgeConv2d, GlowNet
from flowsuite.core.nets.conv_field import ConvField
from flowsuite.core.nets.made import MADE
from flowsuite.core.nets.mlp import MLP
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.neural_ode import NeuralODE
from flowsuite.core.ode import FixedGrid
from flowsuite.core.transform import Compose, Inverse, Transform
from flowsuite.core.variational import Posterior
from flowsuite.images.ffjord import ImageFFJORD
from flowsuite.images.glow import Glow
from flowsuite.images.nice import NICE
from flowsuite.images.realnvp import RealNVP
from flowsuite.images.realnvp_coupling import ChannelCoupling, CheckerboardCoupling

BATCH = 5


@dataclass
class Case:
    """A transform under test.

    Args:
        make: builds it; its parameters are randomised afterwards.
        shape: of one event on the data side.
        context: shape of one context row, or the number of classes for a context of labels; None if it takes none.
        unit: the data side is (0, 1), not the whole space.
        inert: endings of the names of parameters that cannot matter: masked away, or multiplied by the zero image that
            the learned top prior is a convolution of.
        compiled: try `torch.compile(fullgraph=True)`; False where another case compiles the same code.
    """

    name: str
    make: Callable[[], Transform]
    shape: tuple[int, ...]
    context: tuple[int, ...] | int | None = None
    unit: bool = False
    inert: tuple[str, ...] = ()
    compiled: bool = True


def mlp_coupling(dims, mapping, swap=False, context=0):
    first = (dims + 1) // 2
    given, mapped = (dims - first, first) if swap else (first, dims - first)
    net = MLP(given, mapped * mapping.n_params, [16], context_features=context)
    return Coupling(net, mapping, swap=swap, conditional=bool(context))


def conv_coupling(channels, mapping, swap=False):
    first = (channels + 1) // 2
    given, mapped = (channels - first, first) if swap else (first, channels - first)
    return Coupling(GlowNet(given, mapped * mapping.n_params, 8), mapping, swap=swap)


def conv1d_coupling(channels, mapping):
    given = (channels + 1) // 2
    return Coupling(nn.Conv1d(given, (channels - given) * mapping.n_params, 3, padding=1), mapping)


def autoregressive(dims, mapping, residual=True, context=0, num_blocks=2):
    net = MADE(dims, mapping.n_params, 12, num_blocks, residual, context)
    return MaskedAutoregressive(net, mapping)


def steps(channels, mixer, reversible=False):
    return FlowSteps(
        [FlowStep(ActNorm(channels), mixer(channels), conv_coupling(channels, Affine())) for _ in range(3)], reversible
    )


def multiscale():
    levels = [
        Compose([Squeeze2d(), steps(4, InvertibleConv1x1LU)]),
        Compose([Squeeze2d(), steps(8, Permutation.shuffle)]),
    ]
    split = Split(EdgeConv2d(2, 4, 3, "indicator", zero_init=True))
    return MultiScale(levels, [split], [(2, 2, 2), (8, 1, 1)], GaussianTop((8, 1, 1)))


def compand():
    layer = Compand(8, low=0.0, high=1.0)
    layer.slope.copy_(torch.linspace(0.5, 1.5, 8))
    return layer


def batch_norm(channels, **options):
    layer = MovingBatchNorm(channels, **options)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2.0)
    return layer


def whitening(kind):
    layer = Whitening(5, kind).double()
    layer.fit([torch.randn(50, 5) @ torch.randn(5, 5) + 3])
    return layer


def move_averages(module):
    """Running averages away from 0 and 1."""
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return module


def realnvp(shape, **options):
    options = {"n_scales": 2, "base_dim": 3, "residual_blocks": 1, **options}
    return move_averages(RealNVP(shape, **options).continuous.transform)


NETS = {"batch_norm": True, "lag": 0.0, "width": 4, "blocks": 1}


FINE = FixedGrid(steps=64)


def cnf(dim, hidden, **options):
    return CNF(MLPField(dim, hidden, **options), end_time=0.5, eval_solver=FINE)


def ffjord(*arguments, **options):
    return move_averages(FFJORD(*arguments, end_time=0.5, eval_solver=FINE, **options).transform)


def conv_cnf(shape, *arguments, **options):
    settings = {"divergence": "exact", "eval_divergence": "exact", "eval_solver": FixedGrid(steps=8)}
    return CNF(ConvField(shape, *arguments, **options), end_time=0.1, **settings)


def neural_ode(*arguments):
    return NeuralODE(*arguments, end_time=0.5, train_end_time=True, eval_solver=FINE).transform


def amortized(*arguments):
    settings = {"end_time": 0.02, "train_end_time": True, "eval_divergence": "exact", "eval_solver": FINE}
    return AmortizedFFJORD(*arguments, **settings).transform


def amortized_cnf(context_features):
    settings = {"end_time": 0.1, "train_end_time": True, "eval_divergence": "exact", "eval_solver": FINE}
    return AmortizedCNF(3, 2, context_features, hidden=(5,), rank=2, **settings)


def image_ffjord(shape, **options):
    settings = {"end_time": 0.1, "eval_divergence": "exact", "eval_solver": FixedGrid(steps=8)}
    return ImageFFJORD(shape, (3,), alpha=0.05, **settings, **options).continuous.transform


class WithMel(Transform):
    """A layer of a vocoder, its context the upsampled mel alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, context=None):
        return self.layer(x, None if context is None else Conditioning(context))

    def inverse(self, z, context=None):
        return self.layer.inverse(z, None if context is None else Conditioning(context))

    def generate(self, z, context=None):
        return self.layer.generate(z, None if context is None else Conditioning(context))


def row_autoregressive(height, dilations, **options):
    order = torch.arange(height).roll(1)
    return WithMel(RowAutoregressive(RowNet(3, dilations, 2, **options), order))


def mixed_coupling(kept, rows, scale="exp"):
    net = WaveNet((rows + 1) // 2, rows // 2, 2 * (kept + rows), 4, 2)
    coupling = Coupling(net, Affine(make_scale(scale), shift_first=False), conditional=True)
    return WithMel(MixedCoupling(kept, InvertibleConv1x1(rows), coupling))


ONE_SIGN = ("front.weight",)  # one number a filter, of which weight normalisation leaves the sign


def spline(**options):
    return RationalQuadraticSpline(num_bins=5, tail_bound=2.0, **options)


def softplus_affine():
    return Affine(make_scale("softplus"), shift_first=False)


TOP = ("net.weight",)
VECTOR, SERIES, IMAGE = (5,), (4, 6), (4, 4, 2)

CHANNEL_LAYERS = {
    "actnorm-exp": ActNorm,
    "actnorm-scale": lambda c: ActNorm(c, "scale", unbiased=True),
    "reverse": Permutation.reverse,
    "shuffle": Permutation.shuffle,
    "conv1x1": InvertibleConv1x1,
    "conv1x1-lu": InvertibleConv1x1LU,
    "batchnorm": batch_norm,
    "batchnorm-affine": lambda c: batch_norm(c, affine=True, statistics="running"),
}

CASES = [
    *(
        Case(f"{name}-{len(shape)}d", lambda make=make, c=shape[0]: make(c), shape, compiled=shape == IMAGE)
        for name, make in CHANNEL_LAYERS.items()
        for shape in (VECTOR, SERIES, IMAGE)
    ),
    Case("conv1x1-3d-space", lambda: InvertibleConv1x1(3), (3, 2, 2, 2)),
    Case("rescale", lambda: Rescale(-2.5, 0.5), VECTOR),
    Case("diagonal", lambda: DiagonalScale(5), VECTOR),
    Case("logit", lambda: Logit(0.05), IMAGE, unit=True),
    Case("compand", compand, IMAGE, unit=True),
    Case("squeeze-plain", lambda: Squeeze2d(), (2, 4, 6)),
    Case("squeeze-threefold", lambda: Squeeze2d(fold=3), (2, 3, 6)),
    Case("squeeze-checkerboard", lambda: Squeeze2d("checkerboard"), (2, 4, 6)),
    # Couplings on vectors: every map, both halves, odd sizes, context.
    Case("coupling-additive", lambda: mlp_coupling(4, Additive()), (4,)),
    *(
        Case(f"coupling-{s}", lambda s=s: mlp_coupling(5, Affine(make_scale(s))), (5,), compiled=s == "bounded_sigmoid")
        for s in SCALES
    ),
    Case("coupling-scale-first", lambda: mlp_coupling(5, Affine(shift_first=False), swap=True), (5,), compiled=False),
    Case("coupling-spline", lambda: mlp_coupling(5, spline()), (5,)),
    Case(
        "coupling-spline-swap", lambda: mlp_coupling(5, spline(identity_at_zero=True), swap=True), (5,), compiled=False
    ),
    Case("coupling-context", lambda: mlp_coupling(5, Affine(), context=3), (5,), (3,)),
    Case("coupling-spline-context", lambda: mlp_coupling(4, spline(), context=2), (4,), (2,), compiled=False),
    # Couplings on series and images.
    Case("coupling-1d", lambda: conv1d_coupling(5, Affine(make_scale("tanh"))), (5, 4)),
    Case("coupling-spline-1d", lambda: conv1d_coupling(4, spline()), (4, 3), compiled=False),
    Case("coupling-image", lambda: conv_coupling(4, Affine()), IMAGE),
    Case("coupling-image-odd-swap", lambda: conv_coupling(3, Additive(), swap=True), (3, 4, 2), compiled=False),
    Case("coupling-image-spline", lambda: conv_coupling(4, spline()), IMAGE),
    Case(
        "checkerboard-affine",
        lambda: MaskedCoupling(checkerboard(4, 2), GlowNet(2, 4, 8), Affine(make_scale("learned_tanh"))),
        (2, 4, 2),
    ),
    Case(
        "checkerboard-spline",
        lambda: MaskedCoupling(checkerboard(4, 2, 0), GlowNet(2, 2 * spline().n_params, 8), spline()),
        (2, 4, 2),
        compiled=False,
    ),
    Case("alternating-additive", lambda: MaskedCoupling(alternating(5), MLP(5, 5, [16])), (5,)),
    Case("alternating-spline", lambda: MaskedCoupling(alternating(5, 1), MLP(5, 70, [16]), spline()), (5,)),
    Case(
        "alternating-context",
        lambda: MaskedCoupling(alternating(4), MLP(4, 8, [16], context_features=3), Affine(), conditional=True),
        (4,),
        (3,),
    ),
    # Autoregressive layers, both directions.
    Case("maf-affine", lambda: autoregressive(5, softplus_affine()), (5,)),
    Case("maf-spline", lambda: autoregressive(4, spline(logit_divisor=2.0)), (4,)),
    Case("maf-additive", lambda: autoregressive(4, Additive()), (4,)),
    Case("maf-context", lambda: autoregressive(4, softplus_affine(), context=3), (4,), (3,), compiled=False),
    Case("maf-feedforward", lambda: autoregressive(4, softplus_affine(), residual=False), (4,), compiled=False),
    Case("maf-feedforward-context", lambda: autoregressive(3, spline(), residual=False, context=2), (3,), (2,)),
    Case("maf-no-blocks", lambda: autoregressive(4, softplus_affine(), num_blocks=0), (4,)),
    Case("maf-one-feature", lambda: autoregressive(1, spline(), context=2), (1,), (2,), inert=("net.first.weight",)),
    Case("iaf-affine", lambda: Inverse(autoregressive(4, softplus_affine())), (4,)),
    Case("iaf-spline-context", lambda: Inverse(autoregressive(3, spline(), context=2)), (3,), (2,)),
    # Layers of variational posteriors, in their published direction and the other, learned and amortised.
    Case("planar", lambda: Planar(4, 3), (4,)),
    Case("planar-leaky", lambda: Planar(4, 3, "leaky_relu"), (4,)),
    Case("planar-context", lambda: Planar(3, 2, context_features=4), (3,), (4,)),
    Case("planar-leaky-context", lambda: Planar(3, 2, "leaky_relu", 0.05, 4), (3,), (4,), compiled=False),
    Case("planar-one-feature", lambda: Planar(1, 3), (1,)),
    Case("inverse-planar", lambda: Inverse(Planar(3, 4)), (3,), compiled=False),
    Case("radial", lambda: Radial(4, 3), (4,)),
    Case("radial-context", lambda: Radial(3, 2, context_features=4), (3,), (4,)),
    Case("radial-one-feature", lambda: Radial(1, 3), (1,)),
    Case("inverse-radial", lambda: Inverse(Radial(3, 4)), (3,)),
    *(
        Case(f"sylvester-{kind}", lambda kind=kind: Sylvester(4, 3, kind, reflections=3), (4,))
        for kind in ("orthogonal", "householder", "triangular")
    ),
    *(
        Case(
            f"sylvester-{kind}-context",
            lambda kind=kind: Sylvester(3, 2, kind, reflections=2, context_features=4),
            (3,),
            (4,),
        )
        for kind in ("orthogonal", "householder", "triangular")
    ),
    Case("sylvester-two-columns", lambda: Sylvester(5, 2, columns=2, context_features=3), (5,), (3,), compiled=False),
    Case("sylvester-one-feature", lambda: Sylvester(1, 2, "triangular"), (1,), inert=("r",)),
    Case("inverse-sylvester", lambda: Inverse(Sylvester(3, 2, columns=2)), (3,), compiled=False),
    Case("iaf-gated", lambda: InverseAutoregressive(4, 12), (4,)),
    Case("iaf-gated-context", lambda: InverseAutoregressive(4, 12, context_features=3), (4,), (3,)),
    Case("iaf-gated-one-layer", lambda: InverseAutoregressive(3, 12, 0, 2), (3,), (2,), compiled=False),
    Case("amortized-cnf", lambda: amortized_cnf(0), (3,), compiled=False),
    Case("amortized-cnf-context", lambda: amortized_cnf(2), (3,), (2,), compiled=False),
    Case(
        "posterior-planar", lambda: Posterior(3, "planar", 3, context_features=2).transform, (3,), (2,), compiled=False
    ),
    Case(
        "posterior-spline",
        lambda: Posterior(3, "spline", 2, options={"hidden_features": 8}).transform,
        (3,),
        compiled=False,
    ),
    Case("posterior-nice", lambda: Posterior(3, "nice", 2, context_features=2).transform, (3,), (2,), compiled=False),
    Case("maf-elu-residual", lambda: MaskedAutoregressive(MADE(4, 2, 12, activation="elu"), Gated()), (4,)),
    # Element-wise, composition and multi-scale.
    Case("elementwise-spline", lambda: ElementwiseTransform(IMAGE, spline()), IMAGE),
    Case("elementwise-affine", lambda: ElementwiseTransform(5, Affine()), (5,)),
    Case("elementwise-additive", lambda: ElementwiseTransform(5, Additive()), (5,)),
    Case("inverse-logit", lambda: Inverse(Logit(0.0)), VECTOR),
    Case("compose", lambda: Compose([ActNorm(5), Compose([mlp_coupling(5, Affine(), context=3)])]), (5,), (3,)),
    Case("flow-step", lambda: steps(4, InvertibleConv1x1)[0], IMAGE),
    Case("flow-steps", lambda: steps(4, InvertibleConv1x1), IMAGE),
    Case("flow-steps-lu", lambda: steps(4, InvertibleConv1x1LU), IMAGE, compiled=False),
    Case("flow-steps-shuffle", lambda: steps(4, Permutation.shuffle), IMAGE, compiled=False),
    Case("gaussian-top", lambda: GaussianTop((3, 4, 2)), (3, 4, 2), inert=TOP),
    Case("gaussian-top-classes", lambda: GaussianTop((3, 4, 2), learn=False, n_classes=4), (3, 4, 2), 4),
    Case("gaussian-top-fixed", lambda: GaussianTop((3, 4, 2), learn=False), (3, 4, 2)),
    Case("multiscale", multiscale, (1, 4, 4), inert=TOP),
    Case("flatten", lambda: Flatten((2, 4, 6)), (2, 4, 6)),
    Case("index-reversal", lambda: Reverse(), VECTOR),
    Case("even-odd", lambda: EvenOdd(), VECTOR),
    Case("whitening-zca", lambda: whitening("zca"), VECTOR),
    Case("whitening-pca", lambda: whitening("pca"), VECTOR),
    # RealNVP's couplings, batch norm included.
    Case("realnvp-channels", lambda: move_averages(ChannelCoupling(4, Additive(), True, **NETS)), IMAGE),
    Case(
        "realnvp-checkerboard",
        lambda: move_averages(CheckerboardCoupling((2, 3, 4), Affine(make_scale("learned_tanh")), 1, **NETS)),
        (2, 3, 4),
    ),
    # Assembled flows, between floats.
    Case("nice", lambda: NICE((1, 2, 4), 2, [1, 2], 8).continuous.transform, (1, 2, 4)),
    Case("nice-odd", lambda: NICE((1, 1, 5), 2, 1, 8, tile=False).continuous.transform, (1, 1, 5)),
    Case("realnvp", lambda: realnvp((1, 4, 2)), (1, 4, 2), unit=True),
    Case("realnvp-additive", lambda: realnvp((1, 4, 2), coupling="additive", residual_blocks=0), (1, 4, 2), unit=True),
    Case("realnvp-plain", lambda: realnvp((1, 4, 4), batch_norm=False, skip=False), (1, 4, 4), unit=True),
    Case("glow", lambda: Glow((1, 8, 4), levels=2, steps=2, width=8).continuous.transform, (1, 8, 4), inert=TOP),
    Case(
        "glow-port-additive",
        lambda: Glow((2, 4, 4), 1, 2, 8, "additive", "conv1x1_lu", convention="port").continuous.transform,
        (2, 4, 4),
    ),
    Case(
        "glow-classes",
        lambda: Glow((1, 4, 4), 1, 2, 8, n_classes=3).continuous.transform,
        (1, 4, 4),
        3,
        inert=TOP,
        compiled=False,
    ),
    Case("maf-flow", lambda: MAF(4, 3, 12, batch_norm=True, context_features=2).transform, (4,), (2,)),
    Case("iaf-flow", lambda: MAF(3, 2, 12, elementwise="spline", direction="iaf").transform, (3,), compiled=False),
    # Layers of vocoders.
    Case("row-autoregressive", lambda: row_autoregressive(4, [1, 1]), (4, 5), (2, 4, 5), inert=ONE_SIGN),
    Case(
        "row-autoregressive-bounded",
        lambda: row_autoregressive(5, [2, 1, 1], scale_bound=2.0),
        (5, 3),
        (2, 5, 3),
        inert=ONE_SIGN,
        compiled=False,
    ),
    Case("mixed-coupling", lambda: mixed_coupling(0, 4), (4, 5), (2, 4, 5)),
    Case("mixed-coupling-odd", lambda: mixed_coupling(2, 3, "tanh"), (5, 4), (2, 5, 4), compiled=False),
    # Continuous layers, on grids fine enough to be exact here.
    Case("cnf", lambda: cnf(5, (6, 7)), (5,), compiled=False),
    Case("cnf-deep", lambda: cnf(3, (5, 6, 4), layer="concat", time_frequencies=2), (3,), compiled=False),
    Case("cnf-context", lambda: cnf(3, (6, 7), context_features=2), (3,), (2,), compiled=False),
    Case("cnf-points", lambda: cnf(3, (5, 6, 4), context_features=2), (4, 3), (2,), compiled=False),
    Case("cnf-sine", lambda: cnf(3, (6, 7), activation="sine"), (3,), compiled=False),
    Case("cnf-residual", lambda: cnf(4, (6,), layer="squash", residual=True), (4,), compiled=False),
    Case("cnf-blend", lambda: cnf(2, (6,), layer="blend"), (2,), compiled=False),
    Case("cnf-hyper", lambda: cnf(2, (5,), layer="hyper"), (2, 2), compiled=False),
    Case(
        "cnf-conv", lambda: conv_cnf((1, 4, 2), (3, 2), (2, 1, -2), context_features=2), (1, 4, 2), (2,), compiled=False
    ),
    Case("neural-ode", lambda: neural_ode(2, 5, 4), (2,), compiled=False),
    Case("ffjord-amortized", lambda: amortized(3, (5,), 2, 2), (3,), (80,), compiled=False),
    Case(
        "ffjord-image", lambda: image_ffjord((1, 2, 4), n_scales=2, num_blocks=1), (1, 2, 4), unit=True, compiled=False
    ),
    Case("ffjord", lambda: ffjord(4, (6, 7), 2, batch_norm=True, context_features=2), (4,), (2,), compiled=False),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def randomize(module: nn.Module, std: float = 0.2) -> None:
    """Moves every parameter off its initial value, so that layers that start at zero take part."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(std * torch.randn_like(p))


def build(case: Case, dtype: torch.dtype = torch.float64, seed: int = 0) -> Transform:
    torch.manual_seed(seed)
    transform = case.make()
    randomize(transform)
    return transform.to(dtype).eval()


def inputs(
    case: Case, dtype: torch.dtype = torch.float64, batch: int = BATCH
) -> tuple[torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    if case.unit:
        x = 0.01 + 0.98 * torch.rand(batch, *case.shape, generator=generator, dtype=dtype)
    else:
        x = torch.randn(batch, *case.shape, generator=generator, dtype=dtype)
    if case.context is None:
        return x, None
    if isinstance(case.context, int):
        return x, torch.arange(batch) % case.context
    return x, torch.randn(batch, *case.context, generator=generator, dtype=dtype)


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@every_case
@torch.no_grad()
def test_round_trip(case):
    transform, (x, context) = build(case), inputs(case)
    z, ladj = transform(x, context)
    back, inverse_ladj = transform.inverse(z, context)
    assert ladj.shape == inverse_ladj.shape == (BATCH,)
    assert back.shape == x.shape
    torch.testing.assert_close(back, x, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(inverse_ladj, -ladj, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(transform.generate(z, context), back, rtol=1e-10, atol=1e-10)


def brute_force_ladj(function, x: torch.Tensor) -> torch.Tensor:
    """`log|det|` of the Jacobian of `function` at one example `x` (1, ...)."""
    jacobian = torch.autograd.functional.jacobian(lambda flat: function(flat.view_as(x)).flatten(), x.flatten())
    return torch.linalg.slogdet(jacobian)[1]


@every_case
def test_ladj_is_that_of_the_jacobian(case):
    transform, (x, context) = build(case), inputs(case)
    z, ladj = transform(x, context)
    for i in range(2):
        row = None if context is None else context[i : i + 1]
        expected = brute_force_ladj(lambda v, row=row: transform(v, row)[0], x[i : i + 1])
        torch.testing.assert_close(ladj[i], expected, rtol=1e-8, atol=1e-8)
    row = None if context is None else context[:1]
    expected = brute_force_ladj(lambda v: transform.inverse(v, row)[0], z[:1].detach())
    torch.testing.assert_close(transform.inverse(z, context)[1][0], expected, rtol=1e-7, atol=1e-7)


@every_case
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_gradients_flow(case, direction):
    transform, (x, context) = build(case), inputs(case)
    if direction == "inverse":
        x = transform(x, context)[0].detach()
    x.requires_grad_()
    if context is not None and context.is_floating_point():
        context.requires_grad_()
    y, ladj = getattr(transform, direction)(x, context)
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view_as(y)
    ((y * weights).sum() + (ladj * weights.flatten()[: len(ladj)]).sum()).backward()
    assert x.grad.isfinite().all() and x.grad.any()
    for name, p in transform.named_parameters():
        assert p.grad is not None, f"{name} got no gradient"
        assert p.grad.isfinite().all(), f"{name} got a gradient that is not finite"
        assert p.grad.any() or (case.inert and name.endswith(case.inert)), f"the gradient of {name} is 0"
    if context is not None and context.is_floating_point():
        assert context.grad.isfinite().all() and context.grad.flatten(1).any(1).all()


@every_case
@torch.no_grad()
def test_context(case):
    transform, (x, context) = build(case), inputs(case)
    z, ladj = transform(x, context)
    if context is None:
        z2, ladj2 = transform(x, torch.randn(BATCH, 3, dtype=x.dtype))
        assert torch.equal(z, z2) and torch.equal(ladj, ladj2)
        return
    other = (context + 1) % case.context if isinstance(case.context, int) else context + 1
    assert not torch.allclose(transform(x, other)[0], z)
    assert not torch.allclose(transform.generate(z, other), x)
    with pytest.raises(ValueError, match=r"context"):
        transform(x, None)


@every_case
@torch.no_grad()
def test_examples_do_not_see_each_other(case):
    transform, (x, context) = build(case), inputs(case)
    order = torch.tensor([3, 0, 4, 1, 2])
    z, ladj = transform(x, context)
    for index in (order, slice(1, 2)):
        part = None if context is None else context[index]
        z2, ladj2 = transform(x[index], part)
        torch.testing.assert_close(z2, z[index], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(ladj2, ladj[index], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(transform.generate(z[index], part), x[index], rtol=1e-8, atol=1e-8)


@every_case
@torch.no_grad()
def test_state_dict_round_trip(case):
    transform, (x, context) = build(case), inputs(case)
    fresh = build(case, seed=123)
    for t in (transform, fresh):  # fills the caches, which loading must empty
        t.inverse(*(t(x, context)[0], context))
    fresh.load_state_dict(transform.state_dict())
    for a, b in zip(fresh(x, context), transform(x, context), strict=True):
        assert torch.equal(a, b)


@every_case
@torch.no_grad()
def test_copies_compute_the_same(case):
    transform, (x, context) = build(case), inputs(case)
    z, _ = transform(x, context)
    x_back = transform.generate(z, context)
    for twin in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(twin(x, context)[0], z)
        assert torch.equal(twin.generate(z, context), x_back)
        randomize(twin)
        if any(True for _ in twin.parameters()):
            assert not torch.equal(twin(x, context)[0], z)
    assert torch.equal(transform(x, context)[0], z)


@every_case
@torch.no_grad()
def test_precision_under_autocast(case):
    transform, (x, context) = build(case, torch.float32), inputs(case, torch.float32)
    z, _ = transform(x, context)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low_z, low_ladj = transform(x, context)
        back, back_ladj = transform.inverse(low_z, context)
    assert low_z.dtype == low_ladj.dtype == back.dtype == back_ladj.dtype == torch.float32
    assert low_ladj.shape == back_ladj.shape == (BATCH,)
    torch.testing.assert_close(low_z, z, rtol=0.2, atol=0.3)
    assert transform(x.bfloat16(), context)[1].dtype == torch.float32


def compare_compiled(case: Case, backend: str, backward: bool) -> None:
    transform, (x, context) = build(case, torch.float64), inputs(case, torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(transform, fullgraph=True, backend=backend)
    grads = []
    for function in (compiled, transform):
        z, ladj = function(x, context)
        grads.append([z, ladj])
        if backward:
            grads[-1] += torch.autograd.grad(z.square().sum() - ladj.sum(), list(transform.parameters()))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case.compiled], ids=lambda case: case.name)
@torch.no_grad()
def test_compiles_without_breaks(case):
    compare_compiled(case, "eager", backward=False)


@pytest.mark.parametrize("name", ["maf-spline", "flow-steps"])
def test_compiled_gradients(name):
    compare_compiled(next(case for case in CASES if case.name == name), "aot_eager", backward=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coupling-spline", "maf-affine", "glow"])
def test_compiled_to_machine_code(name):
    compare_compiled(next(case for case in CASES if case.name == name), "inductor", backward=True)
