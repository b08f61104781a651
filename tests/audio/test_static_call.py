"""A function on buffers of its own; on a GPU as a CUDA graph."""

import contextlib

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


class Recorder:
    """Stands in for the parts of `torch.cuda` that a capture uses: what is called in which order, no GPU."""

    def __init__(self, fails=False):
        self.said, self.fails = [], fails

    def Stream(self, device):
        return self

    def current_stream(self):
        return self

    def wait_stream(self, other):
        self.said.append("wait")

    @contextlib.contextmanager
    def block(self, name):
        self.said.append(name)
        try:
            yield
        finally:
            self.said.append(f"end {name}")

    def device(self, device):
        return self.block("device")

    def stream(self, stream):
        return self.block("stream")

    def CUDAGraph(self):
        return self

    def graph(self, graph, stream, capture_error_mode):
        if self.fails:
            raise RuntimeError("not permitted\nwhen capturing")
        return self.block("capture")

    def replay(self):
        self.said.append("replay")


def with_recorder(monkeypatch, **settings):
    recorder = Recorder(**settings)
    call = StaticCall(lambda x: recorder.said.append("run") or 2 * x, [torch.zeros(2)])
    for name in ("Stream", "current_stream", "device", "stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(recorder, name))
    call._try_to_capture()
    return call, recorder


def test_order_of_a_capture(monkeypatch):
    """Warm-ups and the capture on a stream of their own, which waits for the current one and is waited for."""
    call, recorder = with_recorder(monkeypatch)
    runs = ["run"] * 3
    capture = ["capture", "run", "end capture"]
    assert recorder.said == ["device", "wait", "stream", *runs, *capture, "end stream", "wait", "end device"]
    recorder.said.clear()
    assert call(torch.ones(2)) is call.output and recorder.said == ["replay"]
    assert call.inputs[0].tolist() == [1, 1]


def test_a_failed_capture(monkeypatch):
    with pytest.warns(UserWarning, match=r"captured \(not permitted\): going on without"):
        call, recorder = with_recorder(monkeypatch, fails=True)
    assert recorder.said[-2:] == ["end stream", "end device"]
    assert call(torch.ones(2)).tolist() == [2, 2] and "replay" not in recorder.said
