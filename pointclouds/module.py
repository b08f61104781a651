"""How PointFlow trains: by its bound, by flow matching of both levels, or by something of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.certificate import Certificate, certify
from flowsuite.core.matching import FlowMatching, split_at_cnf
from flowsuite.core.numerics import sum_over_event
from flowsuite.core.objective import rnode_penalty
from flowsuite.core.training.continuous_training import ContinuousTraining
from flowsuite.core.training.module import FlowModule
from flowsuite.pointclouds.distances import chamfer
from flowsuite.pointclouds.encoder import Posterior
from flowsuite.pointclouds.matching import code_matching_loss, point_matching_loss
from flowsuite.pointclouds.normalize import check_normalization
from flowsuite.pointclouds.pointflow import ElboTerms, PointFlow, check_clouds
from flowsuite.pointclouds.samples import save_clouds

OBJECTIVES = ("likelihood", "flow_matching", "hybrid")
SHOWN = 8  # shapes in a row of the example pictures
CERTIFIED = 4  # shapes of the first test batch that the certificate looks at


class PointFlowModule(ContinuousTraining, FlowModule):
    """Trains a `PointFlow` (arXiv 1906.12320). The loss that is minimised, by `objective`:

    - "likelihood", as published, nats per shape:
      `-mean[recon_weight log p(X|z) + prior_weight log p(z) + entropy_weight H[q(z|X)]]`;
    - "flow_matching", no solve at all (2210.02747):
      `recon_weight |v - u|^2 / 3` of points given z ~ q(z|X), plus `prior_weight |v - u|^2 / zdim` of codes, which are
      constants there, plus `kl_weight KL(q(z|X) || N(0, I)) / zdim`, which keeps the codes near the standard normal
      that their flow starts from;
    - "hybrid": points by matching, codes by the exact density of their flow, which shapes the codes too:
      `recon_weight |v - u|^2 / 3 + kl_weight mean[-prior_weight log p(z) - entropy_weight H[q(z|X)]] / zdim`.

    What is solved may be penalised (RNODE, 2002.02798): `kinetic * int |f|^2 + jacobian * int |J|_F^2`, summed over the
    points and the levels that the loss solves, joins `-log p` in nats: of both in "likelihood", of codes in "hybrid".
    A coarse fixed grid with a learned end time needs that: it is exploited otherwise.

    Without a latent flow only the first term of each is left, that of an auto-encoder (a deterministic encoder feels no
    prior either). Flow matching needs `num_blocks=1` at its level. All points of a cloud are encoded, whatever
    `train_points` is.

    Logged, in evaluation by `eval_solver`: `recon_nats_per_dim` = -log p(X|z) / 3N, `prior_nats_per_dim` =
    -log p(z) / zdim, `entropy` (nats per shape) and `elbo_nats_per_dim` = -bound / 3N, all of normalised coordinates;
    `cd`, the Chamfer distance in the units of the data between reconstructions by the mean code and the held-out points
    of the same shapes; evaluations of the fields, see `ContinuousTraining`. Testing also prints a
    `flowsuite.core.certificate.Certificate` of the bound at the mean codes.

    A cloud with NaN in a training batch makes the loss NaN, see `non_finite`, and is kept from the batch norms.

    Args:
        flow: a `PointFlow`.
        objective: "likelihood", "flow_matching" or "hybrid".
        recon_weight, prior_weight, entropy_weight, kl_weight: see above.
        train_points: the likelihood, or the matching loss, of so many random points of each cloud; the former is
            weighted by N / train_points, without bias. None for all.
        kinetic, jacobian: weights of the penalties; 0.01 each as published, 0 for none.
        path, sigma: of flow matching, see `FlowMatching`.
        pairing: of codes in flow matching, "independent" or "optimal" in the minibatch.
        point_pairing: of the points of each shape with noise, likewise; see `point_matching_loss` for what it costs.
        times: times a cloud and a code, see `point_matching_loss` and `code_matching_loss`.
        evaluate_likelihood: log the bound in validation whatever the objective; the test always does.
        sample_points: points of a generated cloud.
        tight: a test figure is called loose if its certificate is above this error, in nats per dimension.
        kwargs: those of `FlowModule`.
    """

    def __init__(
        self,
        flow: PointFlow,
        objective: str = "likelihood",
        recon_weight: float = 1.0,
        prior_weight: float = 1.0,
        entropy_weight: float = 1.0,
        kl_weight: float = 1e-3,
        train_points: int | None = None,
        kinetic: float = 0.0,
        jacobian: float = 0.0,
        path: str = "linear",
        sigma: float = 0.0,
        pairing: str = "independent",
        point_pairing: str = "independent",
        times: int = 1,
        evaluate_likelihood: bool = True,
        sample_points: int = 2048,
        tight: float = 1e-3,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if not isinstance(flow, PointFlow):
            raise TypeError(f"flow must be a PointFlow, got {type(flow).__name__}")
        self.set_penalties(kinetic, jacobian)
        self.set_tight(tight)
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}: expected one of {', '.join(OBJECTIVES)}")
        weights = {"recon_weight": recon_weight, "prior_weight": prior_weight, "entropy_weight": entropy_weight}
        for name, value in {**weights, "kl_weight": kl_weight}.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be at least 0, got {value}")
        if sample_points < 1 or times < 1 or (train_points is not None and train_points < 1):
            raise ValueError(
                f"expected sample_points, times and train_points >= 1, got {sample_points}, {times}, {train_points}"
            )
        solves = objective == "likelihood" or (objective == "hybrid" and flow.latent is not None)
        if self.penalties and not solves:
            raise ValueError(f"the objective {objective!r} solves nothing that kinetic or jacobian could penalise")
        self.objective, self.kl_weight, self.train_points, self.times = objective, kl_weight, train_points, times
        self.recon_weight, self.prior_weight, self.entropy_weight = recon_weight, prior_weight, entropy_weight
        self.code_matching, self.point_matching = (FlowMatching(path, sigma, p) for p in (pairing, point_pairing))
        self.evaluate_likelihood, self.sample_points = evaluate_likelihood, sample_points
        for matched in self.matched_levels():
            split_at_cnf(matched)
        self._shown: dict[str, Tensor] | None = None

    def matched_levels(self) -> list[torch.nn.Module]:
        """The chains of layers that train by flow matching."""
        levels = [] if self.objective == "likelihood" else [self.flow.point_cnf]
        if self.objective == "flow_matching" and self.flow.latent is not None:
            levels.append(self.flow.latent.transform)
        return levels

    # Data

    def unpack(self, batch):
        """Normalised clouds, and what else a batch of `CloudSet` holds."""
        if isinstance(batch, dict):
            if "points" not in batch:
                raise TypeError(f"expected batches with 'points', got {', '.join(batch)}")
            return batch["points"], batch
        return super().unpack(batch)

    def _initialize_flow(self, batch) -> None:
        self.flow_initialized = True  # nothing here starts from the data but its normalisation

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "normalization"):
            self.flow.set_normalization(**{k: v.to(self.flow.mean) for k, v in data.normalization().items()})

    def check_normalization(self) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "normalization"):
            check_normalization(data, self.flow.mean, self.flow.std)

    def on_validation_start(self) -> None:
        super().on_validation_start()
        self.check_normalization()

    def on_test_start(self) -> None:
        super().on_test_start()
        self.check_normalization()

    def on_predict_start(self) -> None:
        super().on_predict_start()
        self.check_normalization()

    # Testing

    def certify(self, batch) -> Certificate:
        """How far `log p(X|z) + log p(z)` at the mean codes of a few shapes can be trusted, nats per shape."""
        x = self.unpack(batch)[0][:CERTIFIED]
        self.tight_unit = "nats per dimension", float(x[0].numel())
        z = self.flow.encode(x)

        def log_prob(flow: PointFlow, x: Tensor) -> Tensor:
            codes = z.to(x.dtype)
            return flow.log_prob_points(x, codes).sum(1) + flow.log_prob_codes(codes)

        def round_trip() -> Tensor:
            return self.flow.decode(z, noise=self.flow.point_cnf.points(x, self.flow.condition(z))[0])

        return certify(self.flow, log_prob, x, round_trip)

    # Losses

    def loss(self, x, context, stage):
        if stage == "train":
            return self.training_loss(x)
        terms = self.flow.elbo(x) if self.needs_bound(stage) else None
        if self.objective == "likelihood":
            loss, figures = self.bound_loss(terms, x)
        else:
            loss, figures = self.objective_loss(x)
            figures |= {} if terms is None else self.bound_loss(terms, x)[1]
        if isinstance(context, dict) and "reference" in context:
            figures["cd"] = self.reconstruction_error(x, context)
            self._shown = {name: context[name][:SHOWN] for name in ("points", "mean", "std")}
        return loss, figures

    def needs_bound(self, stage: str) -> bool:
        return self.objective == "likelihood" or self.evaluate_likelihood or stage == "test"

    def training_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss that is minimised: NaN if a cloud has NaN, which nothing but the loss gets to see."""
        check_clouds(x, finite=False)
        finite = x.isfinite().all(-1).all(-1)
        loss, figures = self.objective_loss(torch.where(finite[:, None, None], x, 0))
        return torch.where(finite.all(), loss, torch.nan), figures

    def objective_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if self.objective == "likelihood":
            loss, figures = self.bound_loss(self.flow.elbo(x, points=self.train_points), x)
            penalty, found = self.penalty(x.shape[1] / min(self.train_points or x.shape[1], x.shape[1]))
            return loss + penalty, {**figures, **found}
        posterior = self.flow.posterior(x)
        z = posterior.sample()
        points = point_matching_loss(self.flow, self.point_matching, x, z, self.train_points, self.times)
        loss, figures = self.recon_weight * points, {"point_matching": points}
        if self.flow.latent is None:
            return loss, figures
        extra = self.code_loss(posterior, z) if self.objective == "flow_matching" else self.density_loss(posterior, z)
        return loss + extra[0], {**figures, **extra[1]}

    def bound_loss(self, terms: ElboTerms, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The published loss, nats per shape, and its figures."""
        recon, prior, entropy = (term.mean() for term in terms)
        dims = x.shape[1] * x.shape[2]
        loss = -(self.recon_weight * recon + self.prior_weight * prior + self.entropy_weight * entropy)
        figures = {"recon_nats_per_dim": -recon / dims}
        if self.flow.latent is not None:
            figures["prior_nats_per_dim"] = -prior / self.flow.zdim
            figures |= {"entropy": entropy, "elbo_nats_per_dim": -terms.bound.mean() / dims}
        return loss, figures

    def code_loss(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        codes = code_matching_loss(self.flow, self.code_matching, z, self.times)
        kl = posterior.kl_to_standard().mean() / self.flow.zdim
        loss = self.prior_weight * codes + self.kl_weight * kl
        return loss, {"code_matching": codes, "kl_to_standard_per_dim": kl}

    def density_loss(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        prior, entropy = self.flow.log_prob_codes(z).mean(), posterior.entropy().mean()
        penalty, found = self.penalty()
        loss = penalty - self.prior_weight * prior - self.entropy_weight * entropy
        figures = {"prior_nats_per_dim": -prior / self.flow.zdim, "entropy": entropy}
        return self.kl_weight * loss / self.flow.zdim, {**figures, **found}

    def penalty(self, weight: float = 1.0) -> tuple[Tensor | float, dict[str, Tensor]]:
        """What the penalties of this step add to the loss, and each, per shape; `weight` is that of a point."""
        if not self.penalties:
            return 0.0, {}
        points, solutions = {id(cnf.field) for cnf in self.flow.point_cnf.blocks}, self.solves.solutions
        weights = [weight if id(solution.field) in points else 1.0 for solution in solutions]
        pairs = list(zip(weights, solutions, strict=True))
        found = {name: sum(w * sum_over_event(s.penalties[name]) for w, s in pairs) for name in self.penalties}
        return rnode_penalty(found, self.penalty_weights), {name: value.mean() for name, value in found.items()}

    def reconstruction_error(self, x: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Mean Chamfer distance of reconstructions to held-out points of the same shapes, in the units of the data."""
        reference = batch["reference"]
        found = self.flow.reconstruct(x, reference.shape[1])
        return chamfer(found * batch["std"] + batch["mean"], reference * batch["std"] + batch["mean"]).mean()

    # Generation

    def generate(
        self,
        n,
        context: Any = None,
        temperature=1.0,
        generator=None,
        points: int | None = None,
        truncation: float | None = None,
        latent_truncation: float | None = None,
    ):
        """`n` new clouds in the units of the data, (n, points, 3), `sample_points` of each if None.

        `temperature` is that of the shape codes; the noise of either level may be truncated, see `PointFlow.sample`.
        """
        points = self.sample_points if points is None else points
        return self.flow.sample(n, points, temperature, truncation, latent_truncation, generator)

    def save_samples(self, samples, out, first):
        """`cloud_<i>.npy` (N, 3) float32 and `cloud_<i>.ply` of each, and a picture `samples_<first>.png` of all."""
        return save_clouds(samples, Path(out), first)

    @torch.no_grad()
    def example_images(self):
        """Rows: shapes of the validation set, their reconstructions and, with a prior, new shapes."""
        from flowsuite.pointclouds.render import contact_sheet

        rows, generator = [], torch.Generator(self.device).manual_seed(0)
        if self._shown is not None:
            x, mean, std = (self._shown[name] for name in ("points", "mean", "std"))
            rows = [x * std + mean, self.flow.reconstruct(x, generator=generator) * std + mean]
        if self.flow.latent is not None:
            n, points = (len(rows[0]), rows[0].shape[1]) if rows else (SHOWN, self.sample_points)
            rows.append(self.flow.sample(n, points, generator=generator))
        if not rows:
            return None
        return contact_sheet(torch.cat(rows).float().cpu(), columns=len(rows[0]), size=160).float() / 255
