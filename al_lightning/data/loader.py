"""Loaders of whole batches; that of the training split can go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from al_lightning.data.dataset import LabelledDataset
from al_lightning.data.samplers import BatchIndices, SequentialBatchIndices
from al_lightning.training.randomness import Purpose, derive_seed
from al_lightning.training.reduction import Share


class ResumableLoader(DataLoader[Any]):
    """Whole batches in the order of a :class:`BatchIndices`; a checkpoint keeps how many of the epoch were used.

    Lightning saves the state of loaders that have ``state_dict`` and ``load_state_dict``. Batches that worker
    processes have prefetched do not count as used.

    Constructed as a ``DataLoader``, with a :class:`BatchIndices` as ``sampler`` and ``batch_size=None``.
    """

    sampler: BatchIndices
    _taken: int = 0
    _resumed: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches of the sampler's epoch that have not been used yet."""
        # A generator, so that the epoch is read when the first batch is asked for: Lightning sets it after `iter`.
        self._taken = self._start()
        self._resumed = None
        self.sampler.start = self._taken
        for batch in super().__iter__():
            self._taken += 1
            yield batch

    def _start(self) -> int:
        state = self._resumed
        if state is None or state["epoch"] != self.sampler.epoch:
            return 0
        now = self.sampler.batch_size * self.sampler.num_replicas
        if state["global_batch"] == now or state["taken"] == 0:
            return state["taken"]
        rank_zero_warn(
            f"The checkpoint was written in the middle of an epoch of batches of {state['global_batch']} samples over "
            f"all processes; this run has {now}. It skips as many samples as were used, but some samples of this epoch "
            "come twice or not at all. To repeat the run exactly, keep the number of processes times `batch_size`, or "
            "resume at the end of an epoch."
        )
        return round(state["taken"] * state["global_batch"] / now)

    def state_dict(self) -> dict[str, int]:
        """Epoch, batches used of it, and samples per batch over all processes."""
        global_batch = self.sampler.batch_size * self.sampler.num_replicas
        return {"epoch": self.sampler.epoch, "taken": self._taken, "global_batch": global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip the used batches in the next iteration, if it is of the same epoch."""
        self._resumed = dict(state)


def make_loader(
    dataset: LabelledDataset[Any],
    indices: Tensor,
    batch_size: int,
    *,
    share: Share,
    seed: int,
    training: bool,
    shuffle: bool,
    lengths: Tensor | None,
    num_workers: int,
) -> DataLoader[Any]:
    """A loader whose sampler says which samples make which batch.

    Args:
        dataset: what to read.
        indices: (N,) int64, the numbers of the samples to read.
        batch_size: samples per batch and process.
        share: which share of each global batch is this process's.
        seed: seed of the order.
        training: whether shares must be equally large, and a checkpoint must keep the place in the epoch.
        shuffle: whether each epoch has a new order.
        lengths: (all samples,) int64 to make batches of similar lengths, or None.
        num_workers: loader processes.
    """
    sampler = (BatchIndices if shuffle else SequentialBatchIndices)(
        indices,
        batch_size,
        shuffle=shuffle,
        seed=seed,
        rank=share.rank,
        num_replicas=share.replicas,
        training=training,
        lengths=lengths,
    )
    return (ResumableLoader if training else DataLoader)(
        dataset,
        sampler=sampler,
        batch_size=None,  # the sampler makes batches: one indexing instead of B samples and a collate
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        # Own generator: starting an iteration draws a number, which must not come from the global stream.
        generator=torch.Generator().manual_seed(derive_seed(Purpose.LOADER, seed)),
    )
