"""What WaveFlow and WaveGlow both must satisfy."""

import copy
import math
import pickle

import pytest
import torch

from flowsuite.audio.conditioning import Mels
from flowsuite.audio.squeeze import squeeze
from tests.audio.flows_made import BANDS, HOP, clips, waveflow, waveglow

MAKERS = {
    "waveflow": waveflow,
    "waveflow-h8-dilated": lambda **o: waveflow(8, 3, dilations=[1, 2, 1], **o),
    "waveflow-reverse": lambda **o: waveflow(5, 3, dilations=[2, 1], permutation="reverse", **o),
    "waveflow-standardized": lambda **o: waveflow(gain=10.0, mel_mean=-1.0, mel_std=2.0, **o),
    "waveglow": waveglow,
    "waveglow-standardized": lambda **o: waveglow(gain=0.5, mel_mean=1.0, **o),
    "waveglow-wide": lambda **o: waveglow(8, 5, early_size=2, kernel_size=5, **o),
}
every_flow = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def counted(flow, n: int) -> int:
    """Samples of a clip that have a density."""
    return n // flow.height * flow.height if flow.whole_columns else n


def where(flow, lengths: torch.Tensor, n: int) -> torch.Tensor:
    """bool (B, height, width): the entries of the latent."""
    return flow._in_latent_order(flow.condition(Mels(torch.zeros(len(lengths), BANDS, 99).double(), lengths), n).valid)


@every_flow
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 15, 16, 17, 40])
@torch.no_grad()
def test_round_trip(make, n):
    flow = make()
    x, mel = clips(2, n)
    lengths = torch.tensor([n, n])
    z = flow.encode(x, mel)
    back = flow.decode(z, Mels(mel, lengths))
    assert back.shape == x.shape
    kept = counted(flow, n)
    torch.testing.assert_close(back[:, :kept], x[:, :kept], rtol=1e-9, atol=1e-9)
    assert not back[:, kept:].any()
    there = where(flow, lengths, n)
    assert there.sum() == 2 * kept and not z[~there].any()
    noise = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * there
    again = flow.encode(flow.decode(noise, Mels(mel, lengths)), mel)
    torch.testing.assert_close(again, noise, rtol=1e-9, atol=1e-9)


