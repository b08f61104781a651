"""What became of a moving shape, measured from pixels: its direction, and whether kind, colour and size are kept."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from flowsuite.video.shapes import COLOURS, DIRECTIONS, KINDS, SIZES, UNITS, Shapes, coverage, paste

SHAPE_FRAME = 3  # number of the last frame in which every moving shape is still whole
FAINTEST = 40.0  # grey levels that a shape must differ by from the background
FAINT = 0.15  # smaller shares of the shape in a pixel are taken for noise
TRIED_SIZES = 21
CHUNK = 64  # pictures compared with templates at a time
SAME_COLOUR = 60.0  # grey levels, root of the summed squares over channels
SAME_SIZE = 0.15  # units
WORST_FIT = 0.25  # of a shape's energy that the best template may miss
NO_SHAPE = 0.5  # likewise, from where on there is no shape at all, and no direction
SHORTEST = 0.4  # units that a shape must move to have a direction


class Reading(NamedTuple):
    """One shape in each of B pictures.

    Attributes:
        found: (B,) whether there is anything that could be a shape.
        centre: (B, 2) x and y of its centre of mass, in units, y upwards.
        rgb: (B, 3) its colour in grey levels.
        kind: (B,) of `KINDS`.
        size: (B,) in units.
        misfit: (B,) share of its energy that the best template leaves over; 0 is a perfect shape.
    """

    found: Tensor
    centre: Tensor
    rgb: Tensor
    kind: Tensor
    size: Tensor
    misfit: Tensor


def mass_offset(kind: Tensor, size: Tensor) -> Tensor:
    """How far above the centre of a shape its centre of mass is, in units: only a triangle's is elsewhere."""
    return torch.where(kind == 2, size * (1 / math.sqrt(3) - 1), torch.zeros_like(size))


def read_shapes(frames: Tensor) -> Reading:
    """Measures the shape in every picture (B, 3, H, H) uint8.

    The background is the median of the picture's border. The colour is that of the pixels that differ most from it; the
    share of a shape in the other pixels is their projection on that colour. The centre of mass of these shares is the
    place, and kind and size are those of the template there that leaves the least over.
    """
    frames = frames.float().cpu()
    b, _, pixels, _ = frames.shape
    border = torch.cat([frames[..., 0, :], frames[..., -1, :], frames[..., 0], frames[..., -1]], -1)
    ground = border.median(-1).values[:, :, None, None]
    excess = frames - ground
    strength = excess.abs().amax(1)
    strongest = strength.amax((-2, -1), keepdim=True)
    core = (strength >= 0.8 * strongest) & (strength > 0)
    colour = (excess * core[:, None]).sum((-2, -1)) / core.sum((-2, -1)).clamp_min(1)[:, None]
    alpha = (excess * colour[:, :, None, None]).sum(1) / colour.square().sum(1).clamp_min(1)[:, None, None]
    alpha = torch.where(alpha < FAINT, 0.0, alpha).clamp_max(1)
    mass = alpha.sum((-2, -1)).clamp_min(1e-6)
    place = torch.arange(pixels) + 0.5
    x = (alpha.sum(-2) * place).sum(-1) / mass
    y = (alpha.sum(-1) * (pixels - place)).sum(-1) / mass
    centre = torch.stack([x, y], -1) * UNITS / pixels
    fits = [fit_templates(a, c) for a, c in zip(alpha.split(CHUNK), centre.split(CHUNK), strict=True)]
    kind, size, misfit = (torch.cat(parts) for parts in zip(*fits, strict=True))
    rgb = colour + ground[:, :, 0, 0]
    return Reading(strongest.view(b) >= FAINTEST, centre, rgb, kind, size, misfit)


