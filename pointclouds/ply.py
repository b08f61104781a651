"""PLY files: meshes and point clouds in (ascii and binary), point clouds out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write
from flowsuite.pointclouds.clouds import check_points
from flowsuite.pointclouds.meshes import Polygons

TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class Element:
    """One kind of record: `count` of them, with properties (name, type, type of a list's length or "")."""

    name: str
    count: int
    properties: list[tuple[str, str, str]] = field(default_factory=list)


def read_header(data: bytes) -> tuple[str, list[Element], int]:
    """The byte order ("" for ascii), the elements, and where the records begin."""
    end = data.find(b"end_header")
    stop = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or stop < 0:
        raise ValueError("expected a PLY header from 'ply' to 'end_header'")
    order, elements = None, []
    for number, line in enumerate(data[:end].decode("ascii", errors="replace").splitlines(), 1):
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append(Element(words[1], int(words[2])))
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append((words[4], TYPES[words[3]], TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1].properties.append((words[2], TYPES[words[1]], ""))
        except (KeyError, IndexError, ValueError):
            raise ValueError(f"line {number}: cannot make sense of {line.strip()[:60]!r}") from None
    if order is None or any(element.count < 0 for element in elements):
        raise ValueError("the header names no format, or a negative count")
    return order, elements, stop + 1


def read_elements(data: bytes) -> dict[str, dict[str, np.ndarray | tuple[np.ndarray, np.ndarray]]]:
    """Element -> property -> column; a list property is (lengths, all entries in a row)."""
    order, elements, at = read_header(data)
    found = {}
    if not order:
        words = data[at:].split()
        at = 0
    for element in elements:
        try:
            if order:
                found[element.name], at = binary_records(data, at, element, order)
            else:
                found[element.name], at = ascii_records(words, at, element)
        except (IndexError, EOFError):
            raise ValueError(f"the file ends within the {element.count} records of element {element.name!r}") from None
    return found


def columns_of(element: Element, lengths: dict, entries: dict) -> dict:
    return {
        name: (np.array(lengths[name], np.int64), np.array(entries[name], kind))
        if size
        else np.array(entries[name], kind)
        for name, kind, size in element.properties
    }


def ascii_records(words: list[bytes], at: int, element: Element) -> tuple[dict, int]:
    if not any(size for _, _, size in element.properties):
        width = len(element.properties)
        block = words[at : at + width * element.count]
        if len(block) < width * element.count:
            raise EOFError
        try:
            table = np.array(block, dtype=np.float64).reshape(element.count, width)
        except ValueError:
            raise ValueError(f"element {element.name!r} holds something that is no number") from None
        return {name: table[:, i] for i, (name, _, _) in enumerate(element.properties)}, at + len(block)
    lengths: dict = {name: [] for name, _, _ in element.properties}
    entries: dict = {name: [] for name, _, _ in element.properties}
    for record in range(element.count):
        for name, kind, size in element.properties:
            n = 1
            try:
                if size:
                    n, at = int(words[at]), at + 1
                    lengths[name].append(n)
                if n < 0 or at + n > len(words):
                    raise EOFError
                entries[name] += map(float if kind[0] == "f" else int, words[at : at + n])
            except ValueError:
                raise ValueError(
                    f"record {record} of element {element.name!r} holds something that is no number"
                ) from None
            at += n
    return columns_of(element, lengths, entries), at


def binary_records(data: bytes, at: int, element: Element, order: str) -> tuple[dict, int]:
    lists = [p for p in element.properties if p[2]]
    if len(lists) <= 1:
        sizes = {}
        if lists and element.count:
            sizes = {lists[0][0]: first_length(data, at, element, order)}
        columns = equal_records(data, at, element, order, sizes)
        if columns is not None:
            return columns
    lengths: dict = {name: [] for name, _, _ in element.properties}
    entries: dict = {name: [] for name, _, _ in element.properties}
    for _ in range(element.count):
        for name, kind, size in element.properties:
            n = 1
            if size:
                n, at = int(take(data, at, order + size, 1)[0]), at + np.dtype(size).itemsize
                lengths[name].append(n)
            entries[name].extend(take(data, at, order + kind, n).tolist())
            at += n * np.dtype(kind).itemsize
    return columns_of(element, lengths, entries), at


def take(data: bytes, at: int, kind: str, n: int) -> np.ndarray:
    if n < 0 or at + n * np.dtype(kind).itemsize > len(data):
        raise EOFError
    return np.frombuffer(data, kind, n, at)


def first_length(data: bytes, at: int, element: Element, order: str) -> int:
    """Length of the first record's list."""
    for _, kind, size in element.properties:
        if size:
            return int(take(data, at, order + size, 1)[0])
        at += np.dtype(kind).itemsize
    raise EOFError


def equal_records(data: bytes, at: int, element: Element, order: str, sizes: dict[str, int]) -> tuple[dict, int] | None:
    """All records at once, if every list has the length in `sizes`; None if not."""
    fields = []
    for name, kind, size in element.properties:
        if size:
            fields += [(f"{name} length", order + size), (name, order + kind, (max(0, sizes.get(name, 0)),))]
        else:
            fields.append((name, order + kind))
    record = np.dtype(fields)
    end = at + record.itemsize * element.count
    if end > len(data):
        if not sizes:
            raise EOFError
        return None
    table = np.frombuffer(data, record, element.count, at)
    if any((table[f"{name} length"] != size).any() for name, size in sizes.items()):
        return None
    columns = {}
    for name, _, size in element.properties:
        native = table[name].astype(table[name].dtype.newbyteorder("="))
        columns[name] = (table[f"{name} length"].astype(np.int64), native.reshape(-1)) if size else native
    return columns, end


def vertices_of(elements: dict) -> np.ndarray:
    vertex = elements.get("vertex", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise ValueError("no element 'vertex' with properties x, y and z")
    return np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)


def read_ply_polygons(data: bytes) -> Polygons:
    """The mesh in a PLY file: `vertex` with x, y, z and `face` with a list vertex_indices (or vertex_index)."""
    elements = read_elements(data)
    vertices, face = vertices_of(elements), elements.get("face", {})
    for name in ("vertex_indices", "vertex_index"):
        if isinstance(face.get(name), tuple):
            sizes, corners = face[name]
            return Polygons(vertices, sizes, corners.astype(np.int64))
    raise ValueError("the mesh has no faces: no element 'face' with a list vertex_indices")


def read_ply_points(path: str | Path) -> np.ndarray:
    """(N, 3) float32: the vertices of a PLY file, as a cloud."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    try:
        vertices = vertices_of(read_elements(data))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return check_points(vertices, path)


def write_ply(path: str | Path, points: Tensor, scalar: Tensor | None = None, colors: Tensor | None = None) -> Path:
    """Writes a cloud (N, 3) as binary little-endian PLY, atomically.

    Args:
        path: the file.
        points: (N, 3), written as float32.
        scalar: (N,) a number a point, e.g. its log-density: property "scalar", float32.
        colors: (N, 3) uint8: properties red, green, blue.
    """
    points = check_points(torch.as_tensor(points).detach().cpu().numpy(), "points")
    columns = [(axis, "<f4", points[:, i]) for i, axis in enumerate("xyz")]
    if scalar is not None:
        if scalar.shape != (len(points),):
            raise ValueError(f"expected one scalar for each of {len(points)} points, got {tuple(scalar.shape)}")
        columns.append(("scalar", "<f4", scalar.detach().cpu().numpy()))
    if colors is not None:
        if colors.shape != (len(points), 3) or colors.dtype != torch.uint8:
            raise ValueError(f"expected colors ({len(points)}, 3) uint8, got {colors.dtype} {tuple(colors.shape)}")
        columns += [(name, "u1", colors.cpu().numpy()[:, i]) for i, name in enumerate(("red", "green", "blue"))]
    table = np.empty(len(points), dtype=[(name, kind) for name, kind, _ in columns])
    for name, _, values in columns:
        table[name] = values
    properties = "".join(f"property {'uchar' if kind == 'u1' else 'float'} {name}\n" for name, kind, _ in columns)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
    with atomic_write(path) as file:
        file.write(header.encode())
        file.write(table.tobytes())
    return Path(path)
