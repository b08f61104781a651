"""PointFlow: a flow over shape codes, and one over points given the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flowsuite.core.ffjord import FFJORD
from flowsuite.core.objective import importance_weighted_bound
from flowsuite.core.ode import Solver
from flowsuite.pointclouds.checks import check_finite
from flowsuite.pointclouds.encoder import PointNetEncoder, Posterior
from flowsuite.pointclouds.point_cnf import PointCNF, draw_normal


class ElboTerms(NamedTuple):
    """`log p(X) >= recon + prior + entropy`, each (B,) in nats per shape.

    Attributes:
        recon: `log p(X|z)`, summed over the points.
        prior: `log p(z)`; 0 without a latent flow.
        entropy: `H[q(z|X)]`; 0 without a latent flow or with a deterministic encoder.
    """

    recon: Tensor
    prior: Tensor
    entropy: Tensor

    @property
    def bound(self) -> Tensor:
        return self.recon + self.prior + self.entropy


class PointFlow(nn.Module):
    """A two-level continuous flow (arXiv 1906.12320): shapes are distributions of points.

        z ~ q(z|X) = N(m(X), diag exp v(X)),   log p(z) = log N(w; 0, I) + log|dw/dz|,
        log p(X|z) = sum_n [log N(y_n; 0, I_3) + log|dy_n/dx_n|],
        log p(X) >= E_q[log p(X|z) + log p(z)] + H[q].

    Clouds are (B, N, 3), normalised as the model was trained; `normalize` and `denormalize` go between that and the
    units of the data, by statistics kept with the weights. `sample` gives the units of the data. Codes are z
    (B, zdim), and w their images in the latent flow's standard space.

    Args:
        zdim: size of the shape code.
        hidden: widths of the hidden layers of the point field.
        latent_hidden: the same of the latent field.
        num_blocks, latent_num_blocks: CNFs of either level.
        layer, activation: of the fields, see `MLPField`.
        batch_norm: moving batch norms around the CNFs of both levels.
        legacy_batch_norm: over points with the public code's statistics, see `PointBatchNorm`.
        deterministic: an auto-encoder: the code is a function of the cloud, and there is no prior.
        use_latent_flow: without it there is no prior either, and no sampling of shapes.
        end_time, train_end_time: of every CNF.
        divergence, latent_divergence: in training, see `CNF`; published: "hutchinson".
        eval_divergence: of both levels in evaluation.
        solver, eval_solver: of both levels, see `CNF`; published: `Adaptive()` for both.
        encoder_widths, encoder_head: see `PointNetEncoder`.
        soft_noise: train on points moved by noise of standard deviation s ~ U(0, soft_noise), one s a shape, which the
            point field is told; all else has s = 0 (SoftPointFlow, arXiv 2006.04604). 0 for none.
    """

    def __init__(
        self,
        zdim: int = 128,
        hidden: Sequence[int] = (512, 512, 512),
        latent_hidden: Sequence[int] = (256, 256),
        num_blocks: int = 1,
        latent_num_blocks: int = 1,
        layer: str = "concatsquash",
        activation: str = "tanh",
        batch_norm: bool = True,
        legacy_batch_norm: bool = False,
        deterministic: bool = False,
        use_latent_flow: bool = True,
        end_time: float = 0.5,
        train_end_time: bool = True,
        divergence: str = "auto",
        latent_divergence: str = "auto",
        eval_divergence: str = "auto",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
        encoder_widths: Sequence[int] = (128, 128, 256, 512),
        encoder_head: Sequence[int] = (256, 128),
        soft_noise: float = 0.0,
    ):
        super().__init__()
        if soft_noise < 0:
            raise ValueError(f"soft_noise must be at least 0, got {soft_noise}")
        self.zdim, self.soft_noise = zdim, soft_noise
        self.encoder = PointNetEncoder(zdim, deterministic, encoder_widths, encoder_head)
        fields = {"layer": layer, "activation": activation, "batch_norm": batch_norm}
        solves = {"end_time": end_time, "train_end_time": train_end_time, "eval_divergence": eval_divergence}
        options = {**fields, **solves, "solver": solver, "eval_solver": eval_solver}
        self.point_cnf = PointCNF(
            zdim + (1 if soft_noise else 0),
            hidden,
            num_blocks,
            divergence=divergence,
            legacy_batch_norm=legacy_batch_norm,
            **options,
        )
        self.latent: FFJORD | None = None
        if use_latent_flow and not deterministic:
            self.latent = FFJORD(zdim, latent_hidden, latent_num_blocks, divergence=latent_divergence, **options)
        self.register_buffer("mean", torch.zeros(1, 1, 3))
        self.register_buffer("std", torch.ones(1, 1, 3))

    # Units

    @torch.no_grad()
    def set_normalization(self, mean: Tensor, std: Tensor) -> None:
        """Takes the statistics of the data, each broadcastable to (1, 1, 3); kept with the weights."""
        if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
            raise ValueError(f"normalisation must be finite with std > 0, got mean {mean.tolist()}, std {std.tolist()}")
        self.mean.copy_(mean.expand(1, 1, 3))
        self.std.copy_(std.expand(1, 1, 3))

    def normalize(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def denormalize(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean

    # Codes

    def posterior(self, x: Tensor) -> Posterior:
        """`q(z|X)` of clouds (B, N, 3)."""
        check_clouds(x, finite=not self.training)
        return self.encoder(x)

    def encode(self, x: Tensor, sample: bool = False) -> Tensor:
        """Codes (B, zdim): the posterior's mean, or a draw from it."""
        posterior = self.posterior(x)
        return posterior.sample() if sample else posterior.mean

    def condition(self, z: Tensor, noise: Tensor | None = None) -> Tensor:
        """What the point field is told: the code, and with `soft_noise` the standard deviation (B,) of the noise."""
        if z.ndim != 2 or z.shape[1] != self.zdim:
            raise ValueError(f"expected codes of shape (B, {self.zdim}), got {tuple(z.shape)}")
        if not self.soft_noise:
            return z
        level = z.new_zeros(len(z), 1) if noise is None else noise[:, None] / self.soft_noise
        return torch.cat((z, level), 1)

    # Densities

    def log_prob_points(self, x: Tensor, z: Tensor, noise: Tensor | None = None, **options) -> Tensor:
        """`log p(x_n | z)` of every point in nats of normalised coordinates, (B, N).

        `options` (divergence, solver, probes) are those of `PointCNF.points`.
        """
        check_clouds(x, finite=not self.training)
        return self.point_cnf.log_prob(x, self.condition(z, noise), **options)

    def log_prob_codes(self, z: Tensor) -> Tensor:
        """`log p(z)` in nats, (B,); 0 without a latent flow."""
        return z.new_zeros(len(z)) if self.latent is None else self.latent.log_prob(z)

    def elbo(self, x: Tensor, z: Tensor | None = None, points: int | None = None) -> ElboTerms:
        """The terms of the evidence lower bound, in nats per shape.

        Args:
            x: (B, N, 3); all points are encoded.
            z: instead of one draw from the posterior.
            points: estimate `log p(X|z)` by so many of the points, the same random ones of every shape, times
                `N / points`: unbiased, because points are independent given z.
        """
        posterior = self.posterior(x)
        z = posterior.sample() if z is None else z
        x, weight = subset(x, points)
        x, noise = self.soften(x)
        recon = weight * self.log_prob_points(x, z, noise).sum(1)
        entropy = recon.new_zeros(len(x)) if self.latent is None else posterior.entropy()
        return ElboTerms(recon, self.log_prob_codes(z), entropy)

    def soften(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """`(x + s e, s)` with one s ~ U(0, soft_noise) a shape in training mode, else `(x, None)`."""
        if not (self.soft_noise and self.training):
            return x, None
        noise = self.soft_noise * torch.rand(len(x), device=x.device, dtype=x.dtype)
        return x + noise[:, None, None] * torch.randn_like(x), noise

    def log_prob(self, x: Tensor, context: None = None) -> Tensor:
        """A lower bound on `log p(X)` by one posterior draw, (B,) nats of normalised coordinates."""
        return self.elbo(x).bound

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        return self.log_prob(x)

    @torch.no_grad()
    def importance_weighted_bound(self, x: Tensor, draws: int = 16) -> Tensor:
        """`E log mean_k p(X|z_k) p(z_k) / q(z_k|X)` with `draws` draws (arXiv 1509.00519), (B,) nats: tighter."""
        if self.latent is None:
            raise ValueError("a bound on log p(X) needs a latent flow and an encoder with a variance")
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}")
        posterior, weights = self.posterior(x), []
        for _ in range(draws):
            z = posterior.sample()
            recon = self.log_prob_points(x, z).sum(1)
            weights.append(recon + self.log_prob_codes(z) - posterior.log_prob(z))
        return importance_weighted_bound(torch.stack(weights))

    # Generation

    def decode(
        self,
        z: Tensor,
        n_points: int = 2048,
        generator: torch.Generator | None = None,
        truncation: float | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """`n_points` points of each shape, normalised, (B, n_points, 3).

        Args:
            z: codes (B, zdim).
            n_points: any number.
            generator: of the noise, on the device of the model.
            truncation: of the noise, see `draw_normal`.
            noise: (B, n, 3), instead of drawing it.
        """
        if noise is None:
            if n_points < 1:
                raise ValueError(f"expected at least 1 point, got {n_points}")
            noise = self.point_cnf.draw(len(z), n_points, generator, truncation)
        return self.point_cnf.generate(noise, self.condition(z))

    @torch.no_grad()
    def sample_codes(
        self,
        n: int,
        temperature: float = 1.0,
        truncation: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """`n` codes from the prior; `temperature` multiplies the standard draws, see `draw_normal` for `truncation`."""
        latent = self._latent("sampling of shapes")
        if n < 1 or not temperature >= 0:
            raise ValueError(f"expected at least 1 sample and a temperature >= 0, got n={n}, temperature={temperature}")
        return latent.decode(temperature * draw_normal((n, self.zdim), self.mean, generator, truncation))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        n_points: int = 2048,
        temperature: float = 1.0,
        truncation: float | None = None,
        latent_truncation: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """`n` new shapes in the units of the data, (n, n_points, 3); `temperature` is that of the codes."""
        z = self.sample_codes(n, temperature, latent_truncation, generator)
        return self.denormalize(self.decode(z, n_points, generator, truncation))

    @torch.no_grad()
    def reconstruct(
        self,
        x: Tensor,
        n_points: int | None = None,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """New points, as many as in `x` if None, of the shapes of normalised clouds: code, fresh noise, decode.

        The code is the posterior's mean, or a draw with `sample` (as the public code has it).
        """
        return self.decode(self.encode(x, sample), n_points or x.shape[1], generator)

    @torch.no_grad()
    def interpolate(
        self,
        first: Tensor,
        second: Tensor,
        steps: int = 8,
        n_points: int = 2048,
        space: str = "w",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Shapes from one normalised cloud (N, 3) to another, normalised, (steps, n_points, 3); one noise for all.

        `space` is "z", straight between the codes, or "w", straight between their images in standard space, where
        every step of the way is a likely shape.
        """
        if space not in ("z", "w"):
            raise ValueError(f'space must be "z" or "w", got {space!r}')
        if steps < 2:
            raise ValueError(f"an interpolation needs at least 2 steps, got {steps}")
        ends = torch.cat((self.encode(first[None]), self.encode(second[None])))
        if space == "w":
            ends = self._latent("interpolation in w").encode(ends)
        way = torch.linspace(0, 1, steps, device=ends.device, dtype=ends.dtype)[:, None]
        z = torch.lerp(ends[:1], ends[1:], way)
        z = self.latent.decode(z) if space == "w" else z
        noise = self.point_cnf.draw(1, n_points, generator).expand(steps, -1, -1)
        return self.decode(z, noise=noise)

    def _latent(self, what: str) -> FFJORD:
        if self.latent is None:
            advice = "it reconstructs given clouds: flowsuite pointclouds reconstruct"
            raise ValueError(f"{what} needs a latent flow, which this auto-encoder does not have; {advice}")
        return self.latent


def check_clouds(x: Tensor, finite: bool = True) -> None:
    """That x is (B, N, 3); on the CPU also, if asked, that it is finite: elsewhere that would wait for the device."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"expected clouds as a tensor of floats, got {getattr(x, 'dtype', type(x).__name__)}")
    if x.ndim != 3 or x.shape[-1] != 3 or not x.shape[0] or not x.shape[1]:
        raise ValueError(f"expected clouds of shape (B, N, 3) with at least one point, got {tuple(x.shape)}")
    if finite and x.device.type == "cpu" and not torch.compiler.is_compiling():
        check_finite(x, "batch of clouds")


def subset(x: Tensor, points: int | None) -> tuple[Tensor, float]:
    """`(x', N / points)`: so many points of (B, N, 3), the same random ones of every shape; all of them if None."""
    if points is None or points >= x.shape[1]:
        return x, 1.0
    if points < 1:
        raise ValueError(f"expected at least 1 point, got {points}")
    return x[:, torch.randperm(x.shape[1], device=x.device)[:points]], x.shape[1] / points
