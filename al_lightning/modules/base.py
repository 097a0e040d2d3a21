"""What AL and BP modules share: a target, evaluation, calibration, and checkpoints that know how they were built."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeAlias, cast

from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Unpack

from al_lightning.callbacks.run_care import calibrates
from al_lightning.modules.batches import in_own_dtype, split_batch
from al_lightning.modules.options import LearningOptions, check_learning
from al_lightning.modules.run import RunModule
from al_lightning.nn.inputs import InputCheck
from al_lightning.nn.path import Readout
from al_lightning.nn.sequence import Tokens
from al_lightning.targets.base import Target
from al_lightning.training import randomness
from al_lightning.training.finite import first_bad, raise_not_finite, warn_of_bad_samples
from al_lightning.training.losses import LossMeans
from al_lightning.training.reduction import data_share
from al_lightning.training.schedules import Interval
from al_lightning.training.stage import of_all_stages

#: What a loader yields: ``(x, y)``, an input (B, ...) or a NamedTuple of tensors, and labels (B, ...).
Batch: TypeAlias = Any


class SupervisedModule(RunModule):
    """Abstract base of :class:`ALModule` and :class:`BPModule`; a batch is ``(x, y)``.

    Args:
        target: what is learned.
        readouts: names of the ways to scores that are evaluated one by one; none if there is just one.
        losses: from the name of a loss behind ``train_`` to the numbers of the losses that it is the sum of.
        learning: see :class:`~al_lightning.modules.options.LearningOptions`; all of them.

    Raises:
        ValueError: if an argument is out of its range.
    """

    unrecorded_arguments: ClassVar[frozenset[str]] = frozenset(
        {"path_length", "confidence", "compile_layers", "compile_net"}
    )
    run_time_arguments: ClassVar[frozenset[str]] = unrecorded_arguments | {"readout"}

    def __init__(
        self,
        target: Target,
        *,
        readouts: Sequence[str],
        losses: dict[str, list[int]],
        **learning: Unpack[LearningOptions],
    ) -> None:
        super().__init__()
        self.target = target
        #: The metric that checkpoints, early stopping and experiments watch, and whether large is good.
        self.monitor: str = f"val_{target.monitor}"
        self.mode: str = target.mode
        self.optimizer = learning["optimizer"]
        self.lr_scheduler = learning["lr_scheduler"]
        self.lr_scheduler_interval: Interval = learning["lr_scheduler_interval"]
        self.gradient_clip_norm = learning["gradient_clip_norm"]
        self.accumulate_grad_batches = learning["accumulate_grad_batches"]
        check_learning(self.gradient_clip_norm, self.accumulate_grad_batches, self.lr_scheduler_interval)
        #: Refuses inputs that the network was not built for; set by an architecture.
        self.input_check: InputCheck | None = None
        endings = ["", *(f"_{name}" for name in readouts)]
        self.metrics = nn.ModuleDict(
            {
                f"{stage}_{name}{ending}": metric
                for stage in ("val", "test")
                for ending in endings
                for name, metric in target.metrics().items()
            }
        )
        # Not Lightning's own mean: over processes it divides by samples as integers. NaN stays NaN.
        named = {"train": losses, "val": losses, "test": {"loss": losses["loss"]}}  # a test's table is long enough
        self.loss_means = nn.ModuleDict(
            {f"{stage}_losses": LossMeans({f"{stage}_{n}": w for n, w in own.items()}) for stage, own in named.items()}
        )
        self.calibration = target.calibration(max(len(readouts), 1))

    @abstractmethod
    def forward(self, x: Any) -> Tensor:
        """Scores (B, width) of the module's own path."""

    @abstractmethod
    def evaluate(self, x: Any, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The losses of a batch, (n,), and scores (B, width) by the name of the read-out that made them."""

    @abstractmethod
    def scoring_network(self) -> nn.Module:
        """What computes scores from inputs."""

    @abstractmethod
    def active_readouts(self) -> list[str]:
        """Names of the read-outs that :meth:`evaluate` returns, in its order: the first of all."""

    @abstractmethod
    def readout_name(self, path_length: int | None = None, readout: Readout | None = None) -> str:
        """Name of a read-out, by path length and way of reading; each the module's own if None."""

    @abstractmethod
    def inference_parameters(self) -> int:
        """Number of parameters that ``forward`` uses."""

    def training_parameters(self) -> int:
        """Number of parameters that training updates."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    # ------------------------------------------------------------------ evaluation

    def predictions(self, scores: Tensor, path_length: int | None = None, readout: Readout | None = None) -> Tensor:
        """What scores say: calibrated probabilities for classes, else what the target kind makes of them.

        Args:
            scores: (B, width), as ``forward`` returns them.
            path_length: the path that made them; the module's own if None.
            readout: how they were read out of it; the module's own way if None.

        Returns:
            (B, ...) predictions, at least float32.
        """
        number = self.active_readouts().index(self.readout_name(path_length, readout))
        return self.calibration.read(scores, number)

    def probabilities(self, scores: Tensor, path_length: int | None = None, readout: Readout | None = None) -> Tensor:
        """Calibrated class probabilities ``softmax(scores / T)``, (B, K) float32: :meth:`predictions` of classes.

        T of every path and read-out is fitted on validation data during ``fit`` and kept in the checkpoint.
        """
        return self.predictions(scores, path_length, readout)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log ``val_loss`` and metrics; remember scores for the calibration."""
        y, scores = self._evaluate(batch, "val")
        if calibrates(self.trainer):
            self.calibration.update(list(scores.values()), y)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log ``test_loss`` and metrics."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Predictions (B, ...); labels, if any, are not looked at."""
        # A NamedTuple is one input, but not for a network that reads tensors or tokens.
        known = self.input_check is not None and not isinstance(batch, Tokens)
        labelled = isinstance(batch, (tuple, list)) if known else type(batch) in (tuple, list)
        return self.answer(batch[0] if labelled else batch)

    def answer(self, x: Any) -> Tensor:
        """Predictions (B, ...) of inputs; those that are no numbers are warned of."""
        return self.predictions(warn_of_bad_samples(self(x)))

    def remember_scores(self, batch: Batch) -> None:
        """Let the calibration see a validation batch that a ``validation_step`` of one's own did not show it."""
        x, y = self.read_batch(batch)
        self.calibration.update(list(self.evaluate(x, y)[1].values()), y)

    def _evaluate(self, batch: Batch, stage: str) -> tuple[Tensor, dict[str, Tensor]]:
        x, y = self.read_batch(batch)
        losses, scores = self.evaluate(x, y)
        means = cast(LossMeans, self.loss_means[f"{stage}_losses"])
        means.add(losses, len(y))
        for name, mean in means.named(len(losses)).items():
            self.log(name, mean, batch_size=len(y))
        measured = {name: self.target.measured(own) for name, own in scores.items()}
        endings = {"": measured[self.readout_name()], **{f"_{name}": own for name, own in measured.items()}}
        for ending, own in endings.items():
            for name in self.target.metrics():
                if f"{stage}_{name}{ending}" in self.metrics:
                    metric = self.metrics[f"{stage}_{name}{ending}"]
                    assert isinstance(metric, Metric)
                    metric.update(own, y)
                    bar = not ending and name == self.target.monitor
                    self.log(f"{stage}_{name}{ending}", metric, prog_bar=bar, batch_size=len(y))
        return y, scores

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

    def check_finite(self, losses: Tensor, name: Callable[[int], str], y: Tensor | None, batch_idx: int) -> None:
        """Stop the run at the first loss that is infinite or NaN.

        Args:
            losses: (n,), on any device; read once.
            name: what each loss is called in the message, by its number from 0.
            y: the batch's labels, which may be the reason; None where they are not known.
            batch_idx: number of the batch in its epoch.

        Raises:
            FloatingPointError: naming loss, batch and the checkpoint that is still good.
            ValueError: if a label is none.
        """
        bad = first_bad(losses)
        if bad is not None:
            if y is not None:
                self.target.check(y)
            raise_not_finite(self.trainer, f"{name(bad)} became {losses[bad].item()}", batch_idx)

    def log_train_losses(self, losses: Tensor, samples: int, first: int = 0, total: int | None = None) -> None:
        """Keep a batch's losses for the epoch's means; log its own every ``log_every_n_steps`` batches.

        Args:
            losses: (n,) the batch's losses, detached; of this process's layers, if others train the rest.
            samples: how many samples the batch has.
            first: number of the first of them.
            total: how many losses the batch has in all processes; n if None.
        """
        total = len(losses) if total is None else total
        means = cast(LossMeans, self.loss_means["train_losses"])
        for name, mean in means.add(losses, samples, first, total).items():
            self.log(name, mean, on_step=False, on_epoch=True, prog_bar=name == "train_loss", batch_size=samples)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by the Trainer
        if every and (self.trainer.fit_loop.epoch_loop.total_batch_idx + 1) % every == 0:
            for name, loss in means.of_step(of_all_stages(self.trainer, losses, first, total)).items():
                if self.loggers or name == "train_loss_step":
                    self.log(name, loss, prog_bar=name == "train_loss_step", batch_size=samples)
