"""Two habits of Lightning's Trainer that a pipeline cannot live with, changed for the time of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.exceptions import SIGTERMException


class AdjustedTrainer:
    """A Trainer that neither waits for other processes before every batch nor shares out what only one stage reads.

    Before every batch, Lightning broadcasts whether rank 0 has received SIGTERM, so that no stage could run ahead. Its
    launcher and torchrun send the signal to every process anyway: here each process heeds its own. And for every
    strategy that derives from ``ddp`` it gives a user's loader a distributed sampler, with an order of its own even for
    a single replica.

    Args:
        trainer: of the run.
        shares_data: whether processes get shares of the data that are loaded now.
    """

    def __init__(self, trainer: pl.Trainer, shares_data: Callable[[], bool]) -> None:
        loop, connector = trainer.fit_loop.epoch_loop, trainer._data_connector
        requires = type(connector)._requires_distributed_sampler

        def heed_own_signal() -> None:
            """Ask nobody else."""
            if trainer.received_sigterm:
                raise SIGTERMException

        def requires_sampler(dataloader: Any) -> bool:
            return shares_data() and requires(connector, dataloader)

        assert callable(loop._broadcast_sigterm_tensor)
        self._changed = [(loop, "_broadcast_sigterm_tensor"), (connector, "_requires_distributed_sampler")]
        for (owner, name), ours in zip(self._changed, (heed_own_signal, requires_sampler)):
            setattr(owner, name, ours)

    def restore(self) -> None:
        """Leave the Trainer as it was."""
        for owner, name in self._changed:
            delattr(owner, name)  # the class's own shows again
