"""How variational autoencoders train, and what is said of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flowsuite.core.objective import bits_per_dim, importance_weighted_bound
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.pictures import enlarge, grid
from flowsuite.images.sample_files import save_images
from flowsuite.images.vae.annealing import Annealing
from flowsuite.images.vae.model import FlowVAE
from flowsuite.images.vae.objective import OBJECTIVES, bound_loss


class VAEModule(FlowModule):
    """Trains a `FlowVAE` by a bound of its likelihood, see `flowsuite.images.vae.objective.bound_loss`.

    Logged, in nats per image: `loss`, what is minimised; `elbo`, the evidence lower bound at beta = 1 whatever the
    loss; `reconstruction` = -E log p(x|z) and `kl` = E[log q(z|x) - log p(z)], which add up to -elbo; in training
    `beta`, and with several draws the importance-weighted bound `iw_bound_<S>`. In validation and test `loss` is -elbo.
    Testing adds `nll_is<K>`, -log p(x) by importance sampling with K draws, which is above the true one in expectation;
    figures with different K do not compare. Of grey images the same in bits/dim: `bits_per_dim_bound`,
    `bits_per_dim_is<K>`.

    Args:
        flow: a `FlowVAE`.
        objective: "elbo", "stl", "iwae" or "dreg".
        samples: draws of each image in training.
        annealing: "kl", "joint" or "none", see `flowsuite.images.vae.annealing.Annealing`.
        anneal_over: epochs ("kl", published 100) or updates ("joint", published 10,000); as published if None.
        free_nats: floor under the mean divergence ("elbo" or "stl" with KL annealing or none).
        eval_samples: draws of each image for the bound in validation and test.
        test_samples: K; published 5000.
        test_rows: images decoded at a time when importance sampling.
        examples: images in a row of the pictures.
        kwargs: those of `FlowModule`.
    """

    compiles = False

    def __init__(
        self,
        flow: FlowVAE,
        objective: str = "elbo",
        samples: int = 1,
        annealing: str = "kl",
        anneal_over: int | None = None,
        free_nats: float = 0.0,
        eval_samples: int = 1,
        test_samples: int = 5000,
        test_rows: int = 2000,
        examples: int = 10,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if not isinstance(flow, FlowVAE):
            raise TypeError(f"flow must be a FlowVAE, got {type(flow).__name__}")
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}: expected one of {', '.join(OBJECTIVES)}")
        counts = {"samples": samples, "eval_samples": eval_samples, "test_samples": test_samples}
        for name, value in {**counts, "test_rows": test_rows, "examples": examples}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if free_nats < 0 or (free_nats and (objective not in ("elbo", "stl") or annealing == "joint")):
            raise ValueError(f'free_nats goes with "elbo" or "stl", not with joint annealing; got {free_nats}')
        self.annealing = Annealing(annealing, anneal_over)
        self.objective, self.samples, self.free_nats = objective, samples, free_nats
        self.eval_samples, self.test_samples, self.test_rows = eval_samples, test_samples, test_rows
        self.examples = examples
        self._shown: Tensor | None = None

    @property
    def beta(self) -> float:
        return self.annealing.beta(self.current_epoch, self.global_step)

    @property
    def nll_name(self) -> str:
        return f"nll_is{self.test_samples}"

    def unpack(self, batch):
        """Images; labels are not used."""
        return super().unpack(batch)[0], None

    def loss(self, x, context, stage):
        if stage == "train":
            return self.training_loss(x)
        terms = self.flow.terms(x, self.eval_samples)
        figures = self.figures(terms)
        if stage == "test":
            nll = -self.flow.log_prob(x, samples=self.test_samples, rows=self.test_rows).mean()
            figures |= {self.nll_name: nll}
            if self.flow.likelihood.depth > 1:
                figures[f"bits_per_dim_is{self.test_samples}"] = bits_per_dim(-nll, self.flow.dims)
        elif stage == "val" and self._shown is None:
            self._shown = x[: self.examples].clone()
        return -figures["elbo"], figures

    def training_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        beta = self.beta
        terms = self.flow.terms(x, self.samples)
        joint = self.annealing.kind == "joint"
        loss = bound_loss(self.flow.posterior, terms, self.objective, joint, beta, self.free_nats)
        figures = self.figures(terms) | {"beta": torch.full_like(loss, beta)}
        if self.samples > 1:
            figures[f"iw_bound_{self.samples}"] = importance_weighted_bound(terms.elbo.detach()).mean()
        return loss, figures

    def figures(self, terms) -> dict[str, Tensor]:
        """The bound and its two parts, means over draws and images."""
        elbo, reconstruction = terms.elbo.mean(), -terms.log_likelihood.mean()
        figures = {"elbo": elbo, "reconstruction": reconstruction, "kl": -elbo - reconstruction}
        if self.flow.likelihood.depth > 1:
            figures["bits_per_dim_bound"] = bits_per_dim(elbo, self.flow.dims)
        return figures

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """`log p(x)` by importance sampling with `test_samples` draws, (B,)."""
        return self.flow.log_prob(self.unpack(batch)[0], samples=self.test_samples, rows=self.test_rows)

    def on_test_end(self) -> None:
        super().on_test_end()
        figures = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        if f"test/{self.nll_name}" in figures:
            bound, estimate = -figures["test/elbo"], figures[f"test/{self.nll_name}"]
            self.print(
                f"-log p(x) in nats per image: at most {bound:.3f} by the ELBO, about {estimate:.3f} by importance "
                f"sampling with {self.test_samples} draws, which errs upwards"
            )

    # Generation

    def generate(self, n, context=None, temperature=1.0, generator=None, pixels: bool = False):
        """`n` uint8 images: the decoder's means, or with `pixels` every pixel drawn too."""
        return self.flow.sample(n, None, temperature, generator, pixels)

    def save_samples(self, samples, out, first):
        return save_images(samples, out, first)

    @torch.no_grad()
    def example_images(self):
        """Rows: new images; images of the validation set, and their reconstructions by the noiseless code."""
        generator = torch.Generator(self.device).manual_seed(0)
        known = [] if self._shown is None else [self._shown, self.flow.decode(self.flow.encode(self._shown))]
        columns = len(known[0]) if known else self.examples
        picture = torch.cat([self.flow.sample(columns, generator=generator), *known])
        return enlarge(grid(picture, columns)).float() / 255
