from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from flowsuite.images.datasets import ImageSet
from flowsuite.images.features import load_feature_network
from flowsuite.images.metrics import (
    evaluate_bits,
    frechet_inception_distance,
    halve_on_out_of_memory,
    round_trip_error,
)
from tests.images.test_module import glow, images


def dataset(n: int = 10) -> ImageSet:
    return ImageSet(images(n), torch.arange(n) % 4)


def test_three_forms_of_bits_per_dim():
    flow = glow().eval()
    state = torch.get_rng_state()
    one, many = evaluate_bits(flow, dataset(), 1, batch_size=4), evaluate_bits(flow, dataset(), 16, batch_size=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert one.one_draw == one.mean == pytest.approx(one.importance_weighted) and one.one_draw == many.one_draw
    assert many.importance_weighted < many.mean
    assert many.n_bits == 5 and many.images == 10 and many.draws == 16
    assert sum(many.levels) == pytest.approx(many.mean)
    assert one.table().count("at 5 bits") == 3 and many.table().count("at 5 bits") == 5


def test_figures_against_a_plain_computation():
    flow = glow().double().eval()
    result = evaluate_bits(flow, dataset(4), draws=3, batch_size=4, seed=7)
    rows = []
    for k in range(3):
        torch.manual_seed(7 * 1_000_003 * 1_009 + k)
        rows.append(flow.log_prob(images(4)))
    nats = torch.stack(rows).detach()
    scale = 192 * math.log(2)
    assert result.mean == pytest.approx(-nats.mean().item() / scale)
    weighted = -(torch.logsumexp(nats, 0) - math.log(3)) / scale
    assert result.importance_weighted == pytest.approx(weighted.mean().item())
    assert result.importance_weighted_error == pytest.approx((weighted.std() / 2).item())


def test_seed_decides_the_noise():
    flow = glow().eval()
    a, b, c = (evaluate_bits(flow, dataset(), seed=seed).one_draw for seed in (0, 0, 1))
    assert a == b != c


def test_labels_are_used_by_conditional_flows():
    flow = glow(n_classes=4).eval()
    with torch.no_grad():
        flow.body.top.class_weight.normal_()
    right = evaluate_bits(flow, dataset()).one_draw
    wrong = evaluate_bits(flow, ImageSet(images(10), torch.arange(10) % 4 ^ 1)).one_draw
    assert right != wrong


def test_out_of_memory_halves_the_batch():
    sizes = []

    def function(x, context):
        sizes.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("made up")
        return x * context

    x = torch.arange(10.0)
    assert torch.equal(halve_on_out_of_memory(function, x, x), x * x)
    assert max(sizes) == 10 and sizes.count(10) == 1
    with pytest.raises(torch.OutOfMemoryError):
        halve_on_out_of_memory(lambda x, c: function(torch.zeros(9), c), x[:1], None)


def test_wrong_calls():
    with pytest.raises(ValueError, match=r"flow\.eval"):
        evaluate_bits(glow().train(), dataset())
    with pytest.raises(ValueError, match="draws"):
        evaluate_bits(glow().eval(), dataset(), draws=0)


def test_round_trip_is_exact_in_double():
    error, wrong = round_trip_error(glow().double().eval(), images())
    assert error < 1e-9 and wrong == 0


class Features(nn.Module):
    def forward(self, x):
        x = x.float()
        return torch.stack((x.mean((1, 2, 3)), x.std((1, 2, 3)), x[:, 0, 0, 0]), dim=1)


def test_fid_of_the_same_and_of_other_images(tmp_path):
    real = ImageSet(images(64))
    start = [0]

    def replay(n):
        chosen = torch.arange(start[0], start[0] + n) % 64
        start[0] = 0 if n == 2 else start[0] + n  # the first call only looks at the shape
        return images(64)[chosen]

    same = frechet_inception_distance(real, replay, 64, Features(), batch_size=16)
    dark = frechet_inception_distance(real, lambda n: images(n) // 4, 64, Features(), batch_size=16)
    assert same == pytest.approx(0, abs=1e-2) and dark > 100
    torch.jit.script(Features()).save(str(tmp_path / "f.pt"))
    start[0] = 0
    assert frechet_inception_distance(real, replay, 64, str(tmp_path / "f.pt"), 16) == pytest.approx(same, abs=1e-3)
    grey = ImageSet(images(8, (1, 8, 8)))
    assert frechet_inception_distance(grey, lambda n: images(n, (1, 8, 8)), 8, Features(), 8) == pytest.approx(
        0, abs=1e-2
    )


def test_fid_without_weights(tmp_path):
    with pytest.raises(ValueError, match="feature network"):
        frechet_inception_distance(dataset(), images, 4, None)
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        frechet_inception_distance(dataset(), images, 4, str(tmp_path / "nothing.pt"))
    (tmp_path / "bad.pt").write_text("no network")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("bad", "other"):
        with pytest.raises(ValueError, match=rf"{name}\.pt.*TorchScript") as caught:
            frechet_inception_distance(dataset(), images, 4, str(tmp_path / f"{name}.pt"))
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_inception_from_a_state_dict(tmp_path):
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    reference = inception_v3(weights=None, init_weights=False, aux_logits=False).eval()
    torch.save(reference.state_dict(), tmp_path / "inception.pth")
    network = load_feature_network(str(tmp_path / "inception.pth"))
    x = images(2, (3, 299, 299))
    with torch.no_grad():
        features = network(x)
        assert features.shape == (2, 2048)
        assert torch.allclose(reference.fc(features), reference(x / 127.5 - 1), rtol=1e-3, atol=1e-4)
