"""Writes ``data/tumours.csv`` and ``data/new.csv`` from the measurements that scikit-learn bundles."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

FOLDER = Path(__file__).parent / "data"
NEW_ROWS = 40


def main() -> None:
    """Write both files: rows to learn from and test on, and 40 rows, drawn at random, without their diagnosis."""
    bundle = load_breast_cancer()
    chosen = [column for column, name in enumerate(bundle.feature_names) if not name.endswith(" error")]
    names = [bundle.feature_names[column].replace(" ", "_") for column in chosen]
    order = np.random.default_rng(0).permutation(len(bundle.target))
    for file, rows, learned in (("tumours.csv", order[NEW_ROWS:], ["diagnosis"]), ("new.csv", order[:NEW_ROWS], [])):
        with (FOLDER / file).open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow([*names, *learned])
            for row in sorted(rows):
                diagnosis = str(bundle.target_names[bundle.target[row]])
                writer.writerow(
                    [*(f"{bundle.data[row, column]:.6g}" for column in chosen), *([diagnosis] * len(learned))]
                )


if __name__ == "__main__":
    main()
