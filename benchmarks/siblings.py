"""AL beside BP in a line per task: what the README shows of the result files."""

from __future__ import annotations

import math
import statistics
from typing import Any, NamedTuple

from markdown_table import grid

from al_lightning.experiments.table import mean_sd

Document = dict[str, Any]

#: What steps, memory and parameters of the shipped configurations are read from.
STEPS = "step-configs-cpu.json"


class Shown(NamedTuple):
    """A line: what it is called, its file, both runs, and the configurations whose cost stands beside them."""

    label: str
    file: str
    learner: str
    rival: str
    pair: str


SHOWN = (
    Shown("CIFAR-10, CNN, 30 epochs", "cifar10-cnn-seeds3/results.json", "CNN-AL", "CNN-BP", "cifar10/cnn"),
    Shown("CIFAR-10, 20,000 images, ResNet-18 converted, 2 epochs", "cifar10-resnet18-subset/results.json",
          "ResNet-18, AL", "ResNet-18, BP", "cifar10/resnet18"),
    Shown("CIFAR-10, 10,000 images, a fifth of the labels random, CNN", "table5-subset-seed0/results.json",
          "CNN-AL, θ = 0.2", "CNN, θ = 0.2", "cifar10/cnn"),
    Shown("Fashion-MNIST, CNN, 5 epochs", "fashion_mnist-cnn-seeds3/results.json", "CNN-AL", "CNN-BP",
          "fashion_mnist/cnn"),
    Shown("Fashion-MNIST, CNN, 20 epochs", "fashion_mnist-cnn-20-seed0/results.json", "CNN-AL", "CNN-BP",
          "fashion_mnist/cnn"),
    Shown("IMDB, Bi-LSTM", "imdb-vectors-seeds3/results.json", "LSTM-AL", "LSTM-BP", "imdb/lstm"),
    Shown("IMDB, Transformer", "imdb-vectors-seeds3/results.json", "Transformer-AL", "Transformer-BP",
          "imdb/transformer"),
    Shown("AG News, half the rows, Bi-LSTM", "ag_news-vectors-seeds3/results.json", "LSTM-AL", "LSTM-BP",
          "ag_news/lstm"),
    Shown("AG News, half the rows, Transformer", "ag_news-vectors-seeds3/results.json", "Transformer-AL",
          "Transformer-BP", "ag_news/transformer"),
    Shown("SST-2, Bi-LSTM", "sst2-vectors-seeds3/results.json", "LSTM-AL", "LSTM-BP", "sst2/lstm"),
    Shown("SST-2, Transformer", "sst2-vectors-seeds3/results.json", "Transformer-AL", "Transformer-BP",
          "sst2/transformer"),
    Shown("Digits, MLP", "digits/results.json", "MLP-AL", "MLP-BP", "digits/mlp"),
    Shown("Diabetes, MLP (100 R2)", "diabetes/results.json", "MLP-AL", "MLP-BP", "diabetes/mlp"),
)  # fmt: skip


def verdict(learner: list[float], rival: list[float]) -> str:
    """How AL stands to BP: level within two standard errors of the difference over seeds; not said of one seed.

    Args:
        learner: what AL reaches, a number per seed.
        rival: what BP reaches.
    """
    difference = statistics.mean(learner) - statistics.mean(rival)
    said = f"{difference:+.2f}"
    if min(len(learner), len(rival)) < 2:
        return f"{said} (one seed)"
    error = math.sqrt(sum(statistics.variance(side) / len(side) for side in (learner, rival)))
    if abs(difference) <= 2 * error:
        return f"{said}, level"
    return f"{said}, **{'ahead' if difference > 0 else 'behind'}**"


def reached(document: Document, name: str) -> list[float]:
    """The test metric of a run, in hundredths, as its configuration reads it; a number per seed."""
    runs = [run for run in document["results"] if run["name"] == name and run.get("recipe", "tuned") == "tuned"]
    return [100 * run["test"][f"test_{run.get('metric', 'acc')}"] for run in runs]


def siblings(documents: dict[str, Document], to: str) -> list[str]:
    """The table: accuracy, and what a step of the same configurations takes.

    Args:
        documents: the result files by their paths.
        to: what leads from the page to the repository's root, such as ``"../"``.
    """
    costs = {row["pair"]: row for row in documents[STEPS]["rows"]}
    rows = []
    for shown in SHOWN:
        learner, rival = (reached(documents[shown.file], name) for name in (shown.learner, shown.rival))
        ratios = [""] * 3  # where a step takes too long to be measured on two cores
        if (cost := costs.get(shown.pair)) is not None:
            parameters = cost["al_inference_parameters"] / cost["bp_inference_parameters"]
            ratios = [f"{ratio:.2f}" for ratio in (cost["time_ratio"], cost["bytes_ratio"], parameters)]
        link = f"[{shown.label}]({to}benchmarks/results/{shown.file})"
        rows.append([link, mean_sd(learner, 2), mean_sd(rival, 2), verdict(learner, rival), *ratios])
    columns = ["test accuracy, %", "AL", "BP", "difference", "step time", "memory kept", "parameters served"]
    return grid(columns, rows)
