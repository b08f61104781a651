"""Pictures of molecules."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.molecules.draw import draw_grid, grid_tensor, write_grid

SMILES = ["CCO", "c1ccccc1", "C[N+](=O)[O-]", "CC(C)C", "O"]


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def test_one_cell_a_molecule():
    picture = pixels(draw_grid(SMILES, columns=3, cell=(80, 60)))
    assert picture.shape == (120, 240, 3)
    cells = [picture[r * 60 : r * 60 + 60, c * 80 : c * 80 + 80] for r in (0, 1) for c in (0, 1, 2)]
    drawn = [bool((cell < 250).any()) for cell in cells]
    assert drawn == [True] * 5 + [False]
    assert pixels(draw_grid(SMILES[:2], columns=6, cell=(80, 60))).shape == (60, 160, 3)


def test_what_is_no_molecule_is_an_empty_cell(capfd):
    picture = pixels(draw_grid(["CCO", None, "C1CC", "CC"], columns=4, cell=(80, 60)))
    drawn = [bool((picture[:, c * 80 : c * 80 + 80] < 250).any()) for c in range(4)]
    assert drawn == [True, False, False, True]
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError, match="there is no molecule to draw"):
        draw_grid([])


def test_spelling_does_not_matter():
    assert draw_grid(["OCC"]) != draw_grid(["CCC"])
    assert draw_grid(["c1ccccc1"]) == draw_grid(["c1ccccc1"])


def test_legends_in_svg():
    text = draw_grid(["CC", None], ["QED 0.52", "lost"], svg=True).decode()
    assert text.startswith("<?xml") and "</svg>" in text
    assert text != draw_grid(["CC", None], svg=True).decode()


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_files_by_their_names(name, magic, tmp_path):
    path = write_grid(tmp_path / name, SMILES)
    assert path.read_bytes().startswith(magic) and [p.name for p in tmp_path.iterdir()] == [name]


def test_tensor_for_tensorboard():
    picture = grid_tensor(SMILES, columns=2)
    assert picture.shape == (3, 3 * 170, 2 * 220) and picture.dtype == torch.float32
    assert picture.max() == 1 and 0 <= picture.min() < 0.5
