"""What a step of the shipped configurations takes, AL beside BP: time, bytes kept for backward, and parameters.

    python benchmarks/step_configs.py --output benchmarks/results/step-configs-cpu.json
    python benchmarks/step_configs.py --pairs cifar10/cnn sst2/lstm

``step.py`` compares networks at equal settings, with the leanest bridges. This one compares what accuracies are
reported of: each sibling as its configuration has it, bridges, association and clipping included. Both train on the
same first batches of their data, in alternating rounds, in 32 bits: read the ratios.
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from step import save, saved_bytes, step_times

from al_lightning.cli.main import main as al_lightning
from al_lightning.data.base import BaseDataModule
from al_lightning.experiments.environment import environment
from al_lightning.modules.base import SupervisedModule

PAIRS = ("digits/mlp", "diabetes/mlp", "fashion_mnist/cnn", "cifar10/cnn", "cifar10/resnet18", "sst2/lstm",
         "sst2/transformer", "imdb/lstm", "imdb/transformer", "ag_news/lstm", "ag_news/transformer")  # fmt: skip


@dataclass
class Pair:
    """Two siblings: median milliseconds of a step, peak bytes kept, and parameters in training and at inference."""

    pair: str
    al_ms: float
    bp_ms: float
    time_ratio: float
    al_bytes: int
    bp_bytes: int
    bytes_ratio: float
    al_training_parameters: int
    bp_training_parameters: int
    al_inference_parameters: int
    bp_inference_parameters: int


def built(config: str) -> tuple[SupervisedModule, BaseDataModule]:
    """Model and data of a configuration, as ``fit`` builds them, after one batch."""
    quiet = ["--trainer.fast_dev_run=1", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    cli = al_lightning(["fit", "--config", f"configs/{config}.yaml", *quiet])
    return cli.model, cli.datamodule


def compare(pair: str, rounds: int, steps: int) -> Pair:
    """One pair of configurations."""
    (learner, data), (rival, _) = built(f"{pair}_al"), built(f"{pair}_bp")
    times = step_times([learner, rival], data, rounds, steps)
    al_ms, bp_ms = (1000 * statistics.median(seconds) for seconds in times)
    al_bytes, bp_bytes = saved_bytes(learner, data), saved_bytes(rival, data)
    return Pair(
        pair, al_ms, bp_ms, al_ms / bp_ms, al_bytes, bp_bytes, al_bytes / bp_bytes,
        learner.training_parameters(), rival.training_parameters(),
        learner.inference_parameters(), rival.inference_parameters(),
    )  # fmt: skip


def main() -> None:
    """Compare all pairs, and print a line for each."""
    parser = argparse.ArgumentParser(description="Step time, memory and parameters of the shipped configurations.")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="SET/NETWORK")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each sibling")
    parser.add_argument("--steps", type=int, default=5, help="counted steps a turn")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    given = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice about loaders and loops is not about a benchmark
    console, rows = Console(width=110), []
    for pair in given.pairs:
        row = compare(pair, given.rounds, given.steps)
        rows.append(row)
        console.print(
            f"{pair}: {row.al_ms:.1f} / {row.bp_ms:.1f} ms, {row.time_ratio:.2f}; kept {row.bytes_ratio:.2f}; "
            f"parameters {row.al_training_parameters:,} / {row.bp_training_parameters:,}, at inference "
            f"{row.al_inference_parameters:,} / {row.bp_inference_parameters:,}"
        )
        # A row that is measured is kept, whatever happens to the next one.
        save(given.output, {**environment(), "threads": torch.get_num_threads()}, rows)
        gc.collect()


if __name__ == "__main__":
    main()
