"""Readers of OFF, OBJ and PLY, right and wrong files."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
import torch

from flowsuite.pointclouds.meshes import read_mesh
from flowsuite.pointclouds.surface import triangle_areas
from tests.pointclouds.files import SQUARE_OFF

SHARED = Path(os.environ.get("FLOWSUITE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "pointclouds/meshes"

CORNERS = [(0, 0, 0), (2, 0, 0), (2, 0, 2), (0, 0, 2)]
PLY = "ply\nformat {} 1.0\ncomment made here\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
PLY_FACES = "element face {}\nproperty list uchar int {}\nend_header\n"


def ply_ascii(name="vertex_indices") -> bytes:
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in CORNERS)
    return (PLY.format("ascii") + PLY_FACES.format(2, name) + rows + "3 0 1 2\n3 0 2 3\n").encode()


def ply_binary(order: str, mixed: bool = False, more: bool = False) -> bytes:
    """A square as two triangles, or `mixed`: a triangle and a quad that covers all; `more`: other properties too."""
    sign = {"little": "<", "big": ">"}[order]
    header = PLY.format(f"binary_{order}_endian")
    if more:
        header += "property uchar red\n"
    header += "element face 2\nproperty list uchar int vertex_indices\n"
    header += ("property double quality\nelement edge 1\nproperty short a\n" if more else "") + "end_header\n"
    data = header.encode()
    for corner in CORNERS:
        data += struct.pack(f"{sign}fff", *corner) + (b"\x07" if more else b"")
    for face in ([0, 1, 2], [0, 1, 2, 3] if mixed else [0, 2, 3]):
        data += struct.pack(f"{sign}B{len(face)}i", len(face), *face) + (struct.pack(f"{sign}d", 1.5) if more else b"")
    return data + (struct.pack(f"{sign}h", 3) if more else b"")


def off(old: str, new: str) -> bytes:
    return SQUARE_OFF.replace(old, new).encode()


def obj(faces: str) -> bytes:
    vertices = "".join(f"v {x} {y} {z} 1\n" for x, y, z in CORNERS)
    return f"# a square\nmtllib x.mtl\no square\n{vertices}{faces}".encode()


GOOD = {
    "off": ("a.off", SQUARE_OFF.encode(), 4.0),
    "off glued": ("a.off", SQUARE_OFF.replace("OFF\n", "OFF").encode(), 4.0),
    "off one line": ("a.OFF", SQUARE_OFF.replace("OFF\n", "OFF ").encode(), 4.0),
    "off comments": ("a.off", SQUARE_OFF.replace("\n", "  # what\n\n# this\n").encode(), 4.0),
    "off windows": ("a.off", SQUARE_OFF.replace("\n", "\r\n").encode(), 4.0),
    "off colours": ("a.off", SQUARE_OFF.replace("OFF", "COFF").replace("0 1 2 3", "0 1 2 3 255 0 0").encode(), 4.0),
    "obj": ("a.obj", obj("f 1 2 3\nf 1 3 4\n"), 4.0),
    "obj polygon": ("a.obj", obj("vt 0 0\nvn 0 1 0\ns off\nf 1/1/1 2/1/1 3//1 4/1\nl 1 2\n"), 4.0),
    "obj negative": ("a.obj", obj("f -4 -3 -2\nv 5 5 5\nf -5 -3 -2"), 4.0),
    "obj continued": ("a.obj", obj("f 1 2 \\\n 3 4\n"), 4.0),
    "ply ascii": ("a.ply", ply_ascii(), 4.0),
    "ply vertex_index": ("a.ply", ply_ascii("vertex_index"), 4.0),
    "ply little": ("a.ply", ply_binary("little"), 4.0),
    "ply big": ("a.ply", ply_binary("big"), 4.0),
    "ply more": ("a.ply", ply_binary("big", more=True), 4.0),
    "ply mixed": ("a.ply", ply_binary("little", mixed=True), 6.0),
    "ply mixed more": ("a.ply", ply_binary("big", mixed=True, more=True), 6.0),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_file(case, tmp_path):
    name, data, area = GOOD[case]
    (tmp_path / name).write_bytes(data)
    vertices, faces = read_mesh(tmp_path / name)
    assert vertices.dtype == torch.float32 and faces.dtype == torch.int64 and faces.shape[1] == 3
    torch.testing.assert_close(vertices[:4], torch.tensor(CORNERS, dtype=torch.float32))
    assert triangle_areas(vertices[faces]).sum() == pytest.approx(area, abs=1e-5)


def test_polygons_become_fans(tmp_path):
    points = "0 0 0\n1 0 0\n2 0 1\n1 0 2\n0 0 1\n"
    (tmp_path / "a.off").write_text(f"OFF\n5 2 0\n{points}5 0 1 2 3 4\n3 0 1 2\n")
    assert read_mesh(tmp_path / "a.off")[1].tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 1, 2]]


BAD = {
    "off empty": ("a.off", b" \n", "the file is empty"),
    "off keyword": ("a.off", b"OOF\n1 1 0\n", "line 1: expected OFF, got 'OOF'"),
    "off counts": ("a.off", b"OFF\nfour 1 0\n", "line 2: expected the counts of vertices and faces, got 'four 1 0'"),
    "off no counts": ("a.off", b"OFF\n", "ends before the counts"),
    "off truncated": ("a.off", SQUARE_OFF[:-10].encode(), "ends at line 6: 4 vertices and 1 faces are announced"),
    "off no faces": ("a.off", b"OFF\n1 0 0\n0 0 0\n", "the mesh has no faces"),
    "off range": (
        "a.off",
        SQUARE_OFF.replace("4 0 1 2 3", "4 0 1 2 4").encode(),
        r"face 0 has corner 4, expected 0\.\.3",
    ),
    "off nan": (
        "a.off",
        SQUARE_OFF.replace("2 0 2", "2 nan 2").encode(),
        r"vertex 2 is \[2.0, nan, 2.0\], and 1 in all",
    ),
    "off word": (
        "a.off",
        SQUARE_OFF.replace("2 0 2", "2 x 2").encode(),
        "line 5: expected the 3 coordinates of a vertex",
    ),
    "off short face": (
        "a.off",
        SQUARE_OFF.replace("4 0 1 2 3", "4 0 1 2").encode(),
        "line 7: a face of 4 corners has 3",
    ),
    "off two corners": ("a.off", off("4 0 1 2 3", "2 0 1"), "face 0 has 2 corners"),
    "off zero area": ("a.off", off("4 0 1 2 3", "3 0 1 1"), "zero area"),
    "off binary": ("a.off", b"OFF BINARY\n\0\0\0\1", "expected text, found binary data"),
    "obj no vertices": ("a.obj", b"o thing\nf 1 2 3\n", "no vertices"),
    "obj no faces": ("a.obj", obj(""), "the mesh has no faces"),
    "obj zero": ("a.obj", obj("f 0 1 2\n"), "line 8: corner 0, expected"),
    "obj negative": ("a.obj", obj("f -5 1 2\n"), "line 8: corner -5, expected 1.. or -4..-1"),
    "obj range": ("a.obj", obj("f 1 2 3\nf 1 2 9\n"), "face 1 has corner 8, expected 0..3"),
    "obj word": ("a.obj", obj("f 1 2 a/b\n"), "line 8: expected the corners of a face"),
    "ply header": ("a.ply", b"ply\nformat ascii 1.0\n", "expected a PLY header"),
    "ply format": ("a.ply", ply_ascii().replace(b"ascii", b"middle_endian"), "line 2: cannot make sense of"),
    "ply type": ("a.ply", ply_ascii().replace(b"float y", b"floot y"), "line 6: cannot make sense of"),
    "ply axes": (
        "a.ply",
        ply_ascii().replace(b"float y", b"float q"),
        "no element 'vertex' with properties x, y and z",
    ),
    "ply no faces": ("a.ply", ply_ascii("indices"), "the mesh has no faces"),
    "ply ascii short": ("a.ply", ply_ascii()[:-7], "ends within the 2 records of element 'face'"),
    "ply ascii word": ("a.ply", ply_ascii().replace(b"2 0 2\n", b"2 0 b\n"), "element 'vertex' holds something"),
    "ply ascii face": ("a.ply", ply_ascii().replace(b"0 1 2\n", b"0 1 b\n"), "record 0 of element 'face' holds"),
    "ply short": ("a.ply", ply_binary("little")[:-1], "ends within the 2 records of element 'face'"),
    "ply shorter": ("a.ply", ply_binary("big")[:-30], "ends within the 4 records of element 'vertex'"),
    "ply mixed short": ("a.ply", ply_binary("big", mixed=True)[:-1], "ends within the 2 records of element 'face'"),
    "stl": ("a.stl", b"solid", "ending in .off, .obj, .ply"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_named_in_one_line(case, tmp_path):
    name, data, message = BAD[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_mesh(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.off not found"):
        read_mesh(tmp_path / "gone.off")


@pytest.mark.skipif(not SHARED.exists(), reason=f"no {SHARED}: real meshes are not in the repo")
@pytest.mark.parametrize(
    ("name", "n_vertices", "n_faces"), [("spot", 2930, 5856), ("cow", 2903, 5804), ("teapot", 3644, 6320)]
)
def test_real_mesh(name, n_vertices, n_faces):
    vertices, faces = read_mesh(SHARED / f"{name}.obj")
    assert vertices.shape == (n_vertices, 3) and faces.shape == (n_faces, 3)
