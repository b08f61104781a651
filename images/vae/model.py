"""FlowVAE: a latent-variable model of images whose approximate posterior is a flow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.numerics import at_least_float32
from flowsuite.core.variational import Posterior, importance_sampled_log_likelihood
from flowsuite.core.variational.posterior import push_samples
from flowsuite.images.vae.likelihood import make_likelihood
from flowsuite.images.vae.nets import ConvDecoder, ConvEncoder, DenseDecoder, DenseEncoder


class Terms(NamedTuple):
    """What a bound is made of, for S draws of each of B images, in nats.

    Attributes:
        log_likelihood: `log p(x|z)`, (S, B).
        log_prior: `log p(z)`, (S, B).
        log_q: `log q(z|x)`, (S, B).
        z: the draws, (S, B, D), differentiable.
        context: what the encoder made of the images, (B, F).
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_q: Tensor
    z: Tensor
    context: Tensor

    @property
    def elbo(self) -> Tensor:
        """`log p(x|z) + log p(z) - log q(z|x)`, (S, B); its mean over draws estimates the bound."""
        return self.log_likelihood + self.log_prior - self.log_q


class FlowVAE(nn.Module):
    """`z ~ N(0, I)`, `x ~ p(x | decoder(z))`, `q(z | x)` a `flowsuite.core.variational.Posterior` of the encoder's
    features.

        log p(x) >= E_q[log p(x|z) + log p(z) - log q(z|x)]

    Images are uint8 (B, C, H, W). The likelihood is a bound, or an estimate from importance samples, never exact.

    Args:
        image_shape: (C, H, W), of any size.
        latent_dims: D.
        posterior: kind of posterior, see `Posterior`: "gaussian" (no flow), "planar", "radial", "orthogonal",
            "householder", "triangular", "iaf", "nice", "affine", "spline" or "cnf".
        n_layers: K of the posterior.
        options: further arguments of the posterior's layers by name.
        likelihood: "bernoulli" (binary images, values 0 and 255) or "categorical" (256 grey levels).
        network: "conv", gated convolutions (arXiv 1803.05649), or "dense".
        features: F, what the encoder emits and every parameter of the posterior is a linear map of.
        width: channels of the first layer of "conv".
        hidden: sizes of the hidden layers of "dense"; the decoder takes them in reverse.
        activation: of "dense": "gated", "maxout" (arXiv 1505.05770) or one of `flowsuite.core.nets.mlp.ACTIVATIONS`.

    Example:
        >>> vae = FlowVAE((1, 28, 28), posterior="iaf", n_layers=4)
        >>> vae.terms(x).elbo.mean()            # nats
        >>> vae.log_prob(x, samples=5000)       # (B,), by importance sampling
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        latent_dims: int = 64,
        posterior: str = "gaussian",
        n_layers: int = 4,
        options: Mapping[str, Any] | None = None,
        likelihood: str = "bernoulli",
        network: str = "conv",
        features: int = 256,
        width: int = 32,
        hidden: Sequence[int] = (300, 300),
        activation: str = "gated",
    ):
        super().__init__()
        if len(image_shape) != 3 or min(image_shape) < 1:
            raise ValueError(f"image_shape must be (channels, height, width), got {tuple(image_shape)}")
        if min(latent_dims, features, width, *hidden) < 1:
            raise ValueError(
                f"expected latent_dims, features, width, hidden >= 1, got {latent_dims}, {features}, {width}, {hidden}"
            )
        self.image_shape, self.dims = tuple(image_shape), math.prod(image_shape)
        self.latent_dims = latent_dims
        self.likelihood = make_likelihood(likelihood)
        levels = self.likelihood.levels
        if network == "conv":
            self.encoder = ConvEncoder(image_shape, features, width)
            self.decoder = ConvDecoder(image_shape, latent_dims, levels, width)
        elif network == "dense":
            self.encoder = DenseEncoder(image_shape, features, hidden, activation)
            self.decoder = DenseDecoder(image_shape, latent_dims, levels, tuple(hidden)[::-1], activation)
        else:
            raise ValueError(f'network must be "conv" or "dense", got {network!r}')
        self.posterior = Posterior(latent_dims, posterior, n_layers, features, options=options)
        self.prior = StandardNormal(latent_dims)

    @property
    def device(self) -> torch.device:
        return self.prior.anchor.device

    def check_images(self, x: Tensor) -> None:
        """Type and shape of the images; outside training also their values."""
        if not isinstance(x, Tensor) or x.dtype != torch.uint8:
            raise TypeError(f"expected uint8 images, got {x.dtype if isinstance(x, Tensor) else type(x).__name__}")
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape or not len(x):
            wanted = ", ".join(map(str, self.image_shape))
            raise ValueError(f"expected images of shape (N, {wanted}), got {tuple(x.shape)}")
        if not self.training:
            self.likelihood.check(x)

    def initialize(self, x: Tensor, context: None = None) -> None:
        """Nothing starts from the data; the first batch is looked at before the first step."""
        self.check_images(x)
        self.likelihood.check(x)

    def features(self, x: Tensor) -> Tensor:
        """Images to what the posterior is a function of, (B, F)."""
        self.check_images(x)
        return self.encoder(x.to(self.prior.anchor.dtype) / 255)

    def log_prior(self, z: Tensor) -> Tensor:
        """`log p(z)`, (..., D) -> (...)."""
        return self.prior.elementwise_log_prob(at_least_float32(z)).sum(-1)

    def log_likelihood(self, z: Tensor, x: Tensor) -> Tensor:
        """`log p(x|z)` for z (S, B, D): (S, B)."""
        return self.likelihood.log_prob(self.decoder(z.flatten(0, 1)), x)

    def terms(self, x: Tensor, samples: int = 1) -> Terms:
        """The terms of the bound for `samples` draws of each image."""
        context = self.features(x)
        z, log_q = self.posterior.rsample_and_log_prob(samples, context)
        return Terms(self.log_likelihood(z, x), self.log_prior(z), log_q, z, context)

    def log_prob(self, x: Tensor, context: None = None, samples: int = 100, rows: int = 2000) -> Tensor:
        """`log p(x) ~ log mean_s p(x, z_s) / q(z_s|x)` in nats, (B,): in expectation a lower bound, tight for many.

        Images are encoded once, and `rows` are decoded at a time.
        """
        with torch.no_grad():
            features = self.features(x)

            def log_joint(z: Tensor) -> Tensor:
                return self.log_likelihood(z, x) + self.log_prior(z)

            chunk = max(1, rows // len(x))
            return importance_sampled_log_likelihood(self.posterior, log_joint, samples, features, chunk)

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        """`log_prob`."""
        return self.log_prob(x, context)

    def encode(self, x: Tensor) -> Tensor:
        """One code an image, without noise: where the posterior takes the mean of its Gaussian start. (B, D)."""
        context = self.features(x)
        noise = torch.zeros(len(x), self.latent_dims, device=context.device, dtype=context.dtype)
        return push_samples(self.posterior.layers, noise, context)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Codes (N, D) to the expected images, uint8."""
        return self.likelihood.mean(self.decoder(z))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        pixels: bool = False,
    ) -> Tensor:
        """`n` images, uint8, of codes `temperature * N(0, I)`: their means, or with `pixels` every pixel drawn too."""
        if n < 1 or not temperature >= 0:
            raise ValueError(f"expected at least 1 sample and a temperature >= 0, got n={n}, temperature={temperature}")
        parameters = self.decoder(self.prior.sample(n, temperature, generator))
        return self.likelihood.sample(parameters, generator) if pixels else self.likelihood.mean(parameters)
