import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from scipy.optimize import linear_sum_assignment

from flowsuite.core.layers.continuous import record_solves
from flowsuite.core.matching import FlowMatching
from flowsuite.core.training.checkpoint import build_module, load_module
from flowsuite.core.training.finite import NonFiniteError
from flowsuite.core.training.schedules import ConstantThenLinear
from flowsuite.pointclouds import PointFlowModule
from flowsuite.pointclouds.data import Shapes
from flowsuite.pointclouds.matching import code_matching_loss, pair_within, point_matching_loss
from flowsuite.pointclouds.ply import read_ply_points
from tests.pointclouds.small import SHAPES, SMALL, clouds, normalized, small

LEVELS = ("encoder", "point_cnf", "latent")


def module(objective="likelihood", flow=None, **options) -> PointFlowModule:
    config = {"class_path": "flowsuite.pointclouds.PointFlow", "init_args": {**SMALL, **(flow or {})}}
    path = "flowsuite.pointclouds.module.PointFlowModule"
    return build_module(path, {"flow": config, "objective": objective, "sample_points": 16, **options})


def quiet(tmp_path):
    return pl.Trainer(accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False)


def fit(model, tmp_path, steps=2, data=None, **options):
    trainer = pl.Trainer(
        max_steps=steps,
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(model, datamodule=data or Shapes(**SHAPES, batch_size=4))
    return trainer


@pytest.mark.parametrize(
    ("objective", "flow", "figures"),
    [
        ("likelihood", {}, {"recon_nats_per_dim", "prior_nats_per_dim", "entropy", "elbo_nats_per_dim"}),
        ("flow_matching", {}, {"point_matching", "code_matching", "kl_to_standard_per_dim", "elbo_nats_per_dim"}),
        ("hybrid", {"soft_noise": 0.05}, {"point_matching", "prior_nats_per_dim", "entropy", "recon_nats_per_dim"}),
        ("likelihood", {"deterministic": True}, {"recon_nats_per_dim"}),
        ("flow_matching", {"deterministic": True, "batch_norm": False}, {"point_matching", "recon_nats_per_dim"}),
    ],
)
def test_every_objective_trains_and_reports(objective, flow, figures, tmp_path):
    model = module(objective, flow, train_points=8)
    before = {name: p.detach().clone() for name, p in model.flow.named_parameters()}
    trainer = fit(model, tmp_path)
    assert trainer.global_step == 2
    logged = trainer.callback_metrics
    assert {f"val/{name}" for name in figures | {"loss", "cd"}} <= logged.keys()
    assert all(torch.isfinite(logged[f"val/{name}"]) for name in figures | {"loss", "cd"})
    assert logged["val/nfe"] > 0
    moved = {name for name, p in model.flow.named_parameters() if not torch.equal(p, before[name])}
    levels = LEVELS[: 2 if "deterministic" in flow else 3]
    assert all(any(name.startswith(level) for name in moved) for level in levels)
    frozen = [name for name in before if "sqrt_end_time" in name and "point_cnf" in name]
    assert (set(frozen) <= moved) == (objective == "likelihood")
    assert all(p.requires_grad for p in model.flow.parameters())  # given back after training


def test_published_loss_and_its_units():
    model, x = module(recon_weight=2.0, prior_weight=3.0, entropy_weight=5.0).double().eval(), clouds(3, 20)
    torch.manual_seed(0)
    loss, figures = model.loss(x, None, "val")
    torch.manual_seed(0)
    recon, prior, entropy = model.flow.elbo(x)
    torch.testing.assert_close(loss, -(2 * recon + 3 * prior + 5 * entropy).mean())
    torch.testing.assert_close(figures["recon_nats_per_dim"], -recon.mean() / 60)
    torch.testing.assert_close(figures["prior_nats_per_dim"], -prior.mean() / 5)
    torch.testing.assert_close(figures["elbo_nats_per_dim"], -(recon + prior + entropy).mean() / 60)


def test_hybrid_and_matching_losses_are_what_they_say():
    x = clouds(3, 20)
    for objective in ("hybrid", "flow_matching"):
        model = module(objective, kl_weight=0.5, prior_weight=2.0, entropy_weight=3.0).double().eval()
        torch.manual_seed(0)
        loss, figures = model.objective_loss(x)
        if objective == "hybrid":
            codes = 2 * figures["prior_nats_per_dim"] - 3 * figures["entropy"] / 5
            expected = figures["point_matching"] + 0.5 * codes
        else:
            kl = figures["kl_to_standard_per_dim"]
            torch.testing.assert_close(kl, model.flow.posterior(x).kl_to_standard().mean() / 5)
            expected = figures["point_matching"] + 2 * figures["code_matching"] + 0.5 * kl
        torch.testing.assert_close(loss, expected)


def test_codes_do_not_feel_their_own_matching():
    flow, x = small(), clouds()
    z = flow.encode(x)
    code_matching_loss(flow, FlowMatching(), z).backward()
    assert all(p.grad is None for p in flow.encoder.parameters())
    assert any(p.grad is not None and p.grad.any() for p in flow.latent.parameters())
    point_matching_loss(flow, FlowMatching(), x, flow.encode(x)).backward()
    assert any(p.grad is not None and p.grad.any() for p in flow.encoder.parameters())


@pytest.mark.parametrize("times", [1, 3, 7])
def test_matching_a_perfect_field_costs_nothing(times):
    """A point at the origin and a field that sends everything there along straight lines."""

    class Straight(torch.nn.Module):
        def condition(self, context):
            return context

        def forward(self, t, x, condition):
            t = t.view(-1, 1, 1)
            return x / t  # T = 1: x_t = t noise

    flow = small(batch_norm=False, end_time=1.0)
    flow.point_cnf[0].field = Straight()
    loss = point_matching_loss(
        flow, FlowMatching(), torch.zeros(2, 23, 3).double(), torch.zeros(2, 5).double(), 22, times
    )
    assert loss < 1e-20


def test_too_many_times_are_refused():
    with pytest.raises(ValueError, match="times must be between 1 and the number of points, 20, got 21"):
        point_matching_loss(small(), FlowMatching(), clouds(), torch.zeros(3, 5).double(), None, 21)


def test_normalization_is_kept_in_the_checkpoint(tmp_path):
    model = module()
    trainer = fit(model, tmp_path)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    found = Shapes(**SHAPES).normalization()
    loaded = load_module(tmp_path / "model.ckpt")
    torch.testing.assert_close(loaded.flow.mean, found["mean"])
    torch.testing.assert_close(loaded.flow.std, found["std"].expand(1, 1, 3))
    assert loaded.flow.encoder.point_layers[1].num_batches_tracked == 2


def test_a_test_prints_its_certificate(tmp_path, capsys):
    model = module(tight=1.0).eval()
    normalized(model.flow)
    data = Shapes(**SHAPES, batch_size=4)
    figures = quiet(tmp_path).test(model, datamodule=data, verbose=False)[0]
    assert figures["test/elbo_nats_per_dim"] > 0 and figures["test/cd"] > 0
    assert model.certificate.examples == 4 and model.certificate.divergence == "exact"
    assert model.certificate.round_trip < 1e-2 and model.certificate.solver_error < 1
    printed = capsys.readouterr().out
    assert "likelihood certificate, 4 examples" in printed and "LOOSE" not in printed
    model.tight = 1e-9
    quiet(tmp_path).test(model, datamodule=data, verbose=False)
    assert "LOOSE: the test figures are not known to 1e-09 nats per dimension" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["test", "validate", "predict"])
