"""What a data module needs in a run, whatever it reads: prepared batches, and checkpoints that rebuild it."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar
from weakref import WeakSet

import lightning.pytorch as pl
from lightning.pytorch.core.saving import load_hparams_from_yaml
from torch import Tensor
from typing_extensions import Self

from al_lightning.checkpoints import contents
from al_lightning.checkpoints.recipe import Recorded
from al_lightning.targets.base import Target

#: Versions of ``on_after_batch_transfer`` that are extended already.
_EXTENDED: WeakSet[Callable[..., Any]] = WeakSet()


class RunDataModule(Recorded, pl.LightningDataModule):
    """Abstract base of all data modules: batches are prepared on their device, and recipes rebuild the module."""

    found_arguments: ClassVar[frozenset[str]] = frozenset({"class_names", "vocabulary", "augment", "image_size"})
    #: Type of what loaders of this kind yield; other batches, of a user's own loaders, are passed on as they are.
    raw_batch: ClassVar[type] = object
    _target: Target | None = None

    @property
    def target(self) -> Target | None:
        """What is learned, found in the training split when it is first asked for; None where labels are classes."""
        if self._target is None:
            self._target = self.find_target()
        return self._target

    @target.setter
    def target(self, target: Target | None) -> None:
        self._target = target

    def find_target(self) -> Target | None:
        """What is learned, where labels are no class numbers: a target that fits the training labels."""
        return None

    @abstractmethod
    def prepare(self, batch: Any, training: bool = False, epoch: int = 0) -> tuple[Any, Tensor]:
        """Turn what a loader of this module yields into ``(x, y)``, on the device that the batch is on.

        With ``training``, samples are augmented if the module does so at all, at random for each ``epoch``.
        """

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Prepare a batch; called by Lightning when the batch is on its device, before a subclass's own version."""
        trainer = self.trainer
        if trainer is None or type(batch) is tuple or not isinstance(batch, self.raw_batch):
            return batch  # prepared already, or of another loader
        return self.prepare(batch, training=trainer.training, epoch=trainer.current_epoch)

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Let a subclass's ``on_after_batch_transfer`` see prepared batches, whether it calls ``super()`` or not."""
        super().__init_subclass__(**arguments)
        own = cls.on_after_batch_transfer  # it may stand in the class or come from a mixin
        if own is RunDataModule.on_after_batch_transfer or own in _EXTENDED:
            return

        @functools.wraps(own)
        def extended(self: RunDataModule, batch: Any, dataloader_idx: int) -> Any:
            prepared = RunDataModule.on_after_batch_transfer(self, batch, dataloader_idx)
            return own(self, prepared, dataloader_idx)

        _EXTENDED.add(extended)
        cls.on_after_batch_transfer = extended  # type: ignore[method-assign]

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: contents.MapLocation = None,
        hparams_file: str | Path | None = None,
        weights_only: bool | None = None,
        **overrides: Any,
    ) -> Self:
        """Build the data module that a checkpoint was trained on.

        Args:
            checkpoint_path: a file written by a Trainer, an address such as ``https://...``, or an open file.
            map_location: where to put what is read, as in ``torch.load``.
            hparams_file: a yaml file of constructor arguments that replace the checkpoint's.
            weights_only: whether to read plain types only; True if None. False is only for a file that you trust.
            **overrides: constructor arguments that replace the checkpoint's.

        Raises:
            ValueError: if the checkpoint does not describe data, or those of another class.
        """
        arguments = {**(load_hparams_from_yaml(hparams_file) if hparams_file else {}), **overrides}
        checkpoint = contents.read_checkpoint(checkpoint_path, map_location, weights_only is not False)
        return contents.rebuild_data(cls, checkpoint, str(checkpoint_path), arguments)
