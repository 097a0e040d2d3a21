"""SIGTERM in a run of several processes: each notes its own."""

from __future__ import annotations

import signal

import lightning.pytorch as pl
from lightning.pytorch.trainer.connectors.signal_connector import _HandlersCompose
from lightning.pytorch.utilities import rank_zero_info


def note_own_sigterm(trainer: pl.Trainer) -> None:
    """Make this process note SIGTERM without asking others, for the rest of the Trainer's run.

    Lightning's handler broadcasts before it notes the signal. A rank that it reaches in the middle of another
    collective, such as the reduction of a metric, then waits for ever for ranks that wait for it. The signal goes to
    every process anyway: by the launcher, which is told here as by Lightning's handler, or by torchrun. Handlers of a
    user's own stay.

    Args:
        trainer: whose handlers are in place; it takes them away when its run ends.
    """
    connector, composed = trainer._signal_connector, signal.getsignal(signal.SIGTERM)

    def note(signum: int, _: object) -> None:
        rank_zero_info(f"Received SIGTERM: {signum}")
        launcher = trainer.strategy.launcher
        if launcher is not None and not connector.received_sigterm:
            launcher.kill(signum)  # the processes that it has started
        connector.received_sigterm = True

    if isinstance(composed, _HandlersCompose):
        handlers = composed.signal_handlers
        composed.signal_handlers = [note if h == connector._sigterm_notifier_fn else h for h in handlers]
