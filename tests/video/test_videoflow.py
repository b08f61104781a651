"""Properties of the whole model."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.video.presets import PRESETS
from flowsuite.video.videoflow import VideoFlow
from tests.video.flows_made import PRIORS, SHAPE, clips, every_prior, tiny


@every_prior
@torch.no_grad()
def test_reverse_error(prior):
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        flow, x = tiny(prior, dtype), clips(dtype=dtype)
        z = flow.encode(x)
        assert [tuple(part.shape) for part in z] == [(2, 5, 4, 4, 4), (2, 5, 16, 2, 2)]
        assert (flow.decode(z) - x).abs().max() < bound


@every_prior
@torch.no_grad()
def test_log_det_of_a_frame_by_its_jacobian(prior):
    flow, x = tiny(prior), clips(1, 1)
    _, _, ladj = flow.encode_with_above(x)

    def flat(values):
        latents = flow.encode(values.view_as(x))
        return torch.cat([z.flatten() for z in latents])

    jacobian = torch.autograd.functional.jacobian(flat, x.flatten())
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], ladj[0, 0], rtol=1e-9, atol=1e-9)


@every_prior
@torch.no_grad()
def test_batch_independence(prior):
    flow, x = tiny(prior), clips(3)
    together = flow.frame_log_prob(x)
    alone = torch.cat([flow.frame_log_prob(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


@every_prior
@torch.no_grad()
def test_causality(prior):
    """A frame's score does not change with later frames, and does with each frame that it is conditional on."""
    flow, x = tiny(prior), clips(1, 5)
    scores = flow.frame_log_prob(x)
    for t in range(5):
        other = x.clone()
        other[:, t] = clips(1, 1, seed=7)[:, 0]
        changed = (flow.frame_log_prob(other) - scores).abs()[0] > 1e-9
        assert not changed[:t].any() and changed[t]
        reach = 5 if PRIORS[prior]["prior"] == "causal" else min(5, t + 1 + flow.past)
        assert not changed[reach:].any()
        first = t + 1 if PRIORS[prior]["prior"] == "causal" else max(t + 1, flow.past)
        assert changed[first:reach].all()


@every_prior
@torch.no_grad()
def test_context_is_a_matter_of_which_frames_are_scored(prior):
    flow, x = tiny(prior), clips(2, 5)
    every = flow.frame_log_prob(x)
    for context in range(5):
        torch.testing.assert_close(flow.frame_log_prob(x, context), every[:, context:])
    torch.testing.assert_close(flow.log_prob(x, 2), every[:, 2:].sum(1))


@every_prior
def test_every_parameter_learns(prior):
    flow = tiny(prior).train()
    flow.log_prob(clips(2, 5)).sum().backward()
    for name, parameter in flow.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("prior", ["window3", "causal"])
def test_recomputation_gives_the_same_gradients(prior):
    gradients = []
    for reversible in (False, True):
        flow = tiny(prior, reversible=reversible).train()
        flow.log_prob(clips(2, 4)).sum().backward()
        gradients.append({n: p.grad for n, p in flow.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-6, atol=1e-7)


@torch.no_grad()
def test_levels_and_flow_add_up():
    flow, x = tiny("window3"), clips()
    score, ladj = flow.score(x, 2), flow.encode_with_above(x)[2]
    torch.testing.assert_close(score.levels.sum(2) + ladj[:, 2:], score.log_prob)


@torch.no_grad()
def test_log_std_is_bounded():
    """Videos that stand still push sigma down; the bound holds it."""
    flow = tiny("window1", log_std_bound=2.0)
    for prior in flow.priors:
        prior.net.last.bias.fill_(-100.0)
    still = clips(1, 1).expand(-1, 4, -1, -1, -1)
    assert flow.score(still, 1).least_log_std >= -2.0
    assert flow.frame_log_prob(still, 1).isfinite().all()


@pytest.mark.parametrize(
    "name, millions", [("bair-quant", (52.4, 15.1)), ("bair-qual", (29.8, 15.1)), ("shapes", (47.8, 20.3))]
)
def test_published_sizes(name, millions):
    """Millions of parameters of flow and priors, the flow counted by one of its 24 equal steps a level."""
    flow = VideoFlow.published(name, steps=1)
    step = sum(p.numel() for level in flow.frames.levels for p in level.parameters())
    prior = sum(p.numel() for p in flow.priors.parameters())
    assert round(24 * step / 1e6, 1) == millions[0]
    assert round(prior / 1e6, 1) == millions[1]
    assert PRESETS[name]["steps"] == 24


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"video_shape": (3, 12, 16), "levels": 3}, "divisible by 8"),
        ({"prior": "lstm"}, "prior must be one of window, causal"),
        ({"mixture": [1]}, "mixture must be"),
        ({"log_std_bound": 0.0}, "log_std_bound must be above 0"),
        ({"past": 0}, "past must be at least 1"),
        ({"prior_activation": "swish"}, "activation must be one of relu, gatu"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        VideoFlow(**{"video_shape": SHAPE, "levels": 2, "steps": 1, "width": 4, "prior_width": 4, **arguments})


def test_wrong_videos():
    flow = tiny("window3")
    with pytest.raises(TypeError, match="floats"):
        flow.frame_log_prob(torch.zeros(1, 4, *SHAPE, dtype=torch.uint8))
    with pytest.raises(ValueError, match="expected videos of shape"):
        flow.frame_log_prob(clips()[:, :, :, :4])
    with pytest.raises(ValueError, match="leave frames to score"):
        flow.frame_log_prob(clips(), 5)
    with pytest.raises(ValueError, match="unknown configuration"):
        VideoFlow.published("bair")


@torch.no_grad()
def test_one_number_of_bits():
    """The density of a frame, less log 256 a value, in bits: what the module calls bits per dimension."""
    flow, x = tiny("causal"), clips(1, 2)
    nats = flow.frame_log_prob(x) - flow.dims * math.log(256)
    bits = -nats / (flow.dims * math.log(2))
    assert bits.shape == (1, 2) and bits.isfinite().all()
