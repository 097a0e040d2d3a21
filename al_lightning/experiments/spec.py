"""What an experiment is: a yaml file under ``configs/experiments`` that says which runs make a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from al_lightning.configs import configs_folder

#: In ``Run.paper``, the path of a network's full depth, or the only one of a network without paths.
FULL = "full"


@dataclass
class Run:
    """One row group of the table.

    Args:
        name: what the table calls it.
        config: path of its configuration below ``configs/``.
        arguments: further command-line arguments of its ``fit``.
        paper: the paper's own numbers: from the path (``"1"``, ``"2"`` and so on, or ``"full"``) to mean and standard
            deviation, in the unit of the table (accuracies in %).
    """

    name: str
    config: str
    arguments: list[str] = field(default_factory=list)
    paper: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Experiment:
    """What is trained and how often.

    Args:
        title: heading of the table.
        runs: what is compared.
        seeds: each run is trained once per seed.
        note: printed below the table, such as what the paper's numbers were reached with.
        threads_per_run: how many threads a run works with. With a number, as many runs as the processor has room for
            are trained at the same time, each in a process of its own: small networks gain nothing from a second
            thread. If None, one run after the other has all threads.
    """

    title: str
    runs: list[Run]
    seeds: list[int]
    note: str = ""
    threads_per_run: int | None = None


def load_experiment(name: str) -> Experiment:
    """Read an experiment.

    Args:
        name: a shipped experiment's name, or the path of a yaml file.

    Returns:
        The experiment.

    Raises:
        ValueError: if there is none of that name, or the file has other keys than :class:`Experiment`.
    """
    shipped = configs_folder() / "experiments"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped / f"{name}.yaml"
    if not path.is_file():
        raise ValueError(
            f"Expected an experiment, but there is no {name!r}. Shipped are: {', '.join(shipped_experiments())}; "
            "or give the path of a yaml file."
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Experiment, "experiment")
    try:
        parsed = parser.parse_object({"experiment": yaml.safe_load(path.read_text(encoding="utf-8"))})
    except Exception as error:
        raise ValueError(
            f"Expected {path} to hold title, runs (name, config, arguments, paper) and seeds: {error}"
        ) from error
    experiment: Experiment = parser.instantiate(parsed).experiment
    for run in experiment.runs:
        for path_name, numbers in run.paper.items():
            if len(numbers) not in (1, 2) or not (path_name == FULL or path_name.isdigit()):
                raise ValueError(
                    f"Expected `paper` of the run {run.name} in {path} to hold a mean and a standard deviation for a "
                    f"path's number or 'full', but got {path_name}: {numbers}."
                )
    if experiment.threads_per_run is not None and experiment.threads_per_run < 1:
        raise ValueError(
            f"Expected `threads_per_run` in {path} to be at least 1, but got {experiment.threads_per_run}."
        )
    return experiment


def shipped_experiments() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(p.stem for p in (configs_folder() / "experiments").glob("*.yaml"))
