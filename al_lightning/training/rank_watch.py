"""Ends a run of several processes soon after one of them has died or was asked to end, and names it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback

from al_lightning.training.sigterm import note_own_sigterm

if TYPE_CHECKING:  # some builds of torch have no process groups
    from torch.distributed.distributed_c10d import Store

#: Seconds between two signs of life.
PERIOD = 1.0
#: Periods without a sign after which a process counts as dead.
PATIENCE = 20
#: Periods after SIGTERM in which the main thread may end the run in order.
GRACE = 10


class RankWatch(Callback):
    """Every process of a run leaves signs of life with the process group's store and looks at those of the others.

    Where a process dies, gloo raises an error with an address in it, and NCCL waits for minutes. With this callback the
    others name the dead rank on stderr and end within 30 s. A process that has received SIGTERM and does not end in
    order within 10 s, because it waits for others, is ended too. Modules of this package bring it along; it does
    nothing for a single process.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._store: Store | None = None
        self._rank, self._world = 0, 1
        self._asked_to_end: Callable[[], bool] = lambda: False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start looking."""
        if trainer.world_size == 1 or not dist.is_initialized():
            return
        self._store = _own_connection()
        self._rank, self._world = trainer.global_rank, trainer.world_size
        self._asked_to_end = lambda: trainer.received_sigterm
        self._leave_sign(0)
        trainer.strategy.barrier()  # everyone has left a first sign
        self._stop.clear()
        self._thread = threading.Thread(target=self._look, name="rank-watch", daemon=True)
        self._thread.start()

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note SIGTERM from now on: Lightning's handlers are in place."""
        if trainer.world_size > 1:
            note_own_sigterm(trainer)

    on_train_start = on_sanity_check_start

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Say whose death an error of the communication comes from."""
        if self._thread is None:
            return
        if isinstance(exception, RuntimeError) and not trainer.received_sigterm:  # else others have ended in order
            before = self._signs()
            time.sleep(3 * PERIOD)
            after = self._signs()
            dead = [rank for rank in range(self._world) if rank != self._rank and before[rank] == after[rank]]
            if dead:
                self._say(dead[0], before[dead[0]])
        self._end()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop looking, all at once: whoever leaves first must not seem dead to one that still closes its logs."""
        if self._thread is not None:
            trainer.strategy.barrier()
            self._end()

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * PERIOD)
        self._thread = None

    def _leave_sign(self, count: int) -> None:
        assert self._store is not None
        self._store.set(str(self._rank), f"{count} {socket.gethostname()} {os.getpid()}")

    def _signs(self) -> list[str]:
        """The last sign of every rank; empty strings where the store does not answer."""
        assert self._store is not None
        try:
            return [self._store.get(str(rank)).decode() for rank in range(self._world)]
        except (RuntimeError, OSError):
            return [""] * self._world

    def _look(self) -> None:
        signs, silent, count, asked = self._signs(), [0] * self._world, 0, 0
        while not self._stop.wait(PERIOD):
            count += 1
            try:
                self._leave_sign(count)
            except (RuntimeError, OSError):  # rank 0 keeps the store
                silent[0] += 1
            new = self._signs()
            if new[0]:
                silent = [n + 1 if a == b else 0 for n, a, b in zip(silent, signs, new)]
                signs = new
            dead = [rank for rank, n in enumerate(silent) if n >= PATIENCE and rank != self._rank]
            if dead and not self._stop.is_set():
                self._say(dead[0], signs[dead[0]])
                os._exit(1)  # the main thread may wait in a collective that never ends
            asked += self._asked_to_end()
            if asked > GRACE and not self._stop.is_set():
                sys.stderr.write(f"Rank {self._rank} ends {GRACE * PERIOD:.0f} s after it received SIGTERM.\n")
                sys.stderr.flush()
                os._exit(128 + signal.SIGTERM)

    def _say(self, rank: int, sign: str) -> None:
        parts = sign.split()
        where = f" (process {parts[2]} on {parts[1]})" if len(parts) == 3 else ""
        if not sign and rank == 0:
            where = " (which keeps the rendezvous)"
        sys.stderr.write(
            f"Rank {self._rank} ends, because rank {rank}{where} has died or was killed: its own message, if it could "
            "leave one, stands above or in its log. Start again with `--ckpt_path` and the last checkpoint.\n"
        )
        sys.stderr.flush()


def _own_connection() -> Store:
    """The process group's store by another connection: its own may be blocked by a collective."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, but not in `__all__`
    from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

    store = _get_default_store()
    while isinstance(store, PrefixStore):
        store = store.underlying_store
    if isinstance(store, TCPStore):
        store = TCPStore(store.host, store.port, is_master=False, wait_for_workers=False)
    return PrefixStore("al_lightning/watch", store)
