"""The Jacobian of a map of images to flat latents, brute force."""

import torch


def jacobian(transform, y):
    """(D, D) matrix `dz/dy` at one image (C, H, W), by D copies in one batch: copy i gives row i."""
    copies = y.expand(y.numel(), *y.shape).clone().requires_grad_()
    z = transform(copies)[0]
    (rows,) = torch.autograd.grad(z.diagonal().sum(), copies)
    return rows.flatten(1)
