"""A function of tensors on buffers of its own: what a CUDA graph needs, and on a GPU captured as one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UPS = 3  # runs before a capture, in which libraries choose kernels and take their workspaces


class StaticCall:
    """`function(*inputs)` for inputs of fixed shapes, which are copied to the same addresses every time.

    On a GPU the work that the function does there is captured once and replayed with one launch. It must do the same
    whatever the numbers are: no transfer to or from the CPU, no shape or branch that depends on them, and whatever else
    it reads must stay where it is. Where a capture fails a warning says so and the function is called as it is.

    Use it from one thread at a time. Everything is queued on the caller's current stream.

    Args:
        function: of tensors, to a tensor.
        like: tensors of the inputs' shapes, types and device.
        capture: on a GPU.
    """

    def __init__(self, function: Callable[..., Tensor], like: Sequence[Tensor], capture: bool = True):
        self.function = function
        with torch.inference_mode(False):  # an inference tensor could not be written to outside of that mode
            self.inputs = [torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in like]
        self.graph: torch.cuda.CUDAGraph | None = None
        self.output: Tensor | None = None
        if capture and self.inputs[0].is_cuda:
            self._try_to_capture()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result; its memory is used again by the next call."""
        with torch.no_grad():
            for own, given in zip(self.inputs, inputs, strict=True):
                own.copy_(given)
            if self.graph is None:
                return self.function(*self.inputs)
            self.graph.replay()
            return self.output

    def _try_to_capture(self) -> None:
        device = self.inputs[0].device
        try:
            with torch.cuda.device(device), torch.inference_mode(False), torch.no_grad():
                self._capture(torch.cuda.Stream(device))
        except RuntimeError as error:
            self.graph = self.output = None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"no CUDA graph could be captured ({reason}): going on without", stacklevel=4)

    def _capture(self, stream: torch.cuda.Stream) -> None:
        """On a stream of its own, left also where the capture fails; "thread_local" for threads that pin memory."""
        before = torch.cuda.current_stream()
        stream.wait_stream(before)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.function(*self.inputs)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self.output = self.function(*self.inputs)
            self.graph = graph
        before.wait_stream(stream)
