"""What all data modules share: arguments, splits, label noise and loaders."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import lightning.pytorch as pl
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from al_lightning.checkpoints.recipe import Recorded
from al_lightning.data.loader import ResumableLoader
from al_lightning.data.samplers import BatchIndices, SequentialBatchIndices
from al_lightning.training import randomness

Split: TypeAlias = Literal["train", "val", "test", "predict"]
RawBatch = TypeVar("RawBatch")

# Streams of the data seed, one a purpose, so that none depends on another's draws.
_NOISE, _LOADER = 1, 2


def stratified_split(labels: Tensor, fraction: float, seed: int, what: str) -> tuple[Tensor, Tensor]:
    """Split samples in two, class by class.

    Args:
        labels: (N,) int64.
        fraction: share of the second part, in [0, 1).
        seed: names the split.
        what: the argument that asked for it, for the message.

    Returns:
        Sample numbers of the first and the second part, both sorted.

    Raises:
        ValueError: if a part would have no sample, or not one of each class.
    """
    everything = torch.arange(len(labels))
    if fraction == 0:
        return everything, everything[:0]
    try:
        first, second = train_test_split(
            everything.numpy(), test_size=fraction, random_state=seed, stratify=labels.numpy()
        )
    except ValueError as error:
        raise ValueError(
            f"Expected enough samples of every class to split off {what}={fraction}, but got "
            f"{len(labels)} samples ({error}). Use a larger set, or another {what}."
        ) from None
    return torch.as_tensor(first).sort().values, torch.as_tensor(second).sort().values


class ClassificationDataModule(Recorded, pl.LightningDataModule, Generic[RawBatch]):
    """Abstract base: a subclass says what its samples are and how a raw batch becomes ``(x, y)``.

    Args:
        root: folder that is searched for the data before the network is.
        batch_size: samples a batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns
            validation off.
        num_workers: loader processes; 0 is fastest for data in memory.
        seed: names split, label noise, order and augmentation.
        label_noise: share of the training split whose labels are redrawn uniformly over all K classes.
        noisy_validation: whether the validation split keeps redrawn labels.

    Raises:
        ValueError: if an argument is out of its range.
    """

    #: K.
    num_classes: int
    #: K names, in the order of the labels.
    class_names: list[str]
    run_time_arguments: ClassVar[frozenset[str]] = frozenset({"root", "batch_size", "num_workers", "predict_from"})
    unrecorded_arguments: ClassVar[frozenset[str]] = frozenset({"predict_from"})

    def __init__(
        self,
        root: str,
        batch_size: int,
        val_fraction: float,
        num_workers: int,
        seed: int,
        label_noise: float,
        noisy_validation: bool,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"Expected `batch_size` to be at least 1, but got {batch_size}.")
        if not 0 <= val_fraction < 1:
            raise ValueError(
                f"Expected `val_fraction` to be in [0, 1), but got {val_fraction}: "
                "1 would leave nothing to train on. Use 0 to turn validation off."
            )
        if num_workers < 0:
            raise ValueError(f"Expected `num_workers` to be at least 0, but got {num_workers}.")
        if seed < 0:
            raise ValueError(f"Expected `seed` to be at least 0, but got {seed}.")
        if not 0 <= label_noise <= 1:
            raise ValueError(f"Expected `label_noise` to be in [0, 1], but got {label_noise}.")
        self.root = root
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.num_workers = num_workers
        self.seed = seed
        self.label_noise = label_noise
        self.noisy_validation = noisy_validation

    @property
    def vocabulary(self) -> list[str] | None:
        """Words of a text set, ``<pad>`` and ``<unk>`` first; None where samples are no texts."""
        return None

    @abstractmethod
    def dataset(self, split: Split) -> Dataset[RawBatch]:
        """The data set that a split's sample numbers index, by whole batches."""

    @abstractmethod
    def indices(self, split: Split) -> Tensor:
        """Sample numbers of a split, (N,) int64."""

    def lengths(self, split: Split) -> Tensor | None:
        """Length of every sample, (all samples,) int64, where batches shall hold similar ones; else None."""
        return None

    @abstractmethod
    def prepare(self, batch: RawBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Turn what a loader yields into ``(x, y)``, on the batch's device."""

    def split_labels(self, labels: Tensor, wholes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Redraw labels and hold out a validation split.

        The split is drawn from the clean labels, so that it is the same for every ``label_noise``.

        Args:
            labels: (N,) int64, the clean labels of the training split.
            wholes: (N,) int64, the sample that each one is a part of, its own number for a whole; None if no
                sample is part of another. Only wholes validate, and no part of theirs trains.

        Returns:
            Labels with noise (N,), and the sample numbers for training and for validation.
        """
        if wholes is None:
            train, val = stratified_split(labels, self.val_fraction, self.seed, "val_fraction")
        else:
            everything = torch.arange(len(labels))
            own = everything[wholes == everything]
            _, chosen = stratified_split(labels[own], self.val_fraction, self.seed, "val_fraction")
            val = own[chosen]
            train = everything[~torch.isin(wholes, val)]
        generator = torch.Generator().manual_seed(randomness.derive_seed(self.seed, _NOISE))
        chosen = torch.randperm(len(labels), generator=generator)[: round(self.label_noise * len(labels))]
        noisy = labels.clone()
        noisy[chosen] = torch.randint(self.num_classes, (len(chosen),), generator=generator)
        if not self.noisy_validation:
            noisy[val] = labels[val]
        return noisy, train, val

    # ------------------------------------------------------------------ loaders

    def _loader(self, split: Split) -> DataLoader[Any]:
        indices = self.indices(split)
        if len(indices) == 0:
            raise ValueError(
                f"Expected at least one sample in the {split} split of {type(self).__name__}, but it is empty. "
                f"Look at the files under {self.root!r} and at `val_fraction`."
            )
        training = split == "train"
        trainer = self.trainer
        shuffle = training and not getattr(trainer, "overfit_batches", 0)
        sampler = (BatchIndices if shuffle else SequentialBatchIndices)(
            indices,
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            training=training,
            lengths=self.lengths(split),
        )
        return (ResumableLoader if training else DataLoader)(
            self.dataset(split),
            sampler=sampler,
            batch_size=None,  # the sampler makes batches: one indexing instead of B samples and a collate
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Own generator: starting an iteration draws a number, which must not come from the global stream.
            generator=torch.Generator().manual_seed(randomness.derive_seed(self.seed, _LOADER)),
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in a new seeded order each epoch."""
        return self._loader("train")

    def val_dataloader(self) -> Any:
        """Validation batches in order; none if ``val_fraction`` is 0."""
        return self._loader("val") if self.val_fraction > 0 else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test batches in order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches to predict, in order: the test split, or what ``predict_from`` names."""
        return self._loader("predict")

    def sample_names(self) -> list[str] | None:
        """Names of the samples to predict, or None for their numbers."""
        return None
