"""Which samples make which batch: seeded by (seed, epoch), the same for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler, SequentialSampler

from al_lightning.training import randomness

#: Global batches whose samples are sorted by length together: more pad less, fewer shuffle better.
POOL = 50


def bucketed(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Reorder samples so that each batch in turn holds similar lengths, and batches come in random order.

    Args:
        order: (N,) int64, samples in random order.
        lengths: (N,) int64, theirs.
        batch_size: samples of a global batch.
        generator: source of the batches' order, and of the order within each.

    Returns:
        (N,) int64, the same samples. What does not fill a batch comes last.
    """
    whole = len(order) // batch_size * batch_size
    pool = POOL * batch_size
    parts = [
        p[ls.argsort(stable=True)]
        for p, ls in zip(torch.split(order[:whole], pool), torch.split(lengths[:whole], pool))
    ]
    batches = torch.cat(parts or [order[:0]]).view(-1, batch_size)
    batches = batches[torch.randperm(len(batches), generator=generator)]
    # Within a batch at random, so that no rank always gets the longest.
    within = torch.rand(batches.shape, generator=generator).argsort(1)
    return torch.cat([batches.gather(1, within).flatten(), order[whole:]])


class BatchIndices(DistributedSampler[Tensor]):
    """Yields the sample numbers of one whole batch at a time.

    The order of an epoch is drawn from (seed, epoch) alone. With R ranks a global batch is R x ``batch_size``
    samples of that order, and each rank takes its part: ranks train on equally many samples, and evaluate each
    sample exactly once. Being a ``DistributedSampler``, it is left alone by every Trainer.

    Args:
        indices: (N,) int64, the samples to draw from.
        batch_size: samples a batch and rank.
        shuffle: draw a new order each epoch; else keep the given one.
        seed: the data seed.
        rank: number of this process, from 0.
        world_size: number of processes R.
        training: make ranks' shares equally large by leaving out what does not divide, and leave out a last
            batch of a single sample, on which batch norm has no variance. Each epoch leaves out others.
        lengths: (all samples,) int64; if given, a shuffled global batch holds samples of similar length: the
            epoch's order is cut into pools of 50 global batches, each is sorted by length and cut into global
            batches, and these are shuffled. The same for any number of ranks.
    """

    def __init__(
        self,
        indices: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        training: bool = False,
        lengths: Tensor | None = None,
    ) -> None:
        super().__init__(indices, world_size, rank, shuffle, seed)  # type: ignore[arg-type]  # anything with a length
        self.indices = indices
        self.batch_size = batch_size
        self.world_size = world_size
        self.training = training
        self.lengths = lengths
        #: Batches of the epoch to leave out, for a run that goes on in its middle; the length counts them.
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def _sizes(self) -> list[tuple[int, int]]:
        """(start, length) in the epoch's order of each batch of this rank."""
        total, step = len(self.indices), self.batch_size * self.world_size
        sizes: list[tuple[int, int]] = []
        for start in range(0, total, step):
            whole = min(step, total - start)
            share, rest = divmod(whole, self.world_size)
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
            generator = torch.Generator().manual_seed(randomness.derive_seed(self.seed, self.epoch))
            order = order[torch.randperm(len(order), generator=generator)]
            if self.lengths is not None:
                order = bucketed(order, self.lengths[order], self.batch_size * self.world_size, generator)
        for start, length in self._sizes()[self.start :]:
            yield order[start : start + length]


class SequentialBatchIndices(BatchIndices, SequentialSampler):  # type: ignore[misc]
    """The same without a new order each epoch; Lightning replaces samplers of other kinds to overfit batches."""
