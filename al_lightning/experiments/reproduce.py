"""Trains what is missing of an experiment, one run after the other or side by side, and writes and prints everything.

Finished runs are kept as they finish: an interrupted experiment goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from rich.console import Console

from al_lightning._version import __version__
from al_lightning.configs import find_config
from al_lightning.experiments import figure, results
from al_lightning.experiments.environment import multiplies_bf16
from al_lightning.experiments.results import Result
from al_lightning.experiments.side_by_side import Job, Train, cores, processes, train_side_by_side
from al_lightning.experiments.spec import RECIPES, Experiment, Recipe
from al_lightning.experiments.table import markdown, remarks, rows, tables


def reproduce(
    experiment: Experiment,
    output: Path,
    seeds: Sequence[int],
    train: Train,
    arguments: Sequence[str] = (),
    recipes: Sequence[Recipe] = ("tuned",),
    only: Sequence[str] = (),
    at_once: int | None = None,
) -> list[Result]:
    """Train what is missing, print it, and write it beside everything that was finished before.

    Args:
        experiment: what to train.
        output: folder for the results; finished runs found there are kept.
        seeds: one training per run and seed.
        train: trains one run; a function of a module, so that other processes can call it.
        arguments: further command-line arguments of every ``fit``.
        recipes: whose settings to train with. What another recipe has reached before is shown too.
        only: cells, data sets or networks to train and to print; all if empty.
        at_once: how many runs train at the same time, each in a process of its own. If None, as many as the processor
            has room for, where the experiment says how many threads a run has; on an accelerator, and else, one after
            the other in this process.

    Returns:
        The results that are printed, run by run, seed by seed.

    Raises:
        ValueError: naming the run that failed; what other runs have finished is kept. Or if a kept result cannot be
            read, no run has one of the recipes, ``only`` names what is not there, or ``at_once`` is below 1.
    """
    if at_once is not None and at_once < 1:
        raise ValueError(f"Expected `--processes` to be at least 1, but got {at_once}.")
    console = Console()
    selected = experiment.only(only)
    names = {run.name for run in selected.runs}
    folder = output / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    everything_there = _jobs(experiment, folder, seeds, arguments)
    jobs = [job for job in everything_there if job.recipe in recipes and job.name in names]
    if not jobs:
        raise ValueError(
            f"Expected runs with the recipe {' or '.join(map(repr, recipes))}, but this selection has none. Known are: "
            f"{', '.join(dict.fromkeys(job.recipe for job in everything_there if job.name in names))}."
        )
    finished: dict[Path, Result] = {}
    for job in everything_there:
        kept = results.read_kept(job.kept)
        if kept is not None:
            finished[job.kept] = kept
            if job.name in names:
                console.print(f"{_said(job)}: kept from {job.kept}")
    costs = {run.name: run.cost for run in experiment.runs}
    missing = sorted((job for job in jobs if job.kept not in finished), key=lambda job: costs[job.name])
    with console.status(_status(missing)) as status:
        for job, result in _train_missing(missing, train, experiment.threads_per_run, at_once):
            results.keep(result, job.kept)
            finished[job.kept] = result
            missing.remove(job)
            status.update(_status(missing))
            reached = result.test[f"test_{result.metric}"]
            said = f"{100 * reached:.2f} %" if result.metric == "acc" else f"{reached:.4g}"
            console.print(f"{_said(job)}: test {result.metric} {said} in {result.seconds:.1f} s")
    everything = [finished[job.kept] for job in everything_there if job.kept in finished]
    results.write(experiment, everything, output)
    written = markdown(experiment, everything, rows(experiment, everything))
    (output / "results.md").write_text(written, encoding="utf-8")
    shown = [result for result in everything if result.name in names]
    figure.draw(selected, shown, output / "learning_curves.png")
    console.print(*tables(selected, shown, rows(selected, shown)), sep="\n")
    for line in remarks(selected, shown):
        console.print(line)
    console.print(f"Written: {output}/results.json, results.csv, results.md, learning_curves.png")
    return shown


def _jobs(experiment: Experiment, folder: Path, seeds: Sequence[int], arguments: Sequence[str]) -> list[Job]:
    """Every training of the experiment, by every recipe."""
    jobs: list[Job] = []
    precision = ["--trainer.precision=bf16-mixed"] if experiment.bf16 and multiplies_bf16() else []
    for run, recipe, seed in itertools.product(experiment.runs, RECIPES, seeds):
        if recipe in run.recipes:
            config = run.config_of(recipe)
            of_recipe = [*precision, *experiment.tuned_arguments] if recipe == "tuned" else []
            command = ["fit", "--config", config, "--seed_everything", str(seed), f"--data.seed={seed}", *of_recipe,
                       *run.arguments, *arguments]  # fmt: skip
            slug = _slug(run.name if recipe == "tuned" else f"{run.name} {recipe}")
            kept = folder / f"{slug}-seed{seed}-{_key(command)}.json"
            measures = (experiment.train_accuracy, experiment.test_curve)
            jobs.append(Job(run.name, seed, recipe, command, kept, *measures))
    return jobs


def _said(job: Job) -> str:
    return f"{job.name}{'' if job.recipe == 'tuned' else ', paper recipe'}, seed {job.seed}"


def _train_missing(
    jobs: Sequence[Job], train: Train, threads: int | None, at_once: int | None
) -> Iterator[tuple[Job, Result]]:
    """Results as they come."""
    if at_once is None:
        at_once = 0 if threads is None else processes(threads)
    if not at_once:
        for job in list(jobs):
            yield job, train(job)
        return
    waiting = list(jobs)
    for number, result in train_side_by_side(train, waiting, threads or max(1, cores() // at_once), at_once):
        yield waiting[number], result


def _status(missing: Sequence[Job]) -> str:
    return f"{len(missing)} runs to go: {'; '.join(map(_said, missing[:3]))} ..."


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()


def _key(command: Sequence[str]) -> str:
    """Names what was run, and what the configuration says: an edited one is trained again."""
    text = json.dumps([__version__, *command]) + _said_by(command[2])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _said_by(config: str) -> str:
    """What a configuration says, by its path ``configs/...``: its comments and its layout are not part of it."""
    return json.dumps(yaml.safe_load(Path(find_config(config)).read_text(encoding="utf-8")))


def config_hash(config: str) -> str:
    """Names what a configuration says, so that a result can tell whether it has changed since."""
    return hashlib.sha256(_said_by(config).encode()).hexdigest()[:16]
