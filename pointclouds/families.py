"""Families of procedurally made shapes: random proportions in, triangle meshes out. Axis 1 is up, the front is +z.

A part that a shape goes without has size 0, hence no area and no points: all shapes of a family share their faces.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.pointclouds.solids import (
    Solid,
    beam,
    box,
    cylinder,
    ellipsoid,
    lathe,
    merge,
    move,
    ring,
    swap,
    vector,
)
from flowsuite.pointclouds.surface import unit_diagonal

MAX_DRAWS = 16  # uniform numbers that a shape may use


class Proportions:
    """Random proportions of a batch of shapes, taken one after another from uniform numbers (B, MAX_DRAWS)."""

    def __init__(self, uniforms: Tensor):
        self.columns = iter(uniforms.unbind(dim=1))

    def between(self, low: float, high: float) -> Tensor:
        """(B,) uniform in [low, high)."""
        return low + (high - low) * next(self.columns)

    def sometimes(self, probability: float) -> Tensor:
        """(B,) 1 with this probability, else 0."""
        return (next(self.columns) < probability).float()


def pair(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack((a, b), dim=-1)


def mirrored(solid: Solid, axis: int) -> list[Solid]:
    """The solid and its mirror image along an axis."""
    sign = torch.ones(3)
    sign[axis] = -1
    return [solid, (solid[0] * sign, solid[1])]


def four_legs(half_x: Tensor, half_z: Tensor, height: Tensor, width: Tensor, splay: Tensor) -> list[Solid]:
    """Square legs from the floor to `height` at the corners; `splay` moves their feet outwards."""
    legs = []
    for sx in (-1, 1):
        for sz in (-1, 1):
            foot = vector(0.0 * height, sx * (half_x + splay), sz * (half_z + splay))
            top = vector(height, sx * half_x, sz * half_z)
            legs.append(swap(beam(foot, top, pair(width, width), pair(width, width)), 1, 0, 2))
    return legs


def chair(p: Proportions) -> Solid:
    width, depth, seat = p.between(0.8, 1.15), p.between(0.8, 1.1), p.between(0.7, 1.0)
    thick, back, tilt = p.between(0.06, 0.16), p.between(0.7, 1.3), p.between(0.0, 0.25)
    pedestal, arms, slats = p.sometimes(0.25), p.sometimes(0.4), p.sometimes(0.4)
    leg, splay = p.between(0.06, 0.12), p.between(0.0, 0.1)
    zero = 0 * width
    parts = [box(vector(zero, seat, zero), vector(width, thick, depth))]
    legged = 1 - pedestal
    parts += four_legs((width - leg) / 2, (depth - leg) / 2, seat * legged, leg * legged, splay * legged)
    parts.append(cylinder(vector(zero, 0.05 * seat, zero), seat * 0.95 * pedestal, 0.06 * pedestal))
    parts.append(cylinder(vector(zero, zero, zero), 0.06 * pedestal, 0.42 * width * pedestal))
    behind = (thick - depth) / 2

    def upright(x: Tensor, wide: Tensor, exists: Tensor) -> Solid:
        low, high = vector(seat, x, behind), vector(seat + back * exists, x, behind - tilt * exists)
        size = pair(wide, thick) * exists[:, None]
        return swap(beam(low, high, size, size), 1, 0, 2)

    parts.append(upright(zero, width, 1 - slats))
    parts += [upright(f * width, 0.1 * width, slats) for f in (-0.45, -0.15, 0.15, 0.45)]
    rail = vector(zero, seat + back, behind - tilt)
    parts.append(box(rail, vector(width, 0.14 * back, thick) * slats[:, None]))
    rest, at = 0.35 * seat * arms, (width + leg) / 2
    parts += mirrored(box(vector(at, seat + rest, zero), vector(leg, leg, depth) * arms[:, None]), 0)
    post = vector(at, seat + rest / 2, 0.42 * depth)
    parts += mirrored(box(post, vector(leg * arms, rest, leg * arms)), 0)
    return merge(parts)


def table(p: Proportions) -> Solid:
    width, depth, height = p.between(1.0, 2.0), p.between(0.8, 1.2), p.between(0.6, 0.95)
    thick, leg, inset = p.between(0.04, 0.12), p.between(0.06, 0.14), p.between(0.0, 0.12)
    round_top, pedestal, shelf = p.sometimes(0.35), p.sometimes(0.3), p.sometimes(0.3)
    zero, square, legged = 0 * width, 1 - round_top, 1 - pedestal
    parts = [box(vector(zero, height, zero), vector(width, thick, depth) * square[:, None])]
    disc = cylinder(vector(zero, zero, zero), thick * round_top, 0.5 * round_top, segments=32)
    parts.append(move((disc[0] * vector(width, 1.0, depth)[:, None], disc[1]), vector(zero, height - thick / 2, zero)))
    reach = torch.where(round_top > 0, 0.34 + zero, 0.5 - 0.5 * inset)
    half_x, half_z = reach * width - leg / 2, reach * depth - leg / 2
    parts += four_legs(half_x, half_z, height * legged, leg * legged, zero)
    parts.append(cylinder(vector(zero, zero, zero), height * pedestal, leg * pedestal))
    parts.append(cylinder(vector(zero, zero, zero), 0.05 * pedestal, 0.32 * depth * pedestal))
    board = (shelf * legged)[:, None]
    parts.append(box(vector(zero, 0.35 * height, zero), vector(2 * half_x, 0.5 * thick, 2 * half_z) * board))
    return merge(parts)


def airplane(p: Proportions) -> Solid:
    length, radius = p.between(1.8, 2.4), p.between(0.09, 0.15)
    span, chord, taper = p.between(0.8, 1.3), p.between(0.3, 0.5), p.between(0.25, 0.6)
    sweep, place, dihedral = p.between(0.1, 0.7), p.between(-0.1, 0.2), p.between(0.0, 0.12)
    fin, tail = p.between(0.3, 0.5), p.between(0.35, 0.55)
    engines, engine = p.sometimes(0.7), p.between(0.05, 0.08)
    zero = 0 * length
    outline = [(0.0, -0.5), (0.35, -0.47), (0.8, -0.3), (1.0, -0.15), (1.0, 0.3), (0.85, 0.4), (0.5, 0.47), (0.0, 0.5)]
    profile = torch.stack([pair(r * radius, z * length) for r, z in outline], dim=1)
    parts = [swap(lathe(profile), 0, 2, 1)]  # the nose points to +z
    root, tip = pair(0.12 * chord, chord), pair(0.05 * chord, taper * chord)
    wing = beam(vector(zero, zero, place), vector(span, dihedral, place - sweep), root, tip)
    parts += mirrored(wing, 0)
    stern = -0.44 * length
    small = [0.8 * root * tail[:, None], 0.8 * tip * tail[:, None]]
    parts += mirrored(beam(vector(zero, zero, stern), vector(tail, zero, stern - 0.15), *small), 0)
    parts.append(swap(beam(vector(zero, zero, stern), vector(fin, zero, stern - 0.2), root * 0.6, tip * 0.8), 1, 0, 2))
    pod = swap(cylinder(vector(zero, zero, zero), 0.3 * engines, engine * engines, segments=14), 0, 2, 1)
    at = vector(0.4 * span, 0.4 * dihedral - 1.2 * engine, place - 0.4 * sweep + 0.05)
    parts += mirrored(move(pod, at), 0)
    return merge(parts)


def car(p: Proportions) -> Solid:
    length, width, body = p.between(1.8, 2.4), p.between(0.75, 0.95), p.between(0.28, 0.4)
    cabin, start, end = p.between(0.28, 0.42), p.between(0.0, 0.18), p.between(0.2, 0.46)
    slope, rake = p.between(0.15, 0.35), p.between(0.05, 0.3)
    wheel, tyre, clearance = p.between(0.17, 0.23), p.between(0.12, 0.18), p.between(0.14, 0.22)
    zero = 0 * length
    parts = [box(vector(zero, clearance + body / 2, zero), vector(width, body, length))]
    front, back = start * length, -end * length
    floor = vector(clearance + body, zero, (front + back) / 2)
    roof = vector(clearance + body + cabin, zero, (front - slope + back + rake) / 2)
    wide, narrow = pair(0.95 * width, front - back), pair(0.78 * width, front - back - slope - rake)
    parts.append(swap(beam(floor, roof, wide, narrow), 1, 0, 2))
    for z in (-0.31, 0.31):
        disc = swap(cylinder(vector(zero, zero, zero), tyre, wheel), 1, 0, 2)
        parts += mirrored(move(disc, vector(width / 2 - 0.7 * tyre, wheel, z * length)), 0)
    return merge(parts)


def lamp(p: Proportions) -> Solid:
    height, foot, pole = p.between(0.8, 1.8), p.between(0.2, 0.4), p.between(0.02, 0.045)
    shade, low, high = p.between(0.35, 0.6), p.between(0.32, 0.55), p.between(0.4, 0.95)
    bulb, thick, bellied = p.between(0.05, 0.09), p.between(0.04, 0.1), p.sometimes(0.4)
    zero = 0 * height
    parts = [cylinder(vector(zero, zero, zero), thick, foot, 0.85 * foot)]
    parts.append(cylinder(vector(zero, thick, zero), height - thick, pole))
    belly = vector(0.6 * foot, 0.3 * height, 0.6 * foot) * bellied[:, None]
    parts.append(ellipsoid(vector(zero, 0.3 * height * bellied + thick, zero), belly))
    outline = torch.stack((pair(low, height - 0.35 * shade), pair(low * high, height + 0.65 * shade)), dim=1)
    parts.append(lathe(outline, 32))
    parts.append(ellipsoid(vector(zero, height + bulb, zero), vector(bulb, bulb * 1.3, bulb), 8, 12))
    return merge(parts)


def mug(p: Proportions) -> Solid:
    radius, height, flare = p.between(0.36, 0.55), p.between(0.85, 1.3), p.between(0.85, 1.15)
    wall, handle, tube = p.between(0.04, 0.07), p.between(0.22, 0.34), p.between(0.04, 0.07)
    place, stretch = p.between(0.45, 0.55), p.between(0.8, 1.2)
    zero = 0 * radius
    rows = [(zero, zero), (radius, zero), (radius * flare, height), (radius * flare - wall, height)]
    rows += [(radius - wall, wall), (zero, wall)]
    body = lathe(torch.stack([pair(*row) for row in rows], dim=1), 32)
    arc = swap(ring(handle, tube, arc=0.5), 0, 2, 1)
    arc = (arc[0] * vector(stretch, 1.0, zero + 1.0)[:, None], arc[1])
    side = radius * (1 + (flare - 1) * place) - 0.5 * wall
    return merge([body, move(arc, vector(side, place * height, zero))])


def rocket(p: Proportions) -> Solid:
    height, radius, nose = p.between(1.4, 2.0), p.between(0.14, 0.24), p.between(0.35, 0.6)
    fin, chord, sweep = p.between(0.2, 0.4), p.between(0.25, 0.45), p.between(0.05, 0.35)
    nozzle, belly = p.between(0.5, 0.85), p.between(0.8, 1.0)
    zero = 0 * height
    rows = [(0.0 * nozzle, -0.12), (nozzle, -0.12), (0.4 * nozzle, 0.0), (belly, 0.0)]
    profile = [pair(r * radius, zero + h) for r, h in rows]
    profile += [pair(radius, 0.5 * height), pair(radius, height)]
    profile += [pair(r * radius, height + h * nose) for r, h in ((0.85, 0.35), (0.55, 0.7), (0.25, 0.92), (0.0, 1.0))]
    parts = [lathe(torch.stack(profile, dim=1))]
    root, tip = pair(chord, 0.15 * radius), pair(0.5 * chord, 0.1 * radius)
    inner, outer = vector(0.8 * radius, chord / 2, zero), vector(radius + fin, 0.25 * chord - sweep * 0.5, zero)
    blade = beam(inner, outer, root, tip)
    parts += mirrored(blade, 0) + mirrored(swap(blade, 2, 1, 0), 2)
    return merge(parts)


def torus(p: Proportions) -> Solid:
    solid = ring(p.between(0.7, 1.0), p.between(0.12, 0.42), segments=48, around=24)
    return solid[0] * vector(p.between(0.7, 1.0), 1.0, 1.0)[:, None], solid[1]


FAMILIES = {
    "airplane": airplane,
    "car": car,
    "chair": chair,
    "lamp": lamp,
    "mug": mug,
    "rocket": rocket,
    "table": table,
    "torus": torus,
}


def make_meshes(family: str, uniforms: Tensor) -> Solid:
    """Meshes of a family from uniform numbers (B, MAX_DRAWS): vertices (B, V, 3) of unit diagonal, faces (F, 3)."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: expected one of {', '.join(FAMILIES)}")
    vertices, faces = FAMILIES[family](Proportions(uniforms))
    return unit_diagonal(vertices), faces
