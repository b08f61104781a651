"""Synthesis on static buffers against synthesis as it is: padding changes nothing, nor does what was there before."""

import functools

import pytest
import torch

from flowsuite.audio import row_synthesis
from flowsuite.audio.conditioning import Mels
from flowsuite.audio.execution import DEFAULT, Execution, execution
from flowsuite.audio.row_sampler import gated_layer
from flowsuite.audio.row_synthesis import RowSynthesis, bucket
from flowsuite.core.numerics import at_least_float32
from tests.audio.flows_made import HOP, waveflow

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SHAPES = [(4, {}), (6, {"dilations": [1, 2, 1], "permutation": "reverse"}), (8, {"dilations": [3, 1], "n_flows": 3})]


def clips_of(flow, lengths, seed=0):
    """`(z, condition)` of clips, as `decode_under` hands them on."""
    generator = torch.Generator().manual_seed(seed)
    n, like = max(lengths), flow.base.anchor
    mel = torch.randn(len(lengths), flow.n_mels, -(-n // HOP), dtype=torch.float64, generator=generator)
    condition = flow.condition(Mels(mel.to(like), torch.tensor(lengths, device=like.device)), n)
    z = torch.randn(len(lengths), *condition.mel.shape[2:], dtype=torch.float64, generator=generator).to(like)
    return at_least_float32(z).masked_fill(~condition.valid[:, flow.latent_order], 0.0), condition


def of(flow, how=DEFAULT, static=None):
    made = flow.row_synthesis(how)
    return RowSynthesis(made.loop.samplers, made.loop.orders, how, static)


def test_buckets():
    widths = sorted({bucket(columns) for columns in range(1, 5000)})
    assert widths[:9] == [256, 320, 384, 448, 512, 640, 768, 896, 1024]
    for columns in range(1, 5000):
        width = bucket(columns)
        assert width >= columns and width % 64 == 0 and bucket(width) == width
        assert columns <= 256 or width <= 1.25 * columns + 1


@torch.no_grad()
@pytest.mark.parametrize("height, settings", SHAPES)
def test_padding_changes_nothing(height, settings):
    flow = waveflow(height, **settings)
    static, plain = of(flow, static=True), of(flow, static=False)
    for seed, columns in enumerate([300, 1, 17, 255, 256, 257, 2]):  # narrow ones after wide ones: nothing is left
        z, condition = clips_of(flow, [columns * height - seed % 2], seed)
        x = static(z, condition)
        torch.testing.assert_close(x, plain(z, condition), rtol=0, atol=1e-12)
        torch.testing.assert_close(x, flow.transform.generate(z, condition), rtol=0, atol=1e-12)
    assert sorted(width for width, _ in static.calls) == [256, 320]


@torch.no_grad()
@pytest.mark.parametrize("lengths", [[60, 60], [60, 7, 33], [1, 60]])
def test_batches(lengths):
    flow = waveflow(4, n_flows=3)
    static = of(flow, static=True)
    for seed, given in enumerate((lengths, lengths[::-1])):
        z, condition = clips_of(flow, given, seed)
        x = static(z, condition)
        torch.testing.assert_close(x, flow.transform.generate(z, condition), rtol=0, atol=1e-12)
        assert not x.masked_select(~condition.valid).any()
    assert len(static.calls) == 1


@torch.no_grad()
def test_the_edge_of_a_clip_matters():
    """What is held to be the same above would differ if there were numbers behind the end."""
    flow = waveflow(4)
    z, condition = clips_of(flow, [40, 80])
    longer = condition._replace(valid=torch.ones_like(condition.valid))
    plain = of(flow, static=False)
    assert (plain(z, longer) - plain(z, condition))[0, :, :10].abs().max() > 1e-6


@torch.no_grad()
def test_results_are_kept():
    """A result is not a view of buffers that the next call writes to, whether there is padding or not."""
    flow = waveflow(4)
    static = of(flow, static=True)
    for columns in (256, 5):
        z, condition = clips_of(flow, [columns * 4])
        first = static(z, condition)
        before = first.clone()
        static(z + 1, condition)
        assert torch.equal(first, before)


@torch.no_grad()
def test_few_widths_are_kept(monkeypatch):
    flow = waveflow(4, n_flows=1)
    static = of(flow, static=True)
    monkeypatch.setattr(row_synthesis, "KEPT", 2)

    def kept(columns):
        static(*clips_of(flow, [4 * columns]))
        return [width for width, _ in static.calls]

    assert [kept(columns) for columns in (3, 300, 10, 400)] == [[256], [256, 320], [320, 256], [256, 448]]
    monkeypatch.setattr(row_synthesis, "WIDEST", 512)
    assert kept(300) == [320]
    assert kept(600) == [320]  # too wide to be static


@torch.no_grad()
def test_new_weights_are_noticed():
    flow = waveflow(4)
    z, condition = clips_of(flow, [40])
    made = flow.row_synthesis(Execution())
    assert flow.row_synthesis(Execution()) is made
    flow.transform[0].net.convs[0].weight.mul_(1.5)
    assert flow.row_synthesis(Execution()) is not made
    x = flow._generate(z, condition, Execution())
    torch.testing.assert_close(
        x, flow.transform[0].naive_inverse(flow.transform[1:].generate(z, condition), condition)[0]
    )


@torch.no_grad()
def test_precisions():
    """Weights, activations and the rings in bfloat16; the sums over layers, the affine maps and the wave in float32."""
    flow = waveflow(4, channels=8).float()
    static = of(flow, execution("bf16"), static=True)
    seen = set()

    def spy(state, a, windows, taps, after, bias, mask):
        low = {a.dtype, after.dtype, *(x.dtype for x in (*windows, *taps))}
        made = gated_layer(state, a, windows, taps, after, bias, mask)
        seen.add((frozenset(low), made.hidden.dtype, made.total.dtype))
        return made

    static.loop.layer = spy
    x = static(*clips_of(flow, [200]))
    assert x.dtype == torch.float32
    assert seen == {(frozenset({torch.bfloat16}), torch.float32, torch.float32)}
    ((_, call),) = static.calls.items()
    assert [given.dtype for given in call.inputs] == [torch.float32, torch.bfloat16, torch.float32]


def signal_to_noise(exact, other):
    return float(10 * torch.log10(exact.double().square().mean() / (other - exact).double().square().mean()))


@torch.no_grad()
def test_bfloat16_is_near():
    """60 dB here; 58 dB if the sums over layers were in bfloat16 too."""
    flow = waveflow(8, n_flows=4, channels=16, std=0.05, dilations=[1] * 4).float()
    mel = torch.randn(1, flow.n_mels, 40, generator=torch.Generator().manual_seed(0))
    z = torch.randn(flow.latent_shape(mel), generator=torch.Generator().manual_seed(1))
    exact, low = flow.decode(z, mel), flow.decode(z, mel, how=execution("bf16"))
    assert low.dtype == torch.float32 and not torch.equal(low, exact)
    assert signal_to_noise(exact, low) > 50


def test_precisions_are_known():
    with pytest.raises(ValueError, match="must be one of 32, bf16, got 'fp8'"):
        execution("fp8")


@torch.no_grad()
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled(monkeypatch, backend):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    flow = waveflow(4, channels=6, dilations=[1, 2, 1]).float()
    compiled = of(flow, Execution(compiled=True))
    for seed, columns in enumerate([3, 300, 20]):
        z, condition = clips_of(flow, [4 * columns], seed)
        torch.testing.assert_close(compiled(z, condition), flow.transform.generate(z, condition), rtol=1e-4, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 6  # three a width


@CUDA
@torch.no_grad()
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_graphs(precision, compiled, recwarn):
    torch._dynamo.reset()
    flow = waveflow(8, n_flows=3, channels=16, std=0.05, dilations=[1, 2, 1]).float().cuda()
    how = execution(precision, True, compiled)
    graphs, plain = flow.row_synthesis(how), of(flow, how._replace(compiled=False), static=False)
    for seed, lengths in enumerate([[4000], [9], [2048], [1000, 70], [4000]]):
        z, condition = clips_of(flow, lengths, seed)
        x, expected = graphs(z, condition), plain(z, condition)
        if precision == "32":
            torch.testing.assert_close(x, expected, rtol=1e-3, atol=1e-3)
        assert signal_to_noise(expected, x) > (30 if precision == "bf16" else 60)
    assert all(call.graph is not None for call in graphs.calls.values())
    assert not [w for w in recwarn if "CUDA graph" in str(w.message)]


@CUDA
@torch.no_grad()
def test_graphs_are_used_only_where_wanted():
    flow = waveflow(4).float().cuda()
    z, condition = clips_of(flow, [40])
    for how, number in ((Execution(), 1), (Execution(graphs=False), 0)):
        flow._generate(z, condition, how)
        assert len(flow.row_synthesis(how).calls) == number
