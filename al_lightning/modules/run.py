"""What a module needs to be run, killed, resumed and rebuilt, whatever it computes."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.saving import load_hparams_from_yaml
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.compile import to_uncompiled
from typing_extensions import Self

from al_lightning.callbacks.run_care import RunCare, recorded_data
from al_lightning.checkpoints import contents, recipe
from al_lightning.training.agreement import shared_seed, tell_changes
from al_lightning.training.rank_watch import RankWatch
from al_lightning.training.stage import Arriving, training_share
from al_lightning.training.update import learns


class RunModule(recipe.Recorded, pl.LightningModule):
    """Abstract base of all modules: checkpoints say how the module was built, and its own callbacks come along.

    A subclass may override any hook without ``super()``: what must happen in every run stands in callbacks that the
    module brings, and the three hooks below are extended by a subclass's own versions, not replaced.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Where the random numbers of layers start from; chosen when a run starts, kept in checkpoints.
        self.run_seed: int | None = None
        self._compiled = False
        #: Callbacks that come along to every run.
        self.own_callbacks: list[Callback] = [RunCare()]

    @abstractmethod
    def check_trainer(self) -> None:
        """Refuse what the Trainer was told and this module cannot do, before a ``fit`` begins."""

    @abstractmethod
    def compile_parts(self) -> None:
        """Run what computes through ``torch.compile``, in place: names in checkpoints stay as they are."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Let a subclass's own versions of three hooks extend those of this class, with ``super()`` or without."""
        super().__init_subclass__(**arguments)
        for name in ("configure_callbacks", "on_save_checkpoint", "on_load_checkpoint"):
            own, ours = getattr(cls, name), getattr(RunModule, name)
            if own is not ours and own not in _EXTENDED:  # it may stand in the class or come from a mixin
                setattr(cls, name, _extended(ours, own))

    def choose_run_seed(self) -> int:
        """The run's seed: a checkpoint's, else Lightning's, else one that rank 0 draws now for all processes.

        Not only a callback chooses it when a run starts: Lightning's tuners train without any callback.
        """
        if self.run_seed is None:
            self.run_seed = shared_seed(self.trainer)
        return self.run_seed

    def configure_callbacks(self) -> list[Callback]:
        """Bring the module's own callbacks, but for those that an earlier run has left with the Trainer."""
        trainer = self.trainer
        if trainer.state.fn == TrainerFn.FITTING:
            if not learns(self):
                raise ValueError(
                    "Expected at least one parameter to train, but all are frozen (`requires_grad=False`). Unfreeze a "
                    "layer, or call `trainer.test` for what is trained already."
                )
            self.check_trainer()
        if self._compiler_ctx is not None:
            self._compile_parts_only()
        own = [*self.own_callbacks, *([RankWatch()] if trainer.world_size > 1 else [])]
        present = {type(callback) for callback in trainer.callbacks}  # type: ignore[attr-defined]
        return [callback for callback in own if type(callback) not in present]

    def _compile_parts_only(self) -> None:
        """Answer ``trainer.fit(torch.compile(module))``: compile what computes, and leave the steps alone.

        Optimizers, logs and checks break the graph of a step in dozens of places, and every name that is logged would
        compile another one.
        """
        to_uncompiled(self)
        for name in ("forward", "training_step", "validation_step", "test_step", "predict_step"):
            vars(self).pop(name, None)  # the class's own
        if not self._compiled:
            self.compile_parts()
            self._compiled = True

    def _on_before_batch_transfer(self, batch: Any, dataloader_idx: int = 0) -> Any:
        """Let hooks see batches only: a stage of a pipeline has nothing to show before it has received something."""
        return batch if isinstance(batch, Arriving) else super()._on_before_batch_transfer(batch, dataloader_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the run's seed, and how to rebuild the module and its data, to what a command said, in plain types."""
        run = {"run_seed": self.run_seed, "processes": training_share(self.trainer).replicas}
        said = checkpoint.get("al_lightning", {})
        checkpoint["al_lightning"] = {**said, **contents.describe(self, recorded_data(self.trainer)), **run}
        contents.make_plain(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network with a sentence instead of a list of keys; take the seed back."""
        contents.check_checkpoint(self, checkpoint, self.strict_loading)
        run = checkpoint.get("al_lightning", {})
        self.run_seed = run.get("run_seed")
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            data = recorded_data(self.trainer)
            before = (run.get("data") or {}).get("init_args", {}).get("batch_size")
            now = None if data is None else data.plain_arguments().get("batch_size")
            tell_changes((run.get("processes"), training_share(self.trainer).replicas), (before, now))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: contents.MapLocation = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **overrides: Any,
    ) -> Self:
        """Rebuild a trained module from its checkpoint alone.

        Args:
            checkpoint_path: a file written by a Trainer, an address such as ``https://...``, or an open file.
            map_location: where to put the weights, as in ``torch.load``; where they were if None and it is there.
            hparams_file: a yaml file of constructor arguments that replace the checkpoint's.
            strict: whether the names of all weights have to match; the module's ``strict_loading`` if None.
            weights_only: whether to read plain types only, as this package writes them; True if None. False runs code
                that may stand in the file: only for a file that you trust.
            **overrides: constructor arguments that replace the checkpoint's; needed for what no checkpoint of
                plain types holds, such as ``layers``.

        Returns:
            The module in evaluation mode.

        Raises:
            ValueError: if the checkpoint is of another class, or was built by hand and ``overrides`` lack the
                arguments.
        """
        arguments = {**(load_hparams_from_yaml(hparams_file) if hparams_file else {}), **overrides}
        checkpoint = contents.read_checkpoint(checkpoint_path, map_location, weights_only is not False)
        module: Self = contents.rebuild(cls, RunModule, checkpoint, str(checkpoint_path), arguments, strict)
        return module.eval()


#: Hooks that are extended already.
_EXTENDED: WeakSet[Callable[..., Any]] = WeakSet()


def _extended(care: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """A subclass's hook, after which the base's care is taken; lists that the two return are joined."""

    @functools.wraps(theirs)
    def hook(self: RunModule, *arguments: Any) -> Any:
        said, ours = theirs(self, *arguments), care(self, *arguments)
        if ours is None:
            return said
        given = list(said) if isinstance(said, Sequence) else [] if said is None else [said]
        return [*given, *(one for one in ours if type(one) not in {type(other) for other in given})]

    _EXTENDED.add(hook)
    return hook
