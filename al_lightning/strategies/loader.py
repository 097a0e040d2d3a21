"""What later stages of a pipeline iterate over in place of a training loader: they read no data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from al_lightning.strategies.link import Inbox
from al_lightning.training.stage import Arriving


class ArrivingBatches(Iterable[Arriving]):
    """As many batches as the first stage reads, each of which is received when it is moved to the device.

    Args:
        loader: that of the first stage, as this process would have built it; only its length is asked for.
        inbox: gives the link to the stage before.
    """

    def __init__(self, loader: Any, inbox: Callable[[], Inbox]) -> None:
        self._loader = loader
        self._inbox = inbox

    def __len__(self) -> int:
        """As many as the first stage's loader says; a TypeError if that has no length."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Arriving]:
        self._inbox().begin_epoch()
        while True:
            self._inbox().announce()
            yield Arriving()
            if self._inbox().ended():
                return

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the first stage remembers the place in the epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to go back to."""
