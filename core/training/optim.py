"""The optimiser of the published Glow code, and the kernels that optimisers of torch run on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class GlowAdamax(torch.optim.Optimizer):
    """The "adamax" of openai/glow (arXiv 1807.03039), which corrects bias as Adam does.

    At step t, with gradient g:

        m <- beta1 m + (1 - beta1) g
        u <- max(beta2 u, |g|)
        w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (u + eps)

    Textbook Adamax (arXiv 1412.6980) has no `sqrt(1 - beta2^t)`. The published runs take
    `beta2 = 1 - 1 / steps_per_epoch`, an epoch being 50,000 images: 0.9898 with 98 steps.

    Args:
        params: parameters or groups of them.
        lr: step size.
        betas: decay rates of mean and maximum.
        eps: added to the maximum.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.9898),
        eps: float = 1e-8,
    ):
        if lr < 0 or eps < 0:
            raise ValueError(f"lr and eps must be at least 0, got {lr} and {eps}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_step: dict[int, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_step.setdefault(self._count(parameter), []).append(parameter)
            for t, parameters in by_step.items():
                self._update(parameters, t, group)
        return loss

    def _count(self, parameter: Tensor) -> int:
        """The number of this parameter's update, from 1."""
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["maximum"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        return state["step"]

    def _update(self, parameters: list[Tensor], t: int, group: dict) -> None:
        beta1, beta2 = group["betas"]
        grads = [parameter.grad for parameter in parameters]
        means = [self.state[parameter]["mean"] for parameter in parameters]
        maxima = [self.state[parameter]["maximum"] for parameter in parameters]
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(maxima, beta2)
        torch._foreach_maximum_(maxima, torch._foreach_abs(grads))
        step_size = group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        torch._foreach_addcdiv_(parameters, means, torch._foreach_add(maxima, group["eps"]), value=-step_size)


def update_all_at_once(optimizer: torch.optim.Optimizer) -> None:
    """Lets an optimiser of torch update all parameters by one fused kernel, or one a formula, where it can.

    By default torch goes through the parameters one by one on a CPU: for a small flow of some hundred tensors that
    costs five times as much. A choice made by hand (`fused`, `foreach`, `capturable`, `differentiable`) stands.
    """
    fused = isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD))
    for group in optimizer.param_groups:
        open_to_choice = "foreach" in group and group["foreach"] is None and group.get("fused") is None
        if not open_to_choice or group["differentiable"] or group.get("capturable", False):
            continue
        if fused and all(type(p) is nn.Parameter and p.is_floating_point() for p in group["params"]):
            group["fused"] = True
        else:
            group["foreach"] = True
