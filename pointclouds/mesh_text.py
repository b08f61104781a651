"""Readers of the text formats of meshes: OFF and Wavefront OBJ. Errors name the line."""

from __future__ import annotations

import re

import numpy as np

from flowsuite.pointclouds.meshes import Polygons

Line = tuple[int, str]  # its number, counted from 1, and what is on it


def lines_of(data: bytes) -> list[Line]:
    """Lines that say something, comments (#) cut off."""
    if b"\0" in data:
        raise ValueError("expected text, found binary data")
    numbered = enumerate(data.decode("utf-8", errors="replace").splitlines(), 1)
    stripped = ((number, line.split("#", 1)[0].strip()) for number, line in numbered)
    return [(number, line) for number, line in stripped if line]


def numbers(line: Line, kind: type, what: str, at_least: int) -> list:
    """The numbers on a line."""
    try:
        values = [kind(word) for word in line[1].split()]
    except ValueError:
        raise ValueError(f"line {line[0]}: expected {what}, got {line[1][:60]!r}") from None
    if len(values) < at_least:
        raise ValueError(f"line {line[0]}: expected {what}, got {line[1][:60]!r}")
    return values


def rows_of(lines: list[Line], what: str) -> np.ndarray:
    """(len(lines), 3): the first three numbers of each line."""
    if not lines:
        return np.zeros((0, 3))
    return np.array([numbers(line, float, what, 3)[:3] for line in lines])


def read_off(data: bytes) -> Polygons:
    """Object File Format: `OFF`, the counts of vertices, faces and edges, the vertices, the faces `k i_1 ... i_k`.

    The counts may follow the keyword on its line, even without a space (`OFF490 518 0`, as in ModelNet). Of COFF and
    NOFF, colours and normals are passed over.
    """
    lines = lines_of(data)
    keyword = re.match(r"(ST)?C?N?OFF(?=[\s\d]|$)", lines[0][1]) if lines else None
    if keyword is None:
        raise ValueError(f"line {lines[0][0] if lines else 1}: expected OFF, got {lines[0][1][:60] if lines else ''!r}")
    rest = lines[0][1][keyword.end() :].strip()
    body = ([(lines[0][0], rest)] if rest else []) + lines[1:]
    if not body:
        raise ValueError("the file ends before the counts of vertices and faces")
    n_vertices, n_faces = numbers(body[0], int, "the counts of vertices and faces", 2)[:2]
    if n_vertices < 0 or n_faces < 0:
        raise ValueError(f"line {body[0][0]}: negative counts {n_vertices} and {n_faces}")
    if len(body) < 1 + n_vertices + n_faces:
        raise ValueError(
            f"the file ends at line {body[-1][0]}: {n_vertices} vertices and {n_faces} faces are announced, "
            f"{len(body) - 1} lines follow"
        )
    vertices = rows_of(body[1 : 1 + n_vertices], "the 3 coordinates of a vertex")
    polygons = [off_face(line) for line in body[1 + n_vertices : 1 + n_vertices + n_faces]]
    return Polygons(vertices, *join(polygons))


def off_face(line: Line) -> list[int]:
    words = line[1].split()
    size = numbers((line[0], words[0]), int, "the number of corners of a face", 1)[0]
    if size < 0 or len(words) < 1 + size:
        raise ValueError(f"line {line[0]}: a face of {words[0]} corners has {len(words) - 1} numbers")
    return numbers((line[0], " ".join(words[1 : 1 + size])), int, "the corners of a face", size)


def join(polygons: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and all corners in a row."""
    sizes = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    return sizes, np.array([corner for polygon in polygons for corner in polygon], dtype=np.int64)


def continued(lines: list[Line]) -> list[Line]:
    """With a backslash at the end of a line, the next one belongs to it."""
    if not any(line.endswith("\\") for _, line in lines):
        return lines
    joined, pending = [], None
    for number, line in lines:
        start, text = (number, line) if pending is None else (pending[0], f"{pending[1]} {line}")
        pending = (start, text[:-1].rstrip()) if text.endswith("\\") else None
        if pending is None:
            joined.append((start, text))
    return joined if pending is None else [*joined, pending]


def read_obj(data: bytes) -> Polygons:
    """Wavefront OBJ: vertices `v x y z`, faces `f i i/t i/t/n i//n ...`; everything else is passed over.

    Indices count from 1; negative ones count back from the last vertex read so far.
    """
    vertices, polygons = [], []
    for number, line in continued(lines_of(data)):
        keyword, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if keyword == "v":
            vertices.append((number, rest))
        elif keyword == "f":
            polygons.append(obj_face((number, rest), len(vertices)))
    if not vertices:
        raise ValueError("no vertices: expected lines 'v x y z'")
    return Polygons(rows_of(vertices, "the 3 coordinates of a vertex"), *join(polygons))


def obj_face(line: Line, known: int) -> list[int]:
    corners = numbers(
        (line[0], " ".join(word.split("/", 1)[0] for word in line[1].split())), int, "the corners of a face", 3
    )
    for corner in corners:
        if corner == 0 or corner < -known:
            raise ValueError(f"line {line[0]}: corner {corner}, expected 1.. or -{known}..-1")
    return [corner - 1 if corner > 0 else known + corner for corner in corners]
