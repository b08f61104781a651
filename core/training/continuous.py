"""How continuous flows train: by likelihood, by flow matching, or both, and what happens to a solve that fails."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.certificate import Certificate, certify_flow
from flowsuite.core.flow import Flow
from flowsuite.core.layers.continuous import CNF, SolveLog, record_solves
from flowsuite.core.matching import FlowMatching, split_at_cnf, unmatched_parameters
from flowsuite.core.objective import negative_log_likelihood
from flowsuite.core.ode import SolverError, collect_failures
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.pictures import enlarge, write_png
from flowsuite.core.training.plots import density_triptych, points_image, square_around

CERTIFIED = 256  # examples of the first test batch that the certificate looks at
OBJECTIVES = ("likelihood", "flow_matching", "hybrid", "reflow")


class ContinuousTraining:
    """What every module of continuous flows shares; stands before `FlowModule` among the bases.

    - The solves of a training step are recorded: `train/nfe_forward` and, after the backward pass, `train/nfe_backward`
      are logged, and the integrals named in `penalties` are in `self.solves.penalty(name)` while the loss is computed.
    - A solve that fails, forward or backward (a stiff field, `max_nfe`), gives NaN, so that under DDP all ranks finish
      the step together. Then `non_finite: skip` voids the update on all ranks and counts it, and `stop` raises the
      `SolverError` on the rank where it happened. A failure in validation makes that figure NaN under `skip`.
    - Training logs the end times, and says once which divergence and solver every continuous layer takes.
    """

    penalties: tuple[str, ...] = ()
    solves: SolveLog | None = None
    _failures: tuple[SolverError, ...] | list[SolverError] = ()
    _described = False

    def _initialize_flow(self, batch: Any) -> None:
        """A solve is dear: it is spent only where some layer starts from data."""
        if any(name.rpartition(".")[2] == "initialized" for name, _ in self.flow.named_buffers()):
            super()._initialize_flow(batch)
        self.flow_initialized = True

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with collect_failures() as self._failures, record_solves(self.penalties) as self.solves:
            loss = super().training_step(batch, batch_idx)
        self._describe()
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
        with record_solves() as log:
            if stage == "val" and self.non_finite == "skip":
                with collect_failures() as failures:
                    super()._evaluate(batch, stage)
                if failures:
                    self.print(f"a validation batch could not be solved, its figures are NaN: {failures[0]}")
            else:
                super()._evaluate(batch, stage)
        self.log(f"{stage}/nfe", float(log.nfe_forward), batch_size=1, sync_dist=True)

    def _continuous_layers(self) -> list[CNF]:
        return [module for module in self.modules() if isinstance(module, CNF)]

    def _describe(self) -> None:
        """Which divergence and solver each layer takes, on the screen and in TensorBoard, once."""
        if self._described or self.trainer.sanity_checking:
            return
        self._described = True
        lines = [describe_layer(i, cnf, self.solves) for i, cnf in enumerate(self._continuous_layers())]
        for line in dict.fromkeys(lines):
            self.print(line)
        for logger in self.loggers:
            if hasattr(logger.experiment, "add_text"):
                logger.experiment.add_text("continuous layers", "\n\n".join(lines))


def describe_layer(index: int, cnf: CNF, log: SolveLog) -> str:
    used = [solution.divergence for solution in log.solutions if solution.field is cnf.field]
    training = f"divergence {used[0]}, {cnf.solver}" if used else "no solves"
    return f"continuous layer {index}: in training {training}; in evaluation {cnf.eval_divergence}, {cnf.eval_solver}"


class ContinuousFlowModule(ContinuousTraining, FlowModule):
    """Trains a flow with continuous layers; FFJORD (arXiv 1810.01367), RNODE (2002.02798), flow matching (2210.02747).

    The training loss, by `objective`, with D the number of entries of an example:

    - "likelihood": `[-log p(x) + kinetic * int |f|^2 + jacobian * int |J|_F^2] / D`, the mean over the batch;
    - "flow_matching": mean over examples and coordinates of `(v - u)^2`: no solve at all; needs exactly one continuous
      layer, and trains its field only;
    - "hybrid": likelihood (with its penalties) plus `matching_weight` times flow matching;
    - "reflow": flow matching on given pairs of data and noise (rectified flow, 2209.03003), from
      `flowsuite.core.data.Reflow`: the batches are `(x, noise)`. For flows without a context.

    A coarse fixed grid can be exploited: where the training figures fall far below the validation ones (and `val/nfe`
    grows), the field has become too wild for the grid. Penalties, more steps or a fixed end time prevent that.

    Validation and test figures are always the likelihood in evaluation mode (`eval_solver`, `eval_divergence`): `loss`
    in nats per dimension, `nats` per example. Testing also prints a `flowsuite.core.certificate.Certificate`.

    Args:
        flow: the model.
        objective: "likelihood", "flow_matching", "hybrid" or "reflow".
        kinetic, jacobian: weights of the RNODE penalties; 0.01 each as published, 0 for none.
        matching_weight: of the matching loss in "hybrid".
        path, sigma, pairing: of flow matching, see `flowsuite.core.matching.FlowMatching`.
        tight: a test figure is called loose if its certificate is above this error, in nats per example.
        kwargs: those of `FlowModule`.
    """

    def __init__(
        self,
        flow: Flow,
        objective: str = "likelihood",
        kinetic: float = 0.0,
        jacobian: float = 0.0,
        matching_weight: float = 1.0,
        path: str = "linear",
        sigma: float = 0.0,
        pairing: str = "independent",
        tight: float = 0.01,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}: expected one of {', '.join(OBJECTIVES)}")
        for name, value in (("kinetic", kinetic), ("jacobian", jacobian), ("matching_weight", matching_weight)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be at least 0, got {value}")
        if tight <= 0:
            raise ValueError(f"tight must be positive, got {tight}")
        solves = objective in ("likelihood", "hybrid")
        if not solves and (kinetic or jacobian):
            raise ValueError(f"the objective {objective!r} solves nothing that kinetic or jacobian could penalise")
        if objective != "likelihood":
            split_at_cnf(flow.transform)
        self.objective, self.matching_weight, self.tight = objective, matching_weight, tight
        self.penalty_weights = {name: w for name, w in (("kinetic", kinetic), ("jacobian", jacobian)) if w}
        self.penalties = tuple(self.penalty_weights)
        self.matching = FlowMatching(path, sigma, pairing)
        self.certificate: Certificate | None = None  # of the first test batch, on rank 0
        self._frozen: list[torch.nn.Parameter] = []

    def loss(self, x, context, stage):
        if stage != "train":
            return self.likelihood_loss(x, context)
        if self.objective == "likelihood":
            return self.penalised_loss(x, context)
        if self.objective == "reflow":
            return self.reflow_loss(x, context), {}
        matching = self.matching.flow_loss(self.flow, x, context)
        if self.objective == "flow_matching":
            return matching, {}
        loss, figures = self.penalised_loss(x, context)
        return loss + self.matching_weight * matching, {**figures, "matching": matching}

    def likelihood_loss(self, x: Tensor, context: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """`-log p / D`, the mean over the batch; and `nats` per example."""
        nats = negative_log_likelihood(self.flow(x, context))
        return nats / x[0].numel(), {"nats": nats}

    def penalised_loss(self, x: Tensor, context: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The same with the penalties, also divided by D."""
        loss, figures = self.likelihood_loss(x, context)
        for name, weight in self.penalty_weights.items():
            figures[name] = self.solves.penalty(name).mean() / x[0].numel()
            loss = loss + weight * figures[name]
        return loss, figures

    def reflow_loss(self, x: Tensor, noise: Any) -> Tensor:
        if not isinstance(noise, Tensor) or noise.shape[0] != x.shape[0]:
            raise ValueError("the objective reflow needs batches (x, noise): take flowsuite.core.data.Reflow as data")
        return self.matching.flow_loss(self.flow, x, noise=noise)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        super().test_step(batch, batch_idx)
        if batch_idx == 0 and self.trainer.is_global_zero:
            x, context = self.unpack(batch)
            if context is None or isinstance(context, Tensor):
                x, context = x[:CERTIFIED], None if context is None else context[:CERTIFIED]
            self.certificate = certify_flow(self.flow, x, context)

    def on_test_end(self) -> None:
        if self.certificate is not None:
            self.print(str(self.certificate))
            if not self.certificate.is_tight(self.tight):
                self.print(
                    f"!!! LOOSE: the test figures are not known to {self.tight:g} nats: lower the tolerance of "
                    "eval_solver, or take eval_divergence exact !!!"
                )

    @torch.no_grad()
    def example_images(self):
        """Data, learnt density and samples of a flow in the plane; None for others."""
        if tuple(self.flow.base.shape) != (2,):
            return None
        batches = self.trainer.datamodule.val_dataloader()
        pairs = [self.unpack(batch) for batch in itertools.islice(batches, 8)]
        if any(context is not None for _, context in pairs):
            return None
        x = torch.cat([x for x, _ in pairs]).to(self.device)
        return enlarge(density_triptych(self.flow.log_prob, x, self.generate(len(x)), 64, 2)).float() / 255

    def save_samples(self, samples, out, first):
        """`samples_<first>.npz` with the array `samples`; in the plane also a picture `samples_<first>.png`."""
        paths = super().save_samples(samples, out, first)
        if samples.ndim == 2 and samples.shape[1] == 2:
            picture = points_image(samples, square_around(samples))
            paths.append(write_png(paths[0].with_suffix(".png"), picture))
        return paths

    # Parameters that the objective does not reach take no part in training: DDP would wait for their gradients.

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.objective in ("flow_matching", "reflow"):
            self._frozen = [p for p in unmatched_parameters(self.flow) if p.requires_grad]
            for parameter in self._frozen:
                parameter.requires_grad_(False)

    def teardown(self, stage: str) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []
        super().teardown(stage)
