"""What all modules of continuous flows share: failing solves, penalties, evaluations in the log, certificates."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from flowsuite.core.certificate import Certificate
from flowsuite.core.layers.continuous import CNF, SolveLog, record_solves
from flowsuite.core.matching import unmatched_parameters
from flowsuite.core.objective import rnode_penalty
from flowsuite.core.ode import SolverError, collect_failures


class ContinuousTraining:
    """What every module of continuous flows shares; stands before `FlowModule` among the bases.

    - The solves of a training step are recorded: `train/nfe_forward` and, after the backward pass, `train/nfe_backward`
      are logged. `set_penalties` chooses the penalties of RNODE, `penalise` adds them to a loss of nats.
    - A solve that fails, forward or backward (a stiff field, `max_nfe`), gives NaN, so that under DDP all ranks finish
      the step together. Then `non_finite: skip` voids the update on all ranks and counts it, and `stop` raises the
      `SolverError` on the rank where it happened. In validation and test a batch that could not be solved is left out
      of the means under `skip`, and counted: `val/failed_batches`, `test/failed_batches`.
    - Training logs the end times. Which divergence and solver every continuous layer takes in training and in
      evaluation is said once.
    - What the losses of `matched_levels()` do not reach takes no part in training: DDP would wait for its gradients.
    - Testing prints what `certify(batch)` finds on the first batch, and whether the figures are loose.

    Attributes:
        tight: a test figure is called loose if its error is above this, in the unit of `tight_unit`.
        tight_unit: name of that unit, and how many nats per example it is.
    """

    compiles = False  # `FixedGrid(compile=True)` compiles a step of a solver
    penalties: tuple[str, ...] = ()
    penalty_weights: Mapping[str, float] = MappingProxyType({})
    tight = 0.01
    tight_unit = ("nats per example", 1.0)
    certificate: Certificate | None = None  # of the first test batch, on rank 0
    _tested = 0
    _left_out: Sequence[nn.Parameter] = ()
    solves: SolveLog | None = None
    _failures: tuple[SolverError, ...] | list[SolverError] = ()
    _unsolved: Sequence[SolverError] = ()
    _described: frozenset[str] = frozenset()

    # What a module of continuous flows says or defines

    def certify(self, batch: Any) -> Certificate:
        """How far the likelihoods of (some examples of) a batch can be trusted; in evaluation mode."""
        raise NotImplementedError(f"{type(self).__name__} must define certify(batch) -> Certificate")

    def matched_levels(self) -> list[nn.Module]:
        """The chains of layers that train by flow matching alone, which reaches nothing but their fields."""
        return []

    def set_penalties(self, kinetic: float, jacobian: float) -> None:
        """The weights of the penalties of RNODE; 0 for none."""
        weights = {"kinetic": kinetic, "jacobian": jacobian}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        self.penalty_weights = {name: weight for name, weight in weights.items() if weight}
        self.penalties = tuple(self.penalty_weights)

    def set_tight(self, tight: float) -> None:
        if not 0 < tight < math.inf:
            raise ValueError(f"tight must be positive, got {tight}")
        self.tight = tight

    def penalise(
        self, loss: Tensor, figures: dict[str, Tensor], dims: int, unit: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A training loss with the penalties of the step's solves, and its figures with theirs, divided by `dims`.

        Args:
            loss: the mean over the batch, in units of `unit` nats per example.
        """
        if not self.penalties:
            return loss, figures
        found = {name: self.solves.penalty(name) for name in self.penalties}
        logged = {name: value.mean() / dims for name, value in found.items()}
        return loss + rnode_penalty(found, self.penalty_weights) / unit, {**figures, **logged}

    # Training

    def _initialize_flow(self, batch: Any) -> None:
        """A solve is dear: it is spent only where some layer starts from data."""
        if any(name.rpartition(".")[2] == "initialized" for name, _ in self.flow.named_buffers()):
            super()._initialize_flow(batch)
        self.flow_initialized = True

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with collect_failures() as self._failures, record_solves(self.penalties) as self.solves:
            loss = super().training_step(batch, batch_idx)
        self._describe(self.solves, "training")
        return loss

    def on_after_backward(self) -> None:
        super().on_after_backward()
        if self.solves is not None and self.solves.solutions:
            self.log("train/nfe_forward", float(self.solves.nfe_forward))
            self.log("train/nfe_backward", float(self.solves.nfe_backward))
        self.solves = None  # lets go of the states

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._failures and self.non_finite == "stop":
            raise SolverError(
                f"training stopped at step {self.global_step}: {self._failures[0]}. Try a lower learning rate, "
                'a kinetic or jacobian weight, or a FixedGrid solver, or set non_finite to "skip"'
            )
        if self._failures:
            warnings.warn(f"updates are skipped (train/skipped_updates): {self._failures[0]}", stacklevel=2)
        super().on_before_optimizer_step(optimizer)
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:
            for i, cnf in enumerate(self._continuous_layers()):
                self.log(f"train/end_time_{i}", cnf.end_time.detach())

    def _evaluate(self, batch: Any, stage: str) -> None:
        skips = self.non_finite == "skip"
        with record_solves() as log, collect_failures() if skips else contextlib.nullcontext(()) as self._unsolved:
            super()._evaluate(batch, stage)
        self.log(f"{stage}/nfe", float(log.nfe_forward), batch_size=1, sync_dist=True)
        if skips:
            failed = float(bool(self._unsolved))
            self.log(f"{stage}/failed_batches", failed, reduce_fx="sum", batch_size=1, sync_dist=True)
        if self._unsolved:
            self.print(f"a {stage} batch could not be solved, it is left out of the means: {self._unsolved[0]}")
        self._describe(log, "evaluation")

    def _log_evaluation(self, stage: str, figures: dict[str, Tensor], examples: int) -> None:
        if self._unsolved:  # of no weight, yet logged: all ranks reduce the same figures
            figures, examples = {name: torch.zeros_like(value) for name, value in figures.items()}, 0
        super()._log_evaluation(stage, figures, examples)

    # Testing

    def test_step(self, batch: Any, batch_idx: int) -> None:
        super().test_step(batch, batch_idx)
        self._tested = len(self.unpack(batch)[0]) + (self._tested if batch_idx else 0)
        if batch_idx == 0:
            self.certificate = self.certify(batch) if self.trainer.is_global_zero else None

    def on_test_end(self) -> None:
        super().on_test_end()
        if self.certificate is None:
            return
        name, nats = self.tight_unit
        examples = self._tested * self.trainer.world_size
        error = self.certificate.error_of_mean(examples) / nats
        self.print(f"{self.certificate}\nerror of the mean over {examples} test examples: {error:.2e} {name}")
        if not self.certificate.is_tight(self.tight * nats, examples=examples):
            self.print(
                f"!!! LOOSE: the test figures are not known to {self.tight:g} {name}: lower the tolerance of "
                "eval_solver, or take eval_divergence exact !!!"
            )

    # Parameters out of the objective's reach

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            unmatched = (p for level in self.matched_levels() for p in unmatched_parameters(level))
            self._left_out = [p for p in unmatched if p.requires_grad]
            for parameter in self._left_out:
                parameter.requires_grad_(False)

    def teardown(self, stage: str) -> None:
        for parameter in self._left_out:
            parameter.requires_grad_(True)
        self._left_out = ()
        super().teardown(stage)

    # The log

    def _continuous_layers(self) -> list[CNF]:
        return [module for module in self.modules() if isinstance(module, CNF)]

    def _describe(self, log: SolveLog, mode: str) -> None:
        """Which divergence and solver each layer took, on the screen and in TensorBoard, once for each mode."""
        if mode in self._described or self.trainer.sanity_checking:
            return
        self._described |= {mode}
        lines = [describe_layer(i, cnf, log, mode) for i, cnf in enumerate(self._continuous_layers())]
        for line in dict.fromkeys(lines):
            self.print(line)
        for logger in self.loggers:
            if hasattr(logger.experiment, "add_text"):
                logger.experiment.add_text(f"continuous layers in {mode}", "\n\n".join(lines))


def describe_layer(index: int, cnf: CNF, log: SolveLog, mode: str) -> str:
    used = [s.divergence for s in log.solutions if s.field is cnf.field and s.divergence]
    solver = cnf.solver if mode == "training" else cnf.eval_solver
    text = f"divergence {used[0]}, {solver}" if used else "no likelihood is computed"
    return f"continuous layer {index}: in {mode} {text}"
