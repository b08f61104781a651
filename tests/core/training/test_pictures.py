import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from flowsuite.core.training.pictures import enlarge, grid, write_png


def test_grid_places_images_row_by_row(tmp_path):
    x = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    picture = grid(x, columns=3)
    assert picture.shape == (3, 17, 26)
    assert torch.equal(picture[:, 9:17, 0:8], x[3]) and torch.equal(picture[:, 0:8, 18:26], x[2])
    assert (picture[:, 9:17, 18:26] == 128).all()
    assert torch.equal(F.interpolate(picture[None].float(), scale_factor=15)[0].byte(), enlarge(picture, 384))
    write_png(tmp_path / "a" / "grid.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / "grid.png")), picture.permute(1, 2, 0).numpy())
    with pytest.raises(ValueError, match="uint8"):
        write_png(tmp_path / "b.png", picture.float())
    with pytest.raises(ValueError, match="uint8"):
        grid(x.float())
    assert not (tmp_path / "b.png").exists()