@every_flow
@pytest.mark.parametrize("lengths", [[50, 37, 1], [33, 48, 47], [9, 3, 40], [16, 16, 5]])
@torch.no_grad()
def test_a_batch_is_its_clips(make, lengths):
    """Density, latent and synthesis of every clip of a padded batch are those of the clip alone."""
    flow, n = make(), max(lengths)
    x, mel = clips(3, n)
    counts = torch.tensor(lengths)
    frames = 1 + counts // HOP
    for i, (length, f) in enumerate(zip(lengths, frames.tolist(), strict=True)):
        x[i, length:] = mel[i, :, f:] = float("nan")  # whatever stands there
    context = Mels(mel, counts, frames)
    density, z = flow.log_prob(x, context), flow.encode(x, context)
    most = -(-n // flow.height)
    noise = torch.randn(3, flow.height, most, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    noise[~where(flow, counts, n)] = float("nan")
    waves = flow.decode(noise, context)
    for i, length in enumerate(lengths):
        alone = mel[i : i + 1, :, : frames[i]]
        clip = x[i : i + 1, :length]
        torch.testing.assert_close(density[i : i + 1], flow.log_prob(clip, alone), rtol=1e-11, atol=1e-11)
        width = -(-length // flow.height)
        torch.testing.assert_close(z[i : i + 1, :, :width], flow.encode(clip, alone), rtol=1e-11, atol=1e-11)
        assert not z[i, :, width:].any()
        single = flow.decode(noise[i : i + 1, :, :width], Mels(alone, counts[i : i + 1]))
        torch.testing.assert_close(waves[i : i + 1, :length], single, rtol=1e-9, atol=1e-9)
        assert not waves[i, length:].any()


@every_flow
@pytest.mark.parametrize("n", [9, 12, 14])
def test_density_is_that_of_the_jacobian(make, n):
    flow = make(height=4) if make in (waveflow, waveglow) else make()
    x, mel = clips(1, n)
    there = where(flow, torch.tensor([n]), n)[0]
    kept = counted(flow, n)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x, mel)[0][there], x)[:, 0, :kept]
    assert jacobian.shape == (kept, kept)
    z = flow.encode(x, mel)[0][there]
    base = (-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum()
    expected = base + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(flow.log_prob(x, mel)[0], expected, rtol=1e-10, atol=1e-10)


@every_flow
def test_everything_gets_gradient(make):
    flow = make()
    x, mel = clips(2, 45)
    mel.requires_grad_()
    flow.log_prob(x, Mels(mel, torch.tensor([45, 22]))).sum().backward()
    for name, p in flow.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        if not name.endswith("front.weight"):
            assert p.grad.any(), name
    assert mel.grad.flatten(1).any(1).all()


@every_flow
@pytest.mark.parametrize("n", [1, 5, 11])
def test_gradients(make, n):
    """Against finite differences, at the smallest sizes too."""
    flow = make()
    x, mel = (t.requires_grad_() for t in clips(2, n))
    parameters = tuple(flow.transform.parameters())[:6]
    assert torch.autograd.gradcheck(lambda x, mel, *_: flow.log_prob(x, mel), (x, mel, *parameters), fast_mode=True)


EXTREMES = {
    "silence": lambda n: torch.zeros(n),
    "dc": lambda n: torch.full((n,), 0.5),
    "square": lambda n: torch.where(torch.arange(n) // 5 % 2 == 0, 1.0, -1.0),
    "impulse": lambda n: torch.eye(1, n)[0],
}


@pytest.mark.parametrize("make", [waveflow, waveglow])
@pytest.mark.parametrize("signal", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("n", [1, HOP - 1, HOP, HOP + 1, 2 * HOP])
def test_extremes(make, signal, n):
    flow = make().float()
    x = signal(n)[None].clone()
    mel = torch.full((1, BANDS, 1 + n // HOP), math.log(1e-5))
    density = flow.log_prob(x, mel)
    (-density / n).sum().backward()
    assert density.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in flow.parameters())
    wave = flow.sample(context=mel, generator=torch.Generator().manual_seed(0))
    assert wave.shape == (1, HOP * mel.shape[2]) and wave.isfinite().all()


@every_flow
@torch.no_grad()
def test_copies(make):
    flow = make()
    x, mel = clips(2, 21)
    z, density = flow.encode(x, mel), flow.log_prob(x, mel)
    flow.decode(z, Mels(mel, torch.tensor([21, 21])))  # fills the caches
    fresh = make(std=0.5)
    assert not torch.allclose(fresh.log_prob(x, mel), density)
    fresh.load_state_dict(flow.state_dict())
    for twin in (copy.deepcopy(flow), pickle.loads(pickle.dumps(flow)), fresh):
        assert torch.equal(twin.log_prob(x, mel), density)
        torch.testing.assert_close(twin.sample(context=mel, temperature=0.0), flow.sample(context=mel, temperature=0.0))


@every_flow
@torch.no_grad()
def test_autocast(make):
    flow = make(std=0.1).float()
    x, mel = (t.float() for t in clips(2, 150))
    exact = flow.log_prob(x, mel)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, z = flow.log_prob(x, mel), flow.encode(x, mel)
        wave = flow.sample(context=mel, generator=torch.Generator().manual_seed(0))
    assert low.dtype == z.dtype == wave.dtype == torch.float32
    assert ((low - exact).abs() / 150).max() < 0.02  # nats per sample
    plain = flow.sample(context=mel, generator=torch.Generator().manual_seed(0))
    assert (wave - plain).norm() < 0.05 * plain.norm()
    torch.testing.assert_close(flow.log_prob(x, mel), exact, rtol=0, atol=0)


@every_flow
@torch.no_grad()
def test_sampling(make):
    flow = make()
    mel = clips(2, 1, 3)[1]

    def draw(seed, **options):
        return flow.sample(context=mel, generator=torch.Generator().manual_seed(seed), **options)

    assert draw(1).shape == (2, 3 * HOP)
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert draw(1, trim=5).shape == (2, 3 * HOP - 5)
    zeros = torch.zeros(flow.latent_shape(mel), dtype=torch.float64)
    assert torch.equal(draw(1, temperature=0.0), flow.decode(zeros, mel))
    z = flow.encode(draw(1, temperature=0.5), mel)
    kept = where(flow, torch.tensor([3 * HOP] * 2), 3 * HOP)
    assert 0.3 < (z[kept] if kept is not None else z).std() < 0.7
    assert flow.sample(2, mel).shape == (2, 3 * HOP)


@every_flow
@torch.no_grad()
def test_scale_bound(make):
    flow = make(scale_bound=0.5, std=0.6)
    x, mel = clips(1, 40)
    z, ladj = flow.transform(squeeze(x * flow.standardize.gain, flow.height), flow.condition(mel, 40))
    torch.testing.assert_close(flow.decode(z, Mels(mel, torch.tensor([40]))), x, rtol=1e-9, atol=1e-9)
    if not flow.whole_columns:
        assert ladj.abs() <= 0.5 * 40 * len(flow.transform)


BAD = [
    (lambda f, x, m: f.log_prob(x), r"needs a context: the mel spectrograms"),
    (lambda f, x, m: f.log_prob(x[0], m), r"expected 2 waveforms \(B, n\), one per spectrogram, got \(20,\)"),
    (lambda f, x, m: f.log_prob(x[:1], m), r"expected 2 waveforms"),
    (lambda f, x, m: f.log_prob(x[:, :0], m), "clips of at least 1 sample, got 0"),
    (lambda f, x, m: f.log_prob(x, m[:, :2]), "spectrograms of 3 bands, got 2"),
    (lambda f, x, m: f.log_prob(x, m[..., :1]), "1 frames of 16 samples cannot condition clips of 20 samples"),
    (lambda f, x, m: f.sample(context=m, temperature=-1.0), "temperature >= 0, got -1.0"),
    (lambda f, x, m: f.sample(context=m, temperature=float("nan")), "temperature >= 0, got nan"),
    (lambda f, x, m: f.sample(3, m), "one spectrogram for each of the 3 samples, got 2"),
    (lambda f, x, m: f.sample(), "needs a context"),
    (lambda f, x, m: f.sample(context=m, trim=32), "2 frames of 16 samples less 32 cannot condition clips of 0"),
    (lambda f, x, m: f.sample(context=Mels(m, torch.tensor([40, 3]))), "cannot condition clips of 40 samples"),
    (lambda f, x, m: f.decode(torch.zeros(1, 4, 8), m), r"latents of shape \(2, 4, 8\), got \(1, 4, 8\)"),
    (lambda f, x, m: f.decode(torch.zeros(2, 4, 7), m), r"latents of shape \(2, 4, 8\), got \(2, 4, 7\)"),
]


@pytest.mark.parametrize("make", [waveflow, waveglow])
@pytest.mark.parametrize("call, message", BAD)
def test_bad_input(make, call, message):
    flow = make()
    x, mel = clips(2, 20)
    with pytest.raises(ValueError, match=message):
        call(flow, x, mel)


@pytest.mark.parametrize("make, n", [(waveflow, 18), (waveglow, 16)])
@torch.no_grad()
def test_compiles_without_breaks(make, n):
    compare_compiled(make, n, "eager", backward=False)


@torch.no_grad()
def test_synthesis_compiles_without_breaks():
    flow = waveflow(n_flows=1)
    mel = clips(1, 48, 3)[1]
    z = torch.randn(flow.latent_shape(mel)).double()
    torch._dynamo.reset()
    compiled = torch.compile(flow.decode, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z, mel), flow.decode(z, mel), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("make", [waveflow, waveglow])
def test_compiled_to_machine_code(make):
    compare_compiled(make, 16, "inductor", backward=True)


def compare_compiled(make, n, backend, backward):
    flow, (x, mel) = make(), clips(2, n)
    torch._dynamo.reset()
    compiled = torch.compile(flow, fullgraph=True, backend=backend)
    results = []
    for function in (compiled, flow):
        density = function(x, mel)
        grads = torch.autograd.grad(density.sum(), list(flow.parameters())) if backward else ()
        results.append([density, *grads])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
