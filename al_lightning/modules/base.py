"""What AL and BP modules share: evaluation, metrics, calibration, schedulers and checks."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal, TypeAlias, cast

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau as TorchPlateau
from torchmetrics import MeanMetric, Metric

from al_lightning.modules.repeatable import RepeatableModule
from al_lightning.targets import classes as targets

Batch: TypeAlias = "tuple[Tensor, Tensor]"
Interval: TypeAlias = Literal["epoch", "step"]


class Classifier(RepeatableModule):
    """Abstract base of :class:`ALModule` and :class:`BPModule`; a batch is ``(x, y)``, ``y`` (B,) int64.

    Args:
        num_classes: K.
        class_names: K names for predictions; numbers if None.
        optimizer: any callable from parameters to an optimizer.
        lr_scheduler: any callable from an optimizer to a scheduler, or None.
        lr_scheduler_interval: whether schedulers step per ``"epoch"`` or per ``"step"`` (optimizer round).
        gradient_clip_norm: largest 2-norm of a gradient, or None.
        accumulate_batches: batches whose gradients make one optimizer round.
        paths: number of inference paths that are evaluated one by one; 0 if there is just one.

    Raises:
        ValueError: if an argument is out of its range.
    """

    #: What checkpoints and early stopping watch.
    monitor: ClassVar[str] = "val_acc"
    mode: ClassVar[str] = "max"
    run_time_arguments: ClassVar[frozenset[str]] = frozenset({"path_length", "compile_layers", "compile_net"})
    unrecorded_arguments: ClassVar[frozenset[str]] = run_time_arguments

    temperatures: Tensor
    #: Shape of one sample, checked before the first layer sees a batch; set by image networks.
    input_shape: tuple[int, ...] | None = None

    def __init__(
        self,
        num_classes: int,
        class_names: list[str] | None,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
        lr_scheduler_interval: Interval,
        gradient_clip_norm: float | None,
        accumulate_batches: int,
        paths: int,
    ) -> None:
        super().__init__()
        self.target = targets.ClassTarget(num_classes)
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"Expected `class_names` to hold num_classes={num_classes} names, but got {len(class_names)}."
            )
        if gradient_clip_norm is not None and not gradient_clip_norm > 0:
            raise ValueError(f"Expected `gradient_clip_norm` to be above 0, but got {gradient_clip_norm}.")
        if accumulate_batches < 1:
            raise ValueError(f"Expected `accumulate_batches` to be at least 1, but got {accumulate_batches}.")
        if lr_scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                f"Expected `lr_scheduler_interval` to be 'epoch' or 'step', but got {lr_scheduler_interval!r}."
            )
        self.num_classes = num_classes
        self.class_names = class_names or [str(k) for k in range(num_classes)]
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_scheduler_interval = lr_scheduler_interval
        self.gradient_clip_norm = gradient_clip_norm
        self.accumulate_batches = accumulate_batches
        names = ["acc", *(f"acc_path{k}" for k in range(1, paths + 1))]
        self.metrics = nn.ModuleDict(
            {f"{stage}_{name}": self.target.accuracy() for stage in ("val", "test") for name in names}
        )
        # Lightning's own mean over processes divides their samples as integers. What is no number stays none.
        self.losses = nn.ModuleDict({stage: MeanMetric(nan_strategy=math.nan) for stage in ("val", "test")})
        self.calibration = nn.ModuleList(targets.FittedTemperature() for _ in range(max(paths, 1)))
        self.register_buffer("temperatures", torch.ones(max(paths, 1)))

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, K) of the module's own path."""

    @abstractmethod
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The loss of a batch and the scores (B, K) of every inference path."""

    @abstractmethod
    def path_index(self) -> int:
        """Which of the paths that ``evaluate`` returns is the module's own."""

    @abstractmethod
    def inference_parameters(self) -> int:
        """Number of parameters that ``forward`` uses."""

    def training_parameters(self) -> int:
        """Number of parameters that training updates."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    # ------------------------------------------------------------------ evaluation

    def probabilities(self, scores: Tensor, path_length: int | None = None) -> Tensor:
        """Calibrated class probabilities, ``softmax(scores / T_k)``.

        Args:
            scores: (B, K), as ``forward`` returns them.
            path_length: k, the path that made them; the module's own if None.

        Returns:
            (B, K) float32; T_k is fitted on validation data during ``fit`` and kept in the checkpoint.
        """
        index = self.path_index() if path_length is None else path_length - 1
        return self.target.probabilities(scores, self.temperatures[index])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log ``val_loss`` and accuracies; remember scores for the temperatures."""
        for fit, path in zip(self._fits(), self._evaluate(batch, "val")):
            if self._calibrates():
                fit.update(path, batch[1])

    def on_validation_epoch_end(self) -> None:
        """Fit one temperature a path, before the checkpoint of this epoch is written."""
        if not self._calibrates():
            return
        for index, fit in enumerate(self._fits()):
            if not fit.scores:  # a process without a validation sample still takes part
                fit.update(self.temperatures.new_empty(0, self.num_classes), torch.empty(0, dtype=torch.long))
            self.temperatures[index] = fit.compute()
            fit.reset()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log ``test_loss`` and accuracies."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """Calibrated probabilities (B, K); labels, if any, are not looked at."""
        # A NamedTuple of tensors, such as tokens with their lengths, is an input without labels.
        x = batch[0] if type(batch) in (tuple, list) else batch
        return self.probabilities(self(x))

    def _fits(self) -> list[targets.FittedTemperature]:
        return cast("list[targets.FittedTemperature]", list(self.calibration))

    def _calibrates(self) -> bool:
        return self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking

    def _evaluate(self, batch: Batch, stage: str) -> list[Tensor]:
        x, y = batch
        self.target.check(y)
        loss, paths = self.evaluate(x, y)
        mean = cast(MeanMetric, self.losses[stage])
        mean.update(loss, len(y))
        self.log(f"{stage}_loss", mean, batch_size=len(y))
        own = {"acc": paths[self.path_index()]}
        numbered = {f"acc_path{k}": scores for k, scores in enumerate(paths, 1)}
        for name, scores in {**own, **numbered}.items():
            if f"{stage}_{name}" in self.metrics:
                metric = self.metrics[f"{stage}_{name}"]
                assert isinstance(metric, Metric)
                metric.update(scores, y)
                self.log(f"{stage}_{name}", metric, prog_bar=name == "acc", batch_size=len(y))
        return paths

    def log_train_loss(self, loss: Tensor, batch_size: int) -> None:
        """The batch's loss on the progress bar, the epoch's mean in the logs (as ``train_loss``)."""
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=batch_size)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=batch_size, sync_dist=True)

    # ------------------------------------------------------------------ checks

    def check_input(self, x: Tensor) -> None:
        """Refuse samples of another shape than the network was built for.

        Raises:
            ValueError: naming both shapes and the arguments that set them.
        """
        if self.input_shape is None or tuple(x.shape[1:]) == self.input_shape:
            return
        channels, size, _ = self.input_shape
        raise ValueError(
            f"Expected images of shape (B, {channels}, {size}, {size}), because in_channels={channels} and "
            f"image_size={size}, but got {tuple(x.shape)}. Set `in_channels` and `image_size` of the model to "
            "the data's, or `image_size` of the data to the model's."
        )

    def check_finite(self, names: list[str], losses: Tensor, y: Tensor, batch_idx: int) -> None:
        """Stop the run at the first loss that is not a number.

        Args:
            names: what each loss is called in the message.
            losses: (len(names),), on any device; read once.
            y: the batch's labels, which may be the reason.
            batch_idx: number of the batch in its epoch.

        Raises:
            FloatingPointError: naming loss, batch and the checkpoint that is still good.
            ValueError: if a label is no class.
        """
        if bool(torch.isfinite(losses).all()):
            return
        self.target.check(y)
        name, value = next((n, v) for n, v in zip(names, losses.tolist()) if v - v != 0)
        saved = self.trainer.checkpoint_callback
        path = getattr(saved, "last_model_path", "") or getattr(saved, "best_model_path", "")
        kept = f"The last good checkpoint is {path}." if path else "No checkpoint was written before."
        raise FloatingPointError(
            f"Expected finite losses, but the {name} became {value} at batch {batch_idx} of epoch "
            f"{self.current_epoch}. Lower the learning rate, set `gradient_clip_norm`, or look for infinities "
            f"in the data. {kept}"
        )

    def on_fit_end(self) -> None:
        """Say so when there was nothing to train on: Lightning only warns.

        Raises:
            ValueError: if the training loader was empty.
        """
        if self.trainer.num_training_batches == 0 and self.trainer.limit_train_batches != 0:
            raise ValueError(
                "Expected at least one batch to train on, but the training loader is empty. "
                "Look at `root`, `val_fraction` and `drop_last` of the data."
            )

    # ------------------------------------------------------------------ schedulers

    def _check_labels(self, y: Tensor) -> None:
        """On the CPU looking is free; an accelerator finds out at the loss, which is read once a batch."""
        if y.device.type == "cpu":
            self.target.check(y)

    def _schedules(self, optimizers: list[Optimizer]) -> list[dict[str, Any]]:
        if self.lr_scheduler is None:
            return []
        schedules: list[dict[str, Any]] = []
        for number, optimizer in enumerate(optimizers, 1):
            scheduler = self.lr_scheduler(optimizer)
            if isinstance(scheduler, TorchPlateau) and not isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    "Expected a scheduler that knows its metric, but got torch's ReduceLROnPlateau. "
                    "Use lightning.pytorch.cli.ReduceLROnPlateau with `monitor`."
                )
            schedule: dict[str, Any] = {"scheduler": scheduler, "interval": self.lr_scheduler_interval}
            if len(optimizers) > 1:
                schedule["name"] = f"lr_layer{number}"
            if isinstance(scheduler, ReduceLROnPlateau):
                schedule["monitor"] = scheduler.monitor
            schedules.append(schedule)
        return schedules
