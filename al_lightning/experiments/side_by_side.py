"""Runs of small networks side by side, each in a process of its own with few threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import torch

from al_lightning.experiments.results import Result
from al_lightning.experiments.spec import Recipe


class Job(NamedTuple):
    """One training.

    Attributes:
        name: of the run.
        seed: of the run.
        recipe: whose settings it is trained with.
        command: ``fit`` and its arguments.
        kept: the file that keeps its result.
        train_accuracy: whether to measure the best checkpoint on the whole training split too.
        test_curve: whether to measure test data after each validation.
    """

    name: str
    seed: int
    recipe: Recipe
    command: list[str]
    kept: Path
    train_accuracy: bool = False
    test_curve: bool = False

    @property
    def logs(self) -> Path:
        """Folder for logs and checkpoints, the run's own: runs side by side must not write to one."""
        return self.kept.with_suffix("")


#: Trains one run.
Train: TypeAlias = Callable[[Job], Result]
#: What training a run gives.
Trained = TypeVar("Trained")


def processes(threads: int) -> int:
    """How many processes of so many threads the processor has room for; 0 where an accelerator trains."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return 0
    return max(1, cores() // threads)


def cores() -> int:
    """How many of the processor's cores this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in dir(os) else os.cpu_count() or 1


def train_side_by_side(
    train: Callable[[Job], Trained], jobs: Sequence[Job], threads: int, at_once: int
) -> Iterator[tuple[int, Trained]]:
    """Train several runs at the same time.

    Args:
        train: a function of a module, which other processes can import.
        jobs: what to train.
        threads: how many threads each process works with.
        at_once: how many processes.

    Yields:
        Number of the job and what its training gave, as they come.

    Raises:
        ValueError: naming the run that failed. The others are ended.
    """
    before = set(multiprocessing.active_children())
    with _environment(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads)):
        # Spawned, not forked: where torch's threads have worked, a forked process waits for them for ever.
        pool = ProcessPoolExecutor(
            min(at_once, max(len(jobs), 1)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare_worker,
            initargs=(threads,),
        )
        try:
            waiting: dict[Future[Trained], int] = {pool.submit(train, job): n for n, job in enumerate(jobs)}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    number = waiting.pop(future)
                    yield number, _result(future, jobs[number])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:
                child.kill()  # after an error or Ctrl-C; a polite end would wait for the run, for Lightning catches it


def _result(future: Future[Trained], job: Job) -> Trained:
    name, seed = job.name, job.seed
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise ValueError(
            f"Expected the run {name}, seed {seed}, to finish, but its process or one beside it was killed; is there "
            "enough memory? Finished runs are kept: start again to go on."
        ) from error
    except Exception as error:
        raise ValueError(f"The run {name}, seed {seed}, failed. {error} Finished runs are kept.") from error


def _prepare_worker(threads: int) -> None:
    """Called in each process: its threads, an end without a traceback on Ctrl-C, and with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables that processes started inside inherit; torch reads them when it is imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