def fit_templates(alpha: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Kind, size and misfit (B,) of the templates nearest to the shares (B, H, H), placed at these centres of mass."""
    b, pixels, _ = alpha.shape
    sizes = torch.linspace(SIZES[0] - 0.1, SIZES[1], TRIED_SIZES)
    kind, size = torch.arange(len(KINDS)).repeat_interleave(TRIED_SIZES), sizes.repeat(len(KINDS))
    k = len(kind)
    places = centre[:, None].repeat(1, k, 1)
    places[..., 1] -= mass_offset(kind, size)
    tried = Shapes(kind.repeat(b), torch.zeros(b * k), size.repeat(b), torch.zeros(b * k))
    patches, corner = coverage(tried, places.view(b * k, 1, 2), pixels, supersample=4)
    template = paste(patches, corner[:, 0], pixels, 0).reshape(b, k, pixels * pixels)
    # |a - t|^2 = |a|^2 + |t|^2 - 2 <a, t> for all templates in one product of matrices.
    shares = alpha.view(b, -1, 1)
    energy = shares.square().sum(1)
    left = energy + template.square().sum(-1) - 2 * (template @ shares)[..., 0]
    best = left.argmin(1)
    misfit = left.gather(1, best[:, None])[:, 0].clamp_min(0) / energy[:, 0].clamp_min(1e-6)
    return kind[best], size[best], misfit


def directions(first: Reading, last: Reading) -> Tensor:
    """(B,) label of the direction between two pictures, -1 where a shape is missing or stays where it is.

    What no template fits is missing: noise has a centre of mass too.
    """
    moved = last.centre - first.centre
    angle = torch.atan2(moved[:, 1], moved[:, 0])
    label = (angle / (math.pi / 4)).round().long() % len(DIRECTIONS)
    there = [reading.found & (reading.misfit <= NO_SHAPE) for reading in (first, last)]
    known = there[0] & there[1] & (moved.norm(dim=1) >= SHORTEST)
    return torch.where(known, label, -1)


@dataclass
class ShapeReport:
    """Shapes in samples of the continuation of V contexts, N of each; all are means over contexts.

    Attributes:
        contexts, samples: V and N.
        coverage: share of the 8 directions that some sample moves in; 1 is best, given samples enough.
        least_coverage: of the context with the fewest directions.
        entropy: of the directions of a context, in nats; log 8 = 2.079 is best.
        moved: share of the samples that have a direction.
        shape_kept, colour_kept, size_kept: shares of the samples.
        all_kept: share with a direction, and shape, colour and size kept.
        counts: samples in each of the 8 directions, over all contexts.
    """

    contexts: int
    samples: int
    coverage: float
    least_coverage: float
    entropy: float
    moved: float
    shape_kept: float
    colour_kept: float
    size_kept: float
    all_kept: float
    counts: list[int]

    def as_dict(self) -> dict:
        return asdict(self)


def shape_report(context: Tensor, samples: Tensor) -> ShapeReport:
    """Compares the shape in the given frame with that in a generated one.

    Args:
        context: (V, 3, H, H) uint8, the last given frame.
        samples: (V, N, 3, H, H) uint8, one generated frame in which the shape is still whole.
    """
    if samples.ndim != 5 or samples.shape[2] != 3 or samples.shape[0] != len(context) or not samples.numel():
        raise ValueError(f"expected colour frames (V, 3, H, H) and (V, N, 3, H, H), got {tuple(samples.shape)}")
    v, n = samples.shape[:2]
    before = Reading(*(field.repeat_interleave(n, 0) for field in read_shapes(context)))
    after = read_shapes(samples.flatten(0, 1))
    label = directions(before, after).view(v, n)
    counts = torch.stack([(label == k).sum(1) for k in range(len(DIRECTIONS))], 1)
    share = counts / counts.sum(1, keepdim=True).clamp_min(1)
    covered = (counts > 0).double().mean(1)
    kept = kept_flags(before, after)
    return ShapeReport(
        contexts=v,
        samples=n,
        coverage=covered.mean().item(),
        least_coverage=covered.min().item(),
        entropy=torch.special.entr(share).sum(1).mean().item(),
        moved=(label >= 0).double().mean().item(),
        **{f"{name}_kept": flag.double().mean().item() for name, flag in kept.items()},
        all_kept=(kept["shape"] & kept["colour"] & kept["size"] & (label.flatten() >= 0)).double().mean().item(),
        counts=counts.sum(0).tolist(),
    )


def kept_flags(before: Reading, after: Reading) -> dict[str, Tensor]:
    """Whether kind, colour and size are those of before: (B,) each; a misfit of more than `WORST_FIT` is no shape."""
    palette = torch.tensor(tuple(COLOURS.values()))
    nearest = [(reading.rgb[:, None] - palette).norm(dim=-1).argmin(1) for reading in (before, after)]
    near = (before.rgb - after.rgb).norm(dim=1) <= SAME_COLOUR
    formed = after.found & (after.misfit <= WORST_FIT)
    return {
        "shape": formed & (before.kind == after.kind),
        "colour": after.found & near & (nearest[0] == nearest[1]),
        "size": formed & ((before.size - after.size).abs() <= SAME_SIZE),
    }
