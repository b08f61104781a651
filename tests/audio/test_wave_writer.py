"""WAV files written piece by piece."""

import pytest
import torch

from flowsuite.audio.wave_files import read_wave, write_wave
from flowsuite.audio.wave_writer import write_pieces


def test_pieces_make_the_file_that_the_whole_makes(tmp_path):
    wave = torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    written = write_pieces(tmp_path / "pieces.wav", wave.split([1, 500, 99, 400]), 8000)
    write_wave(tmp_path / "whole.wav", wave, 8000)
    assert written == (1000, 0)
    assert (tmp_path / "pieces.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_loud_samples_are_clipped_and_counted_never_wrapped(tmp_path):
    written = write_pieces(tmp_path / "a.wav", [torch.tensor([1.5, -3.0, 0.5]), torch.tensor([1.0])], 8000)
    assert written == (4, 3)
    assert (read_wave(tmp_path / "a.wav") * 32768).tolist() == [32767, -32768, 16384, 32767]


@pytest.mark.parametrize("pieces", [[], [torch.zeros(0)], [torch.zeros(9), torch.tensor([0.0, float("nan")])]])
def test_nothing_is_left_of_a_file_that_fails(tmp_path, pieces):
    with pytest.raises(ValueError, match=r"a\.wav: (expected a waveform|1 samples from number 9 on are not finite)"):
        write_pieces(tmp_path / "a.wav", pieces, 8000)
    assert not list(tmp_path.iterdir())


def test_an_error_of_what_makes_the_pieces_leaves_no_file(tmp_path):
    def pieces():
        yield torch.zeros(100)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_pieces(tmp_path / "a.wav", pieces(), 8000)
    assert not list(tmp_path.iterdir())
