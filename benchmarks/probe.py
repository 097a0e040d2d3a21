"""Asks what isolated encoders still hold: BP trains all that lies above f_1 .. f_k of a network that AL trained.

    python benchmarks/probe.py benchmarks/search/probe_cifar10.yaml --output benchmarks/results/probe-cifar10.json

A probe is an experiment's yaml file like a search, judged by validation data alone as there. Its first run trains by
AL; every other run is BP behind encoders of the first, ``levers.FrozenCNNBP``, or BP alone. If BP behind f_1 .. f_k is
as good as BP alone, then isolation has lost nothing there.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from search import arguments_of, table, train, write

from al_lightning.experiments.environment import environment
from al_lightning.experiments.spec import load_experiment


def main() -> None:
    """Train the first run, then those behind it, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probe", help="a yaml file of runs, the first by AL")
    parser.add_argument("--output", type=Path, required=True, help="the result file")
    given = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    probe, trials = load_experiment(given.probe), []
    for seed in probe.seeds:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "al.pt"
            for run in probe.runs:
                command = arguments_of(run, seed)
                frozen = any(word.startswith("--model.frozen") for word in command)
                measured, module = train([*command, *(["--model.weights", str(weights)] if frozen else [])])
                if run is probe.runs[0]:
                    torch.save(module.state_dict(), weights)
                words = " ".join(["al-lightning fit", *command, *(["--model.weights", "AL.pt"] if frozen else [])])
                machine = {**environment(), "threads": torch.get_num_threads()}
                trials.append({"name": run.name, "seed": seed, "command": words, **measured, "environment": machine})
                write(probe, trials, f"python benchmarks/probe.py {given.probe}", given.output)
    Console(width=200).print(table(probe, trials))


if __name__ == "__main__":
    main()