def test_other_statistics_than_those_of_training_are_refused(what, tmp_path):
    model = module().eval()
    normalized(model.flow)
    data = Shapes(**{**SHAPES, "families": ["mug"]}, batch_size=4)
    with pytest.raises(ValueError, match=r"Shapes is normalised with mean .* the model was trained with mean"):
        getattr(quiet(tmp_path), what)(model, datamodule=data)


class Spoiled(Shapes):
    """One coordinate of the third training batch is NaN."""

    batches = 0

    def augment(self, points):
        self.batches += 1
        if self.batches == 3:
            points[1, 2, 0] = math.nan
        return points


@pytest.mark.parametrize("objective", ["likelihood", "flow_matching"])
def test_a_cloud_with_nan_is_a_skipped_update(objective, tmp_path):
    model = module(objective, non_finite="skip", point_pairing="optimal", pairing="optimal")
    data = Spoiled(**SHAPES, batch_size=4, rotate=True)
    trainer = fit(model, tmp_path, 4, data=data)
    assert data.batches >= 4 and model.skipped_updates == 1
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert torch.isfinite(trainer.callback_metrics["val/loss"])
    with pytest.raises(NonFiniteError, match="train/loss is nan"):
        fit(module(objective), tmp_path, 4, data=Spoiled(**SHAPES, batch_size=4, rotate=True))


def test_penalties_are_those_of_both_levels_and_all_points():
    model, x = module(kinetic=0.5, jacobian=2.0, train_points=5).double(), clouds(3, 20)
    with record_solves(model.penalties) as model.solves:
        loss, figures = model.training_loss(x)
    both = [solution.penalties for solution in model.solves.solutions]
    assert [tuple(found["kinetic"].shape) for found in both] == [(3, 5), (3,)]
    for name in ("kinetic", "jacobian"):
        torch.testing.assert_close(figures[name], 4 * both[0][name].sum(1).mean() + both[1][name].mean())
    bound = 60 * figures["elbo_nats_per_dim"]
    torch.testing.assert_close(loss, bound + 0.5 * figures["kinetic"] + 2 * figures["jacobian"])
    hybrid = module("hybrid", kinetic=0.5, kl_weight=0.1).double()
    with record_solves(hybrid.penalties) as hybrid.solves:
        torch.manual_seed(0)
        loss, figures = hybrid.training_loss(x)
    codes = figures["prior_nats_per_dim"] + (0.5 * figures["kinetic"] - figures["entropy"]) / 5
    torch.testing.assert_close(loss, figures["point_matching"] + 0.1 * codes)


