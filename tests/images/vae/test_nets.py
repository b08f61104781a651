"""Encoders and decoders take any size of image."""

from __future__ import annotations

import pytest
import torch

from flowsuite.images.vae.nets import ConvDecoder, ConvEncoder, Dense, DenseDecoder, DenseEncoder, GatedConv


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 28, 20), (3, 8, 8), (1, 7, 5), (1, 1, 2)])
@pytest.mark.parametrize("levels", [1, 5])
def test_convolutions_end_at_the_size_of_the_image(shape, levels):
    x = torch.rand(2, *shape)
    features = ConvEncoder(shape, 11, 4)(x)
    assert features.shape == (2, 11)
    assert ConvDecoder(shape, 6, levels, 4)(torch.randn(2, 6)).shape == (2, levels * shape[0], *shape[1:])


def test_the_published_sizes():
    encoder, decoder = ConvEncoder((1, 28, 28)), ConvDecoder((1, 28, 28), 64)
    kernels = [tuple(layer.conv.weight.shape) for layer in encoder.layers]
    assert kernels == [
        (64, 1, 5, 5), (64, 32, 5, 5), (128, 32, 5, 5), (128, 64, 5, 5), (128, 64, 5, 5), (512, 64, 7, 7),
    ]  # fmt: skip
    assert tuple(decoder.layers[0].conv.weight.shape) == (64, 128, 7, 7)
    assert ConvEncoder((1, 28, 20)).layers[-1].conv.kernel_size == (7, 5)


def test_a_gate_is_the_sigmoid_of_the_second_half():
    layer, x = GatedConv(2, 3, 3, 1, 1), torch.randn(1, 2, 4, 4)
    h, g = layer.conv(x).chunk(2, 1)
    torch.testing.assert_close(layer(x), h * torch.sigmoid(g))


@pytest.mark.parametrize("activation", ["maxout", "gated", "relu", "tanh"])
def test_dense_networks(activation):
    encoder = DenseEncoder((1, 4, 3), 7, (5, 6), activation)
    assert encoder(torch.rand(2, 1, 4, 3)).shape == (2, 7)
    assert DenseDecoder((1, 4, 3), 2, 3, (5, 6), activation)(torch.randn(2, 2)).shape == (2, 3, 4, 3)


def test_maxout_is_the_largest_of_four():
    layer, x = Dense(3, 2, "maxout"), torch.randn(5, 3)
    groups = layer.linear(x).reshape(5, 2, 4)
    assert torch.equal(layer(x), groups.max(2).values)
    with pytest.raises(ValueError, match="unknown activation 'swoosh'"):
        Dense(3, 2, "swoosh")


@pytest.mark.parametrize("activation", ["maxout", "gated", "relu"])
def test_signals_keep_their_size_at_the_start(activation):
    torch.manual_seed(0)
    x = torch.randn(500, 1, 8, 8)
    encoder = DenseEncoder((1, 8, 8), 64, (300, 300, 300), activation)
    assert 0.4 < encoder(x).square().mean().sqrt() < 2.5


def test_signals_keep_their_size_through_convolutions():
    torch.manual_seed(0)
    x, encoder, decoder = torch.randn(20, 1, 28, 28), ConvEncoder((1, 28, 28)), ConvDecoder((1, 28, 28), 64)
    assert 0.3 < encoder(x).square().mean().sqrt() < 3
    assert 0.3 < decoder.layers(torch.randn(20, 64)[:, :, None, None]).square().mean().sqrt() < 3
