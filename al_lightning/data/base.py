"""The base of all data modules: arguments, splits and loaders, and one ``prepare`` for the batches of every loader."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from al_lightning.data.dataset import LabelledDataset, RawBatch
from al_lightning.data.loader import make_loader
from al_lightning.data.run import RunDataModule
from al_lightning.data.splits import TEST_SEED, are_class_numbers, hold_out, redraw_labels, split_samples
from al_lightning.training.randomness import Purpose
from al_lightning.training.reduction import data_share

Split: TypeAlias = Literal["train", "val", "test", "predict"]
Samples = TypeVar("Samples", bound=LabelledDataset[Any])
_HINTS = {"val_fraction": ": 1 would leave nothing to train on. Use 0 to turn validation off."}


class BaseDataModule(RunDataModule, Generic[RawBatch, Samples]):
    """Abstract base: a subclass loads splits and turns what a loader yields into ``(x, y)``.

    A batch that reaches the model is a plain tuple ``(x, y)``, on the model's device. Hooks may be overridden without
    ``super()``: loaders find their data without ``setup``, and ``on_after_batch_transfer`` gets prepared batches.

    Args:
        root: folder that is searched for the data before they are downloaded.
        batch_size: samples per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains; 0 is fastest for data in memory.
        seed: seed of the validation split, label noise, order and augmentation.
        label_noise: share of the training split (validation included) whose labels are redrawn uniformly from all
            classes. The validation split is drawn from the true labels, so that it is the same for every share.
        noisy_validation: whether redrawn labels stay in the validation split.
        train_samples: number of training samples to use (validation included), a seeded subset in the proportions of
            the whole; all if None.
        predict_from: what to predict instead of the test split; a path whose kind the subclass says.

    Raises:
        ValueError: if an argument is out of its range.
    """

    #: Number of classes; None where labels are no class numbers.
    num_classes: int | None = None
    #: Names of the classes in the order of their numbers, a list once the module is built; None without classes.
    class_names: Sequence[str] | None = None
    #: Share of the training split that becomes the test split, in sets that have no test split of their own.
    test_fraction: float = 0.2
    run_time_arguments: ClassVar[frozenset[str]] = frozenset({"root", "batch_size", "num_workers", "predict_from"})
    unrecorded_arguments: ClassVar[frozenset[str]] = frozenset({"predict_from"})

    def __init__(
        self,
        root: str,
        batch_size: int,
        val_fraction: float,
        num_workers: int,
        seed: int,
        *,
        label_noise: float = 0.0,
        noisy_validation: bool = True,
        train_samples: int | None = None,
        predict_from: str | None = None,
    ) -> None:
        super().__init__()
        ranges = {
            "batch_size": (batch_size, batch_size >= 1, "at least 1"),
            "val_fraction": (val_fraction, 0 <= val_fraction < 1, "in [0, 1)"),
            "num_workers": (num_workers, num_workers >= 0, "at least 0"),
            "seed": (seed, seed >= 0, "at least 0"),
            "label_noise": (label_noise, 0 <= label_noise <= 1, "in [0, 1]"),
            "train_samples": (train_samples, train_samples is None or train_samples >= 1, "at least 1"),
        }
        for name, (value, fits, expected) in ranges.items():
            if not fits:
                raise ValueError(f"Expected `{name}` to be {expected}, but got {value}{_HINTS.get(name, '.')}")
        self.root = root
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.num_workers = num_workers
        self.seed = seed
        self.label_noise = label_noise
        self.noisy_validation = noisy_validation
        self.train_samples = train_samples
        self.predict_from = predict_from
        if self.class_names is not None:
            self.class_names = list(self.class_names)  # own, so that no change reaches other instances
        self._datasets: dict[str, Samples] = {}
        self._indices: dict[str, Tensor] = {}
        self._names: list[str] | None = None

    # ------------------------------------------------------------------ what a subclass says

    def training_labels(self) -> Tensor:
        """Labels (N, ...) of the training split, without those that validate or test."""
        return self.dataset("train").labels[self.indices("train")]

    @property
    def vocabulary(self) -> list[str] | None:
        """Words of a text set, ``<pad>`` and ``<unk>`` first; None where samples are no texts."""
        return None

    @abstractmethod
    def load_split(self, split: Literal["train", "test"]) -> tuple[Samples, Tensor]:
        """Load a data set, and the numbers of the samples in it that make up the split, (N,) int64."""

    @abstractmethod
    def load_unlabelled(self, path: Path) -> tuple[Samples, list[str]]:
        """Load what ``predict_from`` names: a data set whose labels mean nothing, and a name for each sample."""

    def strata(self, labels: Tensor) -> Tensor | None:
        """What splits keep the proportions of, (N,) integers: the labels (N, ...) if they are class numbers.

        Override it to keep other proportions; None splits at random.
        """
        return labels if are_class_numbers(labels) else None

    def wholes(self, dataset: Samples, samples: Tensor) -> Tensor | None:
        """For sets whose samples are parts of others: which one each of some training samples (N,) is a part of.

        Override it to keep the parts of validation samples out of training.

        Returns:
            (N,) int64, positions in ``samples``, its own for a whole; None if no sample is a part of another.
        """
        return None

    # ------------------------------------------------------------------ splits

    def setup(self, stage: str) -> None:
        """Load what a stage needs and is not loaded yet; called by Lightning on every process."""
        self._load_stage(stage)

    def _load_stage(self, stage: str) -> None:
        if stage in ("fit", "validate") and "train" not in self._datasets:
            self._load_training()
        if stage == "predict" and self.predict_from is not None:
            dataset, self._names = self.load_unlabelled(Path(self.predict_from))
            self._datasets["predict"], self._indices["predict"] = dataset, torch.arange(len(dataset))
        elif stage in ("test", "predict") and stage not in self._datasets:
            dataset, samples = self._load("test")
            self._datasets |= {"test": dataset, "predict": dataset}
            self._indices |= {"test": dataset.long_to_short(samples), "predict": samples}

    def own_part(self, labels: Tensor, split: Literal["train", "test"]) -> Tensor:
        """Sample numbers of a split, sorted, for a set that has no test split of its own.

        The test split is a share of ``test_fraction`` of all ``labels`` (N, ...), the same for every ``seed``.
        """
        parts = split_samples(
            Purpose.TEST_SPLIT, len(labels), self.strata(labels), self.test_fraction, TEST_SEED, "test_fraction"
        )
        return parts[split == "test"]

    def dataset(self, split: Split) -> Samples:
        """The data set that a split's sample numbers index; loaded now if it is not loaded yet."""
        self._ready(split)
        return self._datasets[split]

    def indices(self, split: Split) -> Tensor:
        """Sample numbers of a split, (N,) int64."""
        self._ready(split)
        return self._indices[split]

    def lengths(self, split: Split) -> Tensor | None:
        """Length of every sample of the data set, by which training batches are made; other splits keep their order."""
        return self.dataset(split).lengths if split == "train" else None

    def sample_names(self) -> list[str] | None:
        """Names of the samples to predict if ``predict_from`` is set, else None: their numbers do."""
        return self._names

    def _ready(self, split: Split) -> None:
        """Load a split for someone who has no Trainer to call ``prepare_data`` and ``setup``, as in a notebook."""
        if split not in self._indices:
            self.prepare_data()
            self._load_stage({"train": "fit", "val": "fit", "test": "test", "predict": "predict"}[split])

    def _load(self, split: Literal["train", "test"]) -> tuple[Samples, Tensor]:
        dataset, samples = self.load_split(split)
        if len(samples) == 0:
            raise ValueError(
                f"Expected at least one sample in the {split} split of {type(self).__name__}, but it is empty. "
                f"Look at the files under {self.root!r}."
            )
        return dataset, samples

    def _load_training(self) -> None:
        dataset, samples = self._load("train")
        if self.train_samples is not None and self.train_samples < len(samples):
            share, strata = self.train_samples / len(samples), self.strata(dataset.labels[samples])
            purpose = Purpose.TRAINING_SUBSET
            _, kept = split_samples(purpose, len(samples), strata, share, self.seed, "train_samples as a share")
            dataset, samples = dataset.take(samples[kept])
        labels = dataset.labels[samples]
        strata, wholes = self.strata(labels), self.wholes(dataset, samples)
        train, val = hold_out(len(samples), strata, wholes, self.val_fraction, self.seed)
        if self.label_noise > 0:
            noisy = redraw_labels(labels, self.num_classes, self.label_noise, self.seed)
            if not self.noisy_validation:
                noisy[val] = labels[val]
            dataset.labels = dataset.labels.index_copy(0, samples, noisy)
        self._datasets |= {"train": dataset, "val": dataset}
        self._indices |= {"train": samples[train], "val": dataset.long_to_short(samples[val])}

    # ------------------------------------------------------------------ loaders

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in a new seeded order each epoch."""
        return self._loader("train")

    def train_evaluation_dataloader(self) -> DataLoader[Any]:
        """The training split in a fixed order, each sample once: to evaluate on what was trained."""
        return self._loader("train", evaluation=True)

    def val_dataloader(self) -> Any:
        """Validation batches in a fixed order; none if ``val_fraction`` is 0."""
        return self._loader("val") if self.val_fraction > 0 else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test batches in a fixed order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches to predict, in order: the test split, or what ``predict_from`` names."""
        return self._loader("predict")

    def _loader(self, split: Split, evaluation: bool = False) -> DataLoader[Any]:
        training, trainer = split == "train" and not evaluation, self.trainer
        shuffle = training and not getattr(trainer, "overfit_batches", 0)  # overfitting repeats the same batches
        return make_loader(
            self.dataset(split),
            self.indices(split),
            self.batch_size,
            share=data_share(trainer),
            seed=self.seed,
            training=training,
            shuffle=shuffle,
            lengths=None if evaluation else self.lengths(split),
            num_workers=self.num_workers,
        )
