"""What an experiment is: a yaml file under ``configs/experiments`` that says which runs make a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import yaml
from jsonargparse import ArgumentParser

from al_lightning.configs import configs_folder, find_config

#: In ``Run.paper``, the path of a network's full depth, or the only one of a network without paths.
FULL = "full"
#: In ``Run.paper``, the training accuracy.
TRAIN = "train"


#: Whose settings a run is trained with: ours, or those of the paper in ``configs/paper``.
Recipe: TypeAlias = Literal["tuned", "paper"]

RECIPES: tuple[Recipe, ...] = ("tuned", "paper")


@dataclass
class Run:
    """One row group of the table.

    Args:
        name: what the table calls it.
        config: path of its configuration below ``configs/``; of the paper's recipe, below ``configs/paper/``. An
            absolute path is taken as it is.
        arguments: further command-line arguments of its ``fit``.
        paper: the paper's own numbers: from the path (``"1"``, ``"2"`` and so on, or ``"full"``; ``"train"`` for the
            training split) to mean and standard deviation, in the unit of the table (accuracies in %).
        paper_epochs: the paper's mean number of epochs to the best validation, and its standard deviation.
        recipes: whose settings it can be trained with.
        cost: how long it takes, in any unit: cheap runs are trained first.
    """

    name: str
    config: str
    arguments: list[str] = field(default_factory=list)
    paper: dict[str, list[float]] = field(default_factory=dict)
    paper_epochs: list[float] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=lambda: ["tuned"])
    cost: float = 1.0

    def __post_init__(self) -> None:
        """Take a configuration as commands write it too, ``configs/digits/mlp_al.yaml``."""
        self.config = self.config.removeprefix("configs/")

    @property
    def cell(self) -> str:
        """Data set and network, ``fashion_mnist/cnn_al``: what ``--only`` selects."""
        return self.config.removeprefix("paper/").removesuffix(".yaml")

    def answers_to(self, wanted: str) -> bool:
        """Whether ``--only`` means this run: by its name, its cell, the data set or the network."""
        return wanted.lower() in (self.name.lower(), self.cell, *self.cell.split("/"))

    def config_of(self, recipe: Recipe) -> str:
        """Path of a recipe's configuration as commands write it, ``configs/...``."""
        return str(Path("configs" if recipe == "tuned" else "configs/paper", self.config))


@dataclass
class Experiment:
    """What is trained and how often.

    Args:
        title: heading of the table.
        runs: what is compared.
        seeds: each run is trained once per seed.
        note: printed below the table, such as what the paper's numbers were reached with.
        data: which part of the data sets the files hold, where it is not the whole. Samples that an argument leaves out
            are named without it.
        threads_per_run: how many threads a run works with. With a number, as many runs as the processor has room for
            are trained at the same time, each in a process of its own: small networks gain nothing from a second
            thread. If None, one run after the other has all threads.
        bf16: whether our settings train in ``bf16-mixed`` where the hardware multiplies bf16. Where it does not, bf16
            takes many times as long as float32, and they train in float32. The paper's recipe always does.
        tuned_arguments: further command-line arguments of each ``fit`` with our settings, before those of the run. The
            paper's recipe goes without.
        train_accuracy: whether to measure the best checkpoint on the whole training split too, in evaluation mode and
            by the labels that it was trained with (Table 5).
        test_curve: whether to measure test data after each validation (Figures 3 and 6). They decide nothing.
        layer_losses: whether the table has the associated loss of each layer on validation data (Tables 9 and 10).
    """

    title: str
    runs: list[Run]
    seeds: list[int]
    note: str = ""
    data: str = ""
    threads_per_run: int | None = None
    bf16: bool = False
    tuned_arguments: list[str] = field(default_factory=list)
    train_accuracy: bool = False
    test_curve: bool = False
    layer_losses: bool = False

    def only(self, wanted: Sequence[str]) -> Experiment:
        """The same experiment with some of its runs; all if ``wanted`` is empty.

        Args:
            wanted: names of runs, cells (``fashion_mnist/cnn_al``), data sets or networks.

        Raises:
            ValueError: if one of them selects nothing.
        """
        for one in wanted:
            if not any(run.answers_to(one) for run in self.runs):
                cells = ", ".join(dict.fromkeys(run.cell for run in self.runs))
                raise ValueError(
                    f"Expected `--only` to name cells, data sets or networks of this experiment, but nothing answers "
                    f"to {one!r}. Its cells are: {cells}."
                )
        runs = [run for run in self.runs if not wanted or any(run.answers_to(one) for one in wanted)]
        return dataclasses.replace(self, runs=runs)


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
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Expected {path} to hold title, runs (name, config, arguments, paper) and seeds: {reason}"
        ) from error
    experiment: Experiment = parser.instantiate(parsed).experiment
    for run in experiment.runs:
        for config in map(run.config_of, run.recipes):
            if not Path(find_config(config)).is_file():
                raise ValueError(
                    f"Expected `config` of the run {run.name} in {path} to be a path below configs/ or an absolute "
                    f"one, but there is no {config}, here or in the package. Correct it, or put the file there."
                )
        for path_name, numbers in run.paper.items():
            if len(numbers) not in (1, 2) or not (path_name in (FULL, TRAIN) or path_name.isdigit()):
                raise ValueError(
                    f"Expected `paper` of the run {run.name} in {path} to hold a mean and a standard deviation for a "
                    f"path's number, 'full' or 'train', but got {path_name}: {numbers}."
                )
    if experiment.threads_per_run is not None and experiment.threads_per_run < 1:
        raise ValueError(
            f"Expected `threads_per_run` in {path} to be at least 1, but got {experiment.threads_per_run}."
        )
    return experiment


def shipped_experiments() -> list[str]:
    """Names of the experiments that come with the package."""
    return sorted(p.stem for p in (configs_folder() / "experiments").glob("*.yaml"))
