"""`flowsuite images vae traverse`: one image with one latent after another moved, the most used ones first."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.images.inputs import take
from flowsuite.images.metrics import batches
from flowsuite.images.vae.model import FlowVAE
from flowsuite.images.vae.tools import dataset_of, load_vae, make_parser, positive, save


def traverse(code: Tensor, latents: Tensor, values: Tensor) -> Tensor:
    """`code` (D,) with each of the L `latents` set to each of the V `values` in turn: (L V, D)."""
    moved = code.repeat(len(latents), len(values), 1)
    moved[torch.arange(len(latents), device=code.device), :, latents] = values
    return moved.flatten(0, 1)


def most_used(flow: FlowVAE, dataset, n: int, batch_size: int, progress: str = "") -> tuple[Tensor, Tensor]:
    """The n latents whose code varies most over the images, (n,), and those variances."""
    codes = torch.cat([flow.encode(x.to(flow.device)) for x, _ in batches(dataset, batch_size, progress)])
    variances, latents = codes.var(0, correction=0).sort(descending=True)
    return latents[:n], variances[:n]


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("traverse", __doc__, "--data images/vae-demo --out traversal.png")
    parser.add_argument("--image", type=int, default=0, help="number of the image to start from (%(default)s)")
    parser.add_argument("--latents", type=int, nargs="+", metavar="I", help="latents to move (the most used)")
    parser.add_argument("--num", type=positive, default=8, help="latents, if none are named (%(default)s)")
    parser.add_argument("--steps", type=positive, default=9, help="images in a row (%(default)s)")
    parser.add_argument("--range", type=float, default=3.0, help="values from minus this to this (%(default)s)")
    args = parser.parse_args(argv)
    flow = load_vae(args)
    dataset = dataset_of(args, flow)
    for i in args.latents or ():
        if not 0 <= i < flow.latent_dims:
            raise ValueError(f"latent {i} does not exist: there are {flow.latent_dims}, numbered from 0")
    code = flow.encode(take(dataset, [args.image])[0].to(flow.device))[0]
    if args.latents:
        latents, notes = torch.tensor(args.latents, device=code.device), [""] * len(args.latents)
    else:
        latents, found = most_used(flow, dataset, args.num, args.batch_size, "" if args.quiet else "encoding")
        notes = [f" (variance {v:.3f})" for v in found.tolist()]
    values = torch.linspace(-args.range, args.range, args.steps, device=code.device, dtype=code.dtype)
    save(args.out, flow.decode(traverse(code, latents, values)), columns=len(values))
    print(f"columns: from {-args.range:g} to {args.range:g}; rows: latents")
    print(", ".join(f"{i}{note}" for i, note in zip(latents.tolist(), notes, strict=True)))
    return 0
