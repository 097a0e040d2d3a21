"""Batch samplers: which samples make which batch, the same global batches for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler, SequentialSampler

from al_lightning.training.randomness import Purpose, derive_seed

#: Global batches whose samples are sorted by length together: a larger pool saves padding, a smaller one shuffles more.
POOL = 50


def bucketed(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Reorder samples so that each batch holds samples of similar length, while batches stay in random order.

    Args:
        order: (N,) int64, sample numbers in random order.
        lengths: (N,) int64, the length of each, in the same order.
        batch_size: samples per global batch.
        generator: draws the order of the batches and the order within each.

    Returns:
        (N,) int64, the same sample numbers. Those that do not fill a batch come last.
    """
    whole = len(order) // batch_size * batch_size
    pool = POOL * batch_size
    parts = [
        p[ls.argsort(stable=True)]
        for p, ls in zip(torch.split(order[:whole], pool), torch.split(lengths[:whole], pool))
    ]
    batches = torch.cat(parts or [order[:0]]).view(-1, batch_size)
    batches = batches[torch.randperm(len(batches), generator=generator)]
    # Random within a batch, so that no process always gets its longest samples.
    within = torch.rand(batches.shape, generator=generator).argsort(1)
    return torch.cat([batches.gather(1, within).flatten(), order[whole:]])


class BatchIndices(DistributedSampler[Tensor]):
    """Batch sampler that yields the sample numbers of one whole batch at a time, as a tensor.

    The order of an epoch is drawn from (seed, epoch) alone. With R replicas a global batch is R x ``batch_size``
    samples of that order, and each replica takes its share of it: replicas train on equally many samples, and
    evaluate each sample exactly once. Trainers leave it alone, because it is a ``DistributedSampler``.

    Args:
        indices: (N,) int64, the samples to draw from.
        batch_size: samples per batch and replica.
        shuffle: whether each epoch has a new random order; else the order of ``indices`` is kept.
        seed: seed of the order.
        rank: number of the replica that this process trains, from 0.
        num_replicas: number of replicas R.
        training: whether to make the shares of all replicas equally large. Samples that do not divide are left out,
            as is a last batch of a single sample, for which batch norm has no variance: others in each epoch.
        lengths: (all samples,) int64; if given, a shuffled global batch holds samples of similar length: the
            epoch's order is cut into pools of 50 global batches, each is sorted by length and cut into global
            batches, and these are shuffled.
    """

    def __init__(
        self,
        indices: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        num_replicas: int = 1,
        training: bool = False,
        lengths: Tensor | None = None,
    ) -> None:
        super().__init__(indices, num_replicas, rank, shuffle, seed)  # type: ignore[arg-type]  # anything with a length
        self.indices = indices
        self.batch_size = batch_size
        self.training = training
        self.lengths = lengths
        #: Batches to skip at the start of an epoch, for a run that resumes in its middle; the length still counts them.
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def _sizes(self) -> list[tuple[int, int]]:
        """(start, length) of each batch of this replica in the epoch's order."""
        total, step = len(self.indices), self.batch_size * self.num_replicas
        sizes: list[tuple[int, int]] = []
        for start in range(0, total, step):
            whole = min(step, total - start)
            share, rest = divmod(whole, self.num_replicas)
            if self.training:
                first, length = start + self.rank * share, share
            else:
                first = start + self.rank * share + min(self.rank, rest)
                length = share + (self.rank < rest)
            lonely = self.training and length == 1 < self.batch_size and start > 0
            if length > 0 and not lonely:
                sizes.append((first, length))
        return sizes

    def __len__(self) -> int:
        return len(self._sizes())

    def __iter__(self) -> Iterator[Tensor]:
        order = self.indices
        if self.shuffle:
            generator = torch.Generator().manual_seed(derive_seed(Purpose.ORDER, self.seed, self.epoch))
            order = order[torch.randperm(len(order), generator=generator)]
            if self.lengths is not None:
                order = bucketed(order, self.lengths[order], self.batch_size * self.num_replicas, generator)
        for start, length in self._sizes()[self.start :]:
            yield order[start : start + length]


class SequentialBatchIndices(BatchIndices, SequentialSampler):  # type: ignore[misc]
    """The same in a fixed order: the type of sampler that Lightning leaves in place under ``overfit_batches``."""
