"""Which samples make which batch: seeded by (seed, epoch), the same for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from al_lightning import randomness


class BatchIndices(Sampler[Tensor]):
    """Yields the sample numbers of one whole batch at a time.

    The order of an epoch is drawn from (seed, epoch) alone. With R ranks a global batch is R x ``batch_size``
    samples of that order, and each rank takes its part: ranks train on equally many samples, and evaluate each
    sample exactly once.

    Args:
        indices: (N,) int64, the samples to draw from.
        batch_size: samples a batch and rank.
        shuffle: draw a new order each epoch; else keep the given one.
        seed: the data seed.
        rank: number of this process, from 0.
        world_size: number of processes R.
        training: make ranks' shares equally large by leaving out what does not divide, and leave out a last
            batch of a single sample, on which batch norm has no variance. Each epoch leaves out others.
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
    ) -> None:
        self.indices = indices
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.training = training
        self.epoch = 0

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
        for start, length in self._sizes():
            yield order[start : start + length]
