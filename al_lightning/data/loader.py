"""A loader that goes on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader

from al_lightning.data.samplers import BatchIndices


class ResumableLoader(DataLoader[Any]):
    """Whole batches in the order of a :class:`BatchIndices`; a checkpoint keeps how many the epoch has had.

    Lightning asks loaders that have ``state_dict`` and ``load_state_dict`` for their place. Batches that worker
    processes have read ahead do not count.

    Constructed as a ``DataLoader``, with a :class:`BatchIndices` as ``sampler`` and ``batch_size=None``.
    """

    sampler: BatchIndices
    _taken: int = 0
    _resumed: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches of the sampler's epoch that have not been taken yet.

        A generator, so that the epoch is looked at when the first batch is wanted: Lightning sets it after ``iter``.
        """
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
        now = self.sampler.batch_size * self.sampler.world_size
        if state["global_batch"] == now or state["taken"] == 0:
            return state["taken"]
        rank_zero_warn(
            f"The checkpoint stands in the middle of an epoch of batches of {state['global_batch']} samples over all "
            f"processes; this run has {now}. It goes on after as many samples, but some of this epoch come twice "
            "or not at all. To repeat the run exactly, keep processes x batch_size, or resume at the end of an epoch."
        )
        return round(state["taken"] * state["global_batch"] / now)

    def state_dict(self) -> dict[str, int]:
        """Epoch, batches taken of it, and samples of a batch over all processes."""
        global_batch = self.sampler.batch_size * self.sampler.world_size
        return {"epoch": self.sampler.epoch, "taken": self._taken, "global_batch": global_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip what was taken, once, if the next iteration is of the same epoch."""
        self._resumed = dict(state)
