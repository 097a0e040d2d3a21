"""A generated multi-label set, learned by AL and by backprop from the command line.

    python benchmarks/multilabel.py
    python benchmarks/multilabel.py --output benchmarks/results/multilabel.json

scikit-learn's ``make_multilabel_classification`` draws 4,000 samples of 20 features with any of 5 labels; a csv file
holds them, which ``Table`` reads. A fifth of the rows is the test split.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.datasets import make_multilabel_classification
from step import save

from al_lightning.cli.main import main as command
from al_lightning.experiments.environment import environment

LABELS = 5
FILE = Path("data/multilabel/made.csv")
#: Of both siblings.
SETTINGS = ["--model.hidden_dims=[64,64]", "--trainer.max_epochs=20", "--data.batch_size=32"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.logger=false"]


def write(file: Path) -> None:
    """Draw the set and write it."""
    x, y = make_multilabel_classification(4000, 20, n_classes=LABELS, random_state=0)
    names = [*(f"feature{n}" for n in range(x.shape[1])), *(f"label{k}" for k in range(LABELS))]
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, np.concatenate([x, y], 1), "%g", ",", header=",".join(names), comments="")


@dataclasses.dataclass
class Run:
    """What a network reached: F1 at its best epoch by validation, and what ``test`` measured there."""

    model: str
    seed: int
    command: str
    val_f1: float
    test: dict[str, float]


def learn(model: str, seed: int, folder: str) -> Run:
    """Fit, then test the best epoch by validation.

    Args:
        model: class of the network.
        seed: of weights, order and validation split.
        folder: of its checkpoints.
    """
    labels = ",".join(f"label{k}" for k in range(LABELS))
    data = ["--data=Table", f"--data.source={FILE}", f"--data.label_columns=[{labels}]"]
    seeds = [f"--seed_everything={seed}", f"--data.seed={seed}"]
    fit = [f"--model={model}", *data, *SETTINGS, *seeds]
    places = [f"--checkpoint.dirpath={folder}/{model}-{seed}", f"--trainer.default_root_dir={folder}"]
    fitted = command(["fit", *fit, *QUIET, *places])
    kept = fitted.trainer.checkpoint_callback
    tested = command(["test", "--ckpt_path", kept.best_model_path, *QUIET])
    metrics = {name: float(value) for name, value in tested.trainer.callback_metrics.items()}
    return Run(model, seed, " ".join(["al-lightning fit", *fit]), float(kept.best_model_score), metrics)


def main() -> None:
    """Train both siblings and print what they reach."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", default="lightning_logs/multilabel", help="of checkpoints")
    parser.add_argument("--output", type=Path, help="json file of the results")
    given = parser.parse_args()
    write(FILE)
    runs = [learn(model, seed, given.folder) for model in ("MLPAL", "MLPBP") for seed in given.seeds]
    console = Console()
    for model in ("MLPAL", "MLPBP"):
        own = [run for run in runs if run.model == model]
        for name in sorted(own[0].test):
            values = [run.test[name] for run in own]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            console.print(f"{model} {name}: {statistics.mean(values):.4f} ± {spread:.4f}")
    save(given.output, environment(), runs)


if __name__ == "__main__":
    main()
