"""Evaluation of variational autoencoders: the bound and its parts, importance-sampled likelihood, active units."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from flowsuite.core.objective import bits_per_dim
from flowsuite.images.metrics import batches, halve_on_out_of_memory
from flowsuite.images.vae.model import FlowVAE

ACTIVE = 0.01  # variance of a code over images above which a latent is in use (arXiv 1509.00519)


@dataclass
class VAEReport:
    """Figures of a set of images, in nats per image; `*_error` are standard errors over images.

    Attributes:
        images, samples, seed: how many images, importance samples of each, seed of the draws.
        elbo, elbo_error: the evidence lower bound, one draw an image.
        reconstruction: -E log p(x|z).
        kl: E[log q(z|x) - log p(z)]; reconstruction + kl = -elbo.
        nll, nll_error: -log p(x) by importance sampling, which errs upwards.
        active_units: latents whose noiseless code varies over the images, of how many (variance above 0.01).
        bits_per_dim: of `elbo` and `nll`, for grey images; else empty.
    """

    images: int
    samples: int
    seed: int
    elbo: float
    elbo_error: float
    reconstruction: float
    kl: float
    nll: float
    nll_error: float
    active_units: tuple[int, int]
    bits_per_dim: tuple[float, ...] = ()

    def as_dict(self) -> dict:
        return asdict(self)

    def table(self) -> str:
        """The figures, one a line."""
        lines = [
            f"{'-ELBO, one draw':<34}{-self.elbo:10.3f} +- {self.elbo_error:.3f}  nats",
            f"{'  of it, reconstruction':<34}{self.reconstruction:10.3f}",
            f"{'  of it, KL':<34}{self.kl:10.3f}",
            f"{f'-log p(x), {self.samples} importance samples':<34}{self.nll:10.3f} +- {self.nll_error:.3f}  nats",
        ]
        if self.bits_per_dim:
            bound, estimate = self.bits_per_dim
            lines.append(f"{'bits/dim: bound, estimate':<34}{bound:10.4f} {estimate:.4f}")
        lines.append("{:<34}{:10d} of {}".format("active latents", *self.active_units))
        lines.append(f"{self.images} images, noise seed {self.seed}; +- is the standard error over images")
        return "\n".join(lines)


@torch.no_grad()
def measure(
    flow: FlowVAE,
    dataset,
    samples: int = 5000,
    batch_size: int = 100,
    seed: int = 0,
    rows: int = 2000,
    progress: bool = False,
) -> Tensor:
    """Of each image `log p(x|z)`, `log p(z) - log q(z|x)`, `log p(x)` in nats, and its noiseless code: (N, 3 + D).

    The draws of a batch are seeded by (seed, batch): the same figures in every run with one `batch_size` and one
    `rows`; the generators of the caller are left as they were.

    Args:
        flow: in evaluation mode.
        dataset: of `(uint8 image, label)`.
        samples: importance samples of each image; published 5000, of Caltech silhouettes 2000.
        batch_size: images encoded at a time; halved where the device runs out of memory.
        seed: of the draws.
        rows: images decoded at a time.
        progress: show a progress bar.
    """
    if flow.training:
        raise ValueError("figures must be measured in evaluation mode: call flow.eval() first")

    def figures(x: Tensor, context: None) -> Tensor:
        terms = flow.terms(x)
        columns = [terms.log_likelihood[0], (terms.log_prior - terms.log_q)[0]]
        columns.append(flow.log_prob(x, samples=samples, rows=rows))
        return torch.cat([torch.stack(columns, 1), flow.encode(x)], 1).double()

    found = []
    with torch.random.fork_rng(devices=[flow.device] if flow.device.type == "cuda" else []):
        for i, (x, _) in enumerate(batches(dataset, batch_size, "importance sampling" if progress else "")):
            torch.manual_seed(seed * 1_000_003 + i)
            found.append(halve_on_out_of_memory(figures, x.to(flow.device), None).cpu())
    return torch.cat(found)


def evaluate(flow: FlowVAE, dataset, samples: int = 5000, seed: int = 0, **options) -> VAEReport:
    """Bound, likelihood and active latents on a data set, see `measure`."""
    return summarize(measure(flow, dataset, samples, seed=seed, **options), flow, samples, seed)


def summarize(found: Tensor, flow: FlowVAE, samples: int, seed: int) -> VAEReport:
    """The report from what `measure` gives, (N, 3 + D)."""
    n = len(found)
    reconstruction, divergence, log_p, codes = -found[:, 0], -found[:, 1], found[:, 2], found[:, 3:]
    elbo = -reconstruction - divergence

    def error(values: Tensor) -> float:
        return values.std().item() / math.sqrt(n) if n > 1 else math.nan

    active = int((codes.var(0, correction=0) > ACTIVE).sum())
    grey = flow.likelihood.depth > 1
    bits = tuple(bits_per_dim(v.mean(), flow.dims).item() for v in (elbo, log_p)) if grey else ()
    return VAEReport(
        images=n,
        samples=samples,
        seed=seed,
        elbo=elbo.mean().item(),
        elbo_error=error(elbo),
        reconstruction=reconstruction.mean().item(),
        kl=divergence.mean().item(),
        nll=-log_p.mean().item(),
        nll_error=error(log_p),
        active_units=(active, codes.shape[1]),
        bits_per_dim=bits,
    )
