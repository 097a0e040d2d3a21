"""What AL and BP modules share: a target, evaluation, calibration, and checkpoints that know how they were built."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeAlias, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric

from al_lightning.callbacks.run_care import calibrates
from al_lightning.modules.batches import in_own_dtype, split_batch
from al_lightning.modules.run import RunModule
from al_lightning.nn.inputs import InputCheck
from al_lightning.nn.sequence import Tokens
from al_lightning.targets.base import Target
from al_lightning.training import randomness
from al_lightning.training.finite import first_bad, raise_not_finite
from al_lightning.training.losses import TrainingLosses
from al_lightning.training.reduction import data_share
from al_lightning.training.schedules import Interval

#: What a loader yields: ``(x, y)``, an input (B, ...) or a NamedTuple of tensors, and labels (B, ...).
Batch: TypeAlias = Any


class SupervisedModule(RunModule):
    """Abstract base of :class:`ALModule` and :class:`BPModule`; a batch is ``(x, y)``.

    Args:
        target: what is learned.
        optimizer: any callable from parameters to an optimizer.
        lr_scheduler: any callable from an optimizer to a scheduler, or None.
        lr_scheduler_interval: whether schedulers step per ``"epoch"`` or per ``"step"`` (optimizer step).
        gradient_clip_norm: largest 2-norm of a gradient, or None.
        accumulate_grad_batches: batches whose gradients make one optimizer step.
        paths: number of inference paths that are evaluated one by one; 0 if there is just one.
        losses: from the log's name of a training loss to the numbers of the losses that it is the sum of.

    Raises:
        ValueError: if an argument is out of its range.
    """

    run_time_arguments: ClassVar[frozenset[str]] = frozenset({"path_length", "compile_layers", "compile_net"})
    unrecorded_arguments: ClassVar[frozenset[str]] = run_time_arguments

    def __init__(
        self,
        target: Target,
        *,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
        lr_scheduler_interval: Interval,
        gradient_clip_norm: float | None,
        accumulate_grad_batches: int,
        paths: int,
        losses: dict[str, list[int]],
    ) -> None:
        super().__init__()
        if gradient_clip_norm is not None and not gradient_clip_norm > 0:
            raise ValueError(f"Expected `gradient_clip_norm` to be above 0, but got {gradient_clip_norm}.")
        if accumulate_grad_batches < 1:
            raise ValueError(f"Expected `accumulate_grad_batches` to be at least 1, but got {accumulate_grad_batches}.")
        if lr_scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                f"Expected `lr_scheduler_interval` to be 'epoch' or 'step', but got {lr_scheduler_interval!r}."
            )
        self.target = target
        #: The metric that checkpoints, early stopping and experiments watch, and whether large is good.
        self.monitor: str = f"val_{target.monitor}"
        self.mode: str = target.mode
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_interval: Interval = lr_scheduler_interval
        self.gradient_clip_norm = gradient_clip_norm
        self.accumulate_grad_batches = accumulate_grad_batches
        #: Refuses inputs that the network was not built for; set by an architecture.
        self.input_check: InputCheck | None = None
        endings = ["", *(f"_path{k}" for k in range(1, paths + 1))]
        self.metrics = nn.ModuleDict(
            {
                f"{stage}_{name}{ending}": metric
                for stage in ("val", "test")
                for ending in endings
                for name, metric in target.metrics().items()
            }
        )
        # Not Lightning's own mean: over processes it divides by samples as integers. NaN stays NaN.
        self.eval_losses = nn.ModuleDict({stage: MeanMetric(nan_strategy=math.nan) for stage in ("val", "test")})
        self.train_losses = TrainingLosses(losses)
        self.calibration = target.calibration(max(paths, 1))

    @abstractmethod
    def forward(self, x: Any) -> Tensor:
        """Scores (B, width) of the module's own path."""

    @abstractmethod
    def evaluate(self, x: Any, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The loss of a batch and the scores (B, width) of every inference path."""

    @abstractmethod
    def scoring_network(self) -> nn.Module:
        """What computes scores from inputs."""

    @abstractmethod
    def path_index(self) -> int:
        """Which of the paths that ``evaluate`` returns is the module's own."""

    @abstractmethod
    def path_count(self) -> int:
        """How many paths ``evaluate`` returns."""

    @abstractmethod
    def inference_parameters(self) -> int:
        """Number of parameters that ``forward`` uses."""

    def training_parameters(self) -> int:
        """Number of parameters that training updates."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    # ------------------------------------------------------------------ evaluation

    def predictions(self, scores: Tensor, path_length: int | None = None) -> Tensor:
        """What scores say: calibrated probabilities for classes, else what the target kind makes of them.

        Args:
            scores: (B, width), as ``forward`` returns them.
            path_length: the path that made them; the module's own if None.

        Returns:
            (B, ...) predictions, at least float32.
        """
        return self.calibration.read(scores, self.path_index() if path_length is None else path_length - 1)

    def probabilities(self, scores: Tensor, path_length: int | None = None) -> Tensor:
        """Calibrated class probabilities ``softmax(scores / T_k)``, (B, K) float32: :meth:`predictions` of classes.

        T_k is fitted on validation data during ``fit`` and kept in the checkpoint.
        """
        return self.predictions(scores, path_length)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log ``val_loss`` and metrics; remember scores for the calibration."""
        y, paths = self._evaluate(batch, "val")
        if calibrates(self.trainer):
            self.calibration.update(paths, y)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log ``test_loss`` and metrics."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Predictions (B, ...); labels, if any, are not looked at."""
        # A NamedTuple is one input, but not for a network that reads tensors or tokens.
        known = self.input_check is not None and not isinstance(batch, Tokens)
        labelled = isinstance(batch, (tuple, list)) if known else type(batch) in (tuple, list)
        return self.predictions(self(batch[0] if labelled else batch))

    def remember_scores(self, batch: Batch) -> None:
        """Let the calibration see a validation batch that a ``validation_step`` of one's own did not show it."""
        x, y = self.read_batch(batch)
        self.calibration.update(self.evaluate(x, y)[1], y)

    def _evaluate(self, batch: Batch, stage: str) -> tuple[Tensor, list[Tensor]]:
        x, y = self.read_batch(batch)
        loss, paths = self.evaluate(x, y)
        mean = cast(MeanMetric, self.eval_losses[stage])
        mean.update(loss, len(y))
        self.log(f"{stage}_loss", mean, batch_size=len(y))
        numbered = {f"_path{k}": scores for k, scores in enumerate(paths, 1)}
        for ending, scores in {"": paths[self.path_index()], **numbered}.items():
            for name in self.target.metrics():
                if f"{stage}_{name}{ending}" in self.metrics:
                    metric = self.metrics[f"{stage}_{name}{ending}"]
                    assert isinstance(metric, Metric)
                    metric.update(scores, y)
                    bar = not ending and name == self.target.monitor
                    self.log(f"{stage}_{name}{ending}", metric, prog_bar=bar, batch_size=len(y))
        return y, paths

    # ------------------------------------------------------------------ training

    def stream(self, number: int, batch_idx: int) -> AbstractContextManager[None]:
        """Random numbers of a network on a batch, a function of (run seed, replica, number, epoch, batch) alone.

        Args:
            number: of a layer, from 1; 0 for a network as a whole.
            batch_idx: number of the batch in its epoch.

        Returns:
            A context in which they are drawn.
        """
        rank = data_share(self.trainer).rank
        place = (self.choose_run_seed(), rank, number, self.current_epoch, batch_idx)
        return randomness.fork(randomness.Purpose.LAYER, self.device, *place)

    def read_batch(self, batch: Batch) -> tuple[Any, Tensor]:
        """Samples and labels of a batch, the labels in the type that the target kind computes with.

        Looking at labels is free on the CPU. In training, an accelerator finds out at the loss, which is read once per
        batch.

        Raises:
            ValueError: if the batch is none, or cannot be learned, saying what was expected and what came.
        """
        x, y = split_batch(batch)
        if y.device.type == "cpu" or not self.training:
            self.target.check(y)
        return x, self.target.labels(y)

    def read_input(self, x: Any) -> Any:
        """Samples in the type that the network computes with.

        Raises:
            ValueError: if the network was not built for them, saying what was expected and what came.
        """
        if self.input_check is not None:
            self.input_check(x)
        return in_own_dtype(x, self.scoring_network())

    def check_finite(self, losses: Tensor, name: Callable[[int], str], y: Tensor, batch_idx: int) -> None:
        """Stop the run at the first loss that is infinite or NaN.

        Args:
            losses: (n,), on any device; read once.
            name: what each loss is called in the message, by its number from 0.
            y: the batch's labels, which may be the reason.
            batch_idx: number of the batch in its epoch.

        Raises:
            FloatingPointError: naming loss, batch and the checkpoint that is still good.
            ValueError: if a label is none.
        """
        bad = first_bad(losses)
        if bad is not None:
            self.target.check(y)
            raise_not_finite(self.trainer, f"{name(bad)} became {losses[bad].item()}", batch_idx)

    def log_train_losses(self, losses: Tensor, samples: int) -> None:
        """Keep a batch's losses for the epoch's means; log its own every ``log_every_n_steps`` batches.

        Args:
            losses: (n,) the batch's losses, detached.
            samples: how many samples the batch has.
        """
        for name, mean in self.train_losses.add(losses, samples).items():
            self.log(name, mean, on_step=False, on_epoch=True, prog_bar=name == "train_loss", batch_size=samples)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by the Trainer
        if every and (self.trainer.fit_loop.epoch_loop.total_batch_idx + 1) % every == 0:
            for name, loss in self.train_losses.of_step(losses).items():
                if self.loggers or name == "train_loss_step":
                    self.log(name, loss, prog_bar=name == "train_loss_step", batch_size=samples)
