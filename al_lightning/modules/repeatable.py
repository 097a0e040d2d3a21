"""What makes a run repeatable: its seed, the agreement of its processes, and its checkpoints."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import Self

from al_lightning.checkpoints import recipe
from al_lightning.checkpoints.contents import check_checkpoint, describe, describe_arguments, read_checkpoint
from al_lightning.training import randomness
from al_lightning.training import reduction as parallel
from al_lightning.training.rank_watch import RankWatch


class RepeatableModule(recipe.Recorded, pl.LightningModule):
    """A LightningModule whose runs can be repeated, spread over processes, killed, and resumed to the same end."""

    def __init__(self) -> None:
        super().__init__()
        #: Where the random numbers of :meth:`stream` start from; chosen when a run starts, kept in checkpoints.
        self.run_seed: int | None = None

    # ------------------------------------------------------------------ randomness

    def on_fit_start(self) -> None:
        """Fix the run's seed: the checkpoint's, or Lightning's, or one drawn by rank 0 for all."""
        if self.run_seed is None:
            given = randomness.given_seed()
            seed = given if given is not None else secrets.randbits(32)
            self.run_seed = self.trainer.strategy.broadcast(seed)

    def stream(self, number: int, batch_idx: int) -> AbstractContextManager[None]:
        """Random numbers of a layer on a batch, a function of (run seed, rank, layer, epoch, batch) alone.

        Args:
            number: of the layer, from 1; 0 for a network as a whole.
            batch_idx: number of the batch in its epoch.

        Returns:
            A context in which they are drawn.
        """
        assert self.run_seed is not None
        return randomness.fork(self.device, self.run_seed, self.global_rank, number, self.current_epoch, batch_idx)

    # ------------------------------------------------------------------ several processes

    def setup(self, stage: str) -> None:
        """Refuse, before anything can hang, strategies that cannot work and processes that were started differently.

        Raises:
            ValueError: naming what differs, or the strategy and the reason.
        """
        if stage != "fit":
            return
        self.check_strategy()
        parallel.check_agreement(self._told())

    def on_train_start(self) -> None:
        """Refuse processes that would wait for each other's batches for ever.

        Raises:
            ValueError: if processes have different numbers of batches.
        """
        parallel.check_agreement([("the number of training batches", str(self.trainer.num_training_batches))])

    def on_validation_start(self) -> None:
        """Validate on all processes what rank 0 keeps in its checkpoints."""
        parallel.share_buffers(self)

    def on_train_end(self) -> None:
        """End alike."""
        parallel.share_buffers(self)

    def _told(self) -> list[tuple[str, str]]:
        """What this process was told, and all others have to be told as well."""
        trainer = self.trainer
        shapes = [tuple(p.shape) for p in self.parameters()]
        data = self._data()
        return [
            *describe_arguments("the model", self),
            *(describe_arguments("the data", data) if data is not None else []),
            ("the list of the model's parameters", str(shapes)),
            *((f"the Trainer's `{n}`", str(getattr(trainer, n))) for n in ("precision", "max_epochs", "max_steps")),
            ("the checkpoint to go on from", str(trainer.ckpt_path)),
        ]

    def _data(self) -> recipe.Recorded | None:
        """The run's data module, if it is one of this package's."""
        data = getattr(self.trainer, "datamodule", None)
        return data if isinstance(data, recipe.Recorded) else None

    def configure_callbacks(self) -> list[Callback]:
        """Watch the other processes, where there are any."""
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        watched = any(isinstance(callback, RankWatch) for callback in callbacks)  # by an earlier fit
        return [RankWatch()] if self.trainer.world_size > 1 and not watched else []

    def check_strategy(self) -> None:
        """Refuse strategies that cannot train the module; any can by default."""

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the run's seed, and how to rebuild the module and its data, in plain types."""
        run = {"run_seed": self.run_seed, "processes": self.trainer.world_size}
        checkpoint["al_lightning"] = {**describe(self, self._data()), **run}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network with a sentence instead of a list of keys; take the seed back."""
        check_checkpoint(self, checkpoint)
        run = checkpoint.get("al_lightning", {})
        self.run_seed = run.get("run_seed")
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            data = self._data()
            before = (run.get("data") or {}).get("init_args", {}).get("batch_size")
            now = None if data is None else data.plain_arguments().get("batch_size")
            parallel.tell_changes((run.get("processes"), self.trainer.world_size), (before, now))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str | None = None,
        **overrides: Any,
    ) -> Self:
        """Rebuild a trained module from its checkpoint alone.

        Args:
            checkpoint_path: a file written by a Trainer.
            map_location: where to put the weights.
            **overrides: constructor arguments that replace the checkpoint's; needed for what no checkpoint of
                plain types holds, such as ``layers``.

        Returns:
            The module in evaluation mode.

        Raises:
            ValueError: if the checkpoint is of another class, or was built by hand and ``overrides`` lack the
                arguments.
        """
        checkpoint = read_checkpoint(checkpoint_path, map_location)
        model = checkpoint.get("al_lightning", {}).get("model")
        if model is None:
            try:
                module = cls(**overrides)
            except TypeError as error:
                raise ValueError(
                    f"{checkpoint_path} does not say how its module was built, because it was made by hand "
                    f"from parts. Pass the constructor's arguments beside the path ({error})."
                ) from None
        else:
            module = recipe.build(RepeatableModule, model, **overrides)
            if not isinstance(module, cls):
                raise ValueError(
                    f"Expected a checkpoint of {cls.__name__}, but {checkpoint_path} holds "
                    f"{type(module).__name__}. Call `{type(module).__name__}.load_from_checkpoint`."
                )
        check_checkpoint(module, checkpoint)
        module.load_state_dict(checkpoint["state_dict"])
        if map_location is not None:
            module.to(map_location)
        return module.eval()
