"""A function on buffers of its own; on a GPU as a CUDA graph."""

import pytest
import torch

from flowsuite.audio.static_call import StaticCall

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("inference", [False, True])
def test_calls(device, inference):
    """Also where one of the calls, or the making of it, is in inference mode."""
    like = [torch.zeros(2, 3, device=device), torch.zeros(3, device=device)]
    with torch.inference_mode(inference):
        call = StaticCall(lambda a, b: a @ b + 1, like)
    addresses = [x.data_ptr() for x in call.inputs]
    assert (call.graph is not None) == (device == "cuda")
    for seed in range(3):
        torch.manual_seed(seed)
        a, b = torch.randn(2, 3, device=device), torch.randn(3, device=device)
        with torch.inference_mode(inference and seed != 1):
            torch.testing.assert_close(call(a, b).clone(), a @ b + 1)
    assert [x.data_ptr() for x in call.inputs] == addresses


def test_inputs_are_those_announced():
    call = StaticCall(torch.add, [torch.zeros(2), torch.zeros(2)])
    with pytest.raises(ValueError, match="shorter"):
        call(torch.zeros(2))
    with pytest.raises(RuntimeError, match="size"):
        call(torch.zeros(3), torch.zeros(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_cannot_be_captured_is_called():
    def waits(x):
        return x * x.sum().item()

    with pytest.warns(UserWarning, match="no CUDA graph could be captured"):
        call = StaticCall(waits, [torch.zeros(2, device="cuda")])
    assert call.graph is None
    assert call(torch.ones(2, device="cuda")).tolist() == [2, 2]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
