"""Trains what is missing of an experiment, one run after the other or side by side, and writes and prints everything.

Finished runs are kept as they finish: an interrupted experiment goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from al_lightning._version import __version__
from al_lightning.configs import find_config
from al_lightning.experiments import figure, results
from al_lightning.experiments.results import Result
from al_lightning.experiments.side_by_side import Train, processes, train_side_by_side
from al_lightning.experiments.spec import Experiment
from al_lightning.experiments.table import table


class Job(NamedTuple):
    """One training: its run's name and seed, the command, and the file that keeps its result."""

    name: str
    seed: int
    command: list[str]
    kept: Path

    @property
    def logs(self) -> Path:
        """Folder for logs and checkpoints, the run's own: runs side by side must not write to one."""
        return self.kept.with_suffix("")


def reproduce(
    experiment: Experiment, output: Path, seeds: Sequence[int], train: Train, arguments: Sequence[str] = ()
) -> list[Result]:
    """Train what is missing, then write and print everything.

    Args:
        experiment: what to train.
        output: folder for the results; finished runs found there are kept.
        seeds: one training per run and seed.
        train: trains one run, from its name, seed, command and a folder for its logs; a function of a module, so that
            other processes can call it.
        arguments: further command-line arguments of every ``fit``.

    Returns:
        All results, run by run, seed by seed.

    Raises:
        ValueError: naming the run that failed; what other runs have finished is kept.
    """
    console = Console()
    folder = output / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = _jobs(experiment, folder, seeds, arguments)
    finished: dict[Path, Result] = {}
    for job in jobs:
        kept = results.read_kept(job.kept)
        if kept is not None:
            finished[job.kept] = kept
            console.print(f"{job.name}, seed {job.seed}: kept from {job.kept}")
    missing = [job for job in jobs if job.kept not in finished]
    with console.status(_status(missing)) as status:
        for job, result in _train_missing(missing, train, experiment.threads_per_run):
            results.keep(result, job.kept)
            finished[job.kept] = result
            missing.remove(job)
            status.update(_status(missing))
            reached = result.test[f"test_{result.metric}"]
            said = f"{100 * reached:.2f} %" if result.metric == "acc" else f"{reached:.4g}"
            console.print(f"{job.name}, seed {job.seed}: test {result.metric} {said} in {result.seconds:.1f} s")
    everything = [finished[job.kept] for job in jobs]
    results.write(experiment, everything, output)
    figure.draw(experiment, everything, output / "learning_curves.png")
    console.print(table(experiment, everything))
    if experiment.note:
        console.print(experiment.note.strip())
    console.print(f"Written: {output}/results.json, results.csv, learning_curves.png")
    return everything


def _jobs(experiment: Experiment, folder: Path, seeds: Sequence[int], arguments: Sequence[str]) -> list[Job]:
    jobs: list[Job] = []
    for run in experiment.runs:
        for seed in seeds:
            command = ["fit", "--config", f"configs/{run.config}", "--seed_everything", str(seed),
                       f"--data.seed={seed}", *run.arguments, *arguments]  # fmt: skip
            kept = folder / f"{_slug(run.name)}-seed{seed}-{_key(command)}.json"
            jobs.append(Job(run.name, seed, command, kept))
    return jobs


def _train_missing(jobs: Sequence[Job], train: Train, threads: int | None) -> Iterator[tuple[Job, Result]]:
    """Results as they come."""
    if threads is None or not processes(threads):
        for job in list(jobs):
            yield job, train(job.name, job.seed, job.command, job.logs)
        return
    waiting = list(jobs)
    calls = [(job.name, job.seed, job.command, job.logs) for job in waiting]
    for number, result in train_side_by_side(train, calls, threads):
        yield waiting[number], result


def _status(missing: Sequence[Job]) -> str:
    return f"{len(missing)} runs to go: {', '.join(f'{job.name}, seed {job.seed}' for job in missing[:3])} ..."


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()


def _key(command: Sequence[str]) -> str:
    """Names what was run, the configuration's text included: an edited one is trained again."""
    text = json.dumps([__version__, *command]) + Path(find_config(command[2])).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:8]