def test_optimal_pairing_within_each_shape():
    generator = torch.Generator().manual_seed(0)
    noise, x = torch.randn(2, 6, 4, 3, generator=generator).double()
    paired = pair_within(noise, x, 3, "optimal")
    for shape in range(2):
        rows = slice(3 * shape, 3 * shape + 3)
        given, found, points = noise[rows].reshape(12, 3), paired[rows].reshape(12, 3), x[rows].reshape(12, 3)
        cost = torch.cdist(points, given).square()
        best = linear_sum_assignment(cost.numpy())
        torch.testing.assert_close((points - found).square().sum(), cost[best].sum())
        torch.testing.assert_close(found.sort(0).values, given.sort(0).values)
    assert pair_within(noise, x, 3, "independent") is noise
    flow = small()
    optimal = [point_matching_loss(flow, FlowMatching(pairing="optimal"), x, flow.encode(x)) for _ in range(2)]
    assert all(value.isfinite() for value in optimal)


def test_samples_are_written_as_npy_ply_and_a_picture(tmp_path):
    model = module().eval()
    samples = model.generate(2, generator=torch.Generator().manual_seed(0))
    assert samples.shape == (2, 16, 3)
    written = model.save_samples(samples, tmp_path / "out", 5)
    assert [path.name for path in written] == [
        "samples_000005.png",
        *(f"cloud_00000{i}.{kind}" for i in (5, 6) for kind in ("npy", "ply")),
    ]
    for i in (0, 1):
        array = np.load(tmp_path / "out" / f"cloud_00000{5 + i}.npy")
        assert array.dtype == np.float32 and np.array_equal(array, samples[i].numpy())
        np.testing.assert_allclose(read_ply_points(tmp_path / "out" / f"cloud_00000{5 + i}.ply"), array, rtol=1e-5)


def test_example_pictures_show_shapes_reconstructions_and_samples():
    model = module().eval()
    batch = next(iter(Shapes(**SHAPES, batch_size=4).val_dataloader()))
    alone = model.example_images()
    model.loss(*model.unpack(batch), "val")
    picture = model.example_images()
    assert alone.shape[0] == picture.shape[0] == 3 and picture.shape[1] > picture.shape[2] / 2
    assert 0 <= picture.min() < picture.max() <= 1
    assert module(flow={"deterministic": True}).eval().example_images() is None


def test_learning_rate_stays_then_falls_to_zero():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.2)
    schedule, rates = ConstantThenLinear(optimizer, total=8), []
    for _ in range(9):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2] * 5 + [0.15, 0.1, 0.05, 0.0])
    with pytest.raises(ValueError, match="total"):
        ConstantThenLinear(optimizer, total=0)


def test_bf16_keeps_densities_in_single_precision():
    model, x = module().eval(), clouds().float()
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.flow.elbo(x)
        y, ladj = model.flow.point_cnf.points(x, model.flow.encode(x))
    assert {t.dtype for t in (*terms, y, ladj)} == {torch.float32}
    assert all(t.isfinite().all() for t in terms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "magic"}, "unknown objective 'magic'"),
        ({"kl_weight": -1.0}, "kl_weight must be at least 0, got -1"),
        ({"recon_weight": math.nan}, "recon_weight"),
        ({"jacobian": -1.0}, "jacobian must be at least 0"),
        ({"kinetic": 0.1, "objective": "flow_matching"}, "solves nothing that kinetic or jacobian"),
        ({"kinetic": 0.1, "objective": "hybrid", "flow": {"deterministic": True}}, "solves nothing"),
        ({"tight": 0.0}, "tight must be positive"),
        ({"point_pairing": "best"}, "unknown pairing 'best'"),
        ({"sample_points": 0}, "sample_points"),
        ({"objective": "flow_matching", "flow": {"num_blocks": 2}}, "exactly one continuous layer, got 2"),
        ({"objective": "flow_matching", "flow": {"latent_num_blocks": 2}}, "exactly one continuous layer, got 2"),
        ({"objective": "hybrid", "path": "curved"}, "unknown path 'curved'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        module(**options)


def test_wrong_batches_are_named():
    with pytest.raises(TypeError, match="batches with 'points', got index"):
        module().unpack({"index": torch.zeros(2)})
    with pytest.raises(TypeError, match="must be a PointFlow, got Linear"):
        PointFlowModule(torch.nn.Linear(2, 2))
