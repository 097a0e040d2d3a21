"""Trains the network by Associated Learning and by backpropagation, beside a logistic regression, on the same rows.

What a run reaches differs from seed to seed by more than the two ways to train do. ``--split val`` is for choosing
settings, ``--split test`` for what is reported of them.
"""

from __future__ import annotations

import argparse
import functools
import logging
import warnings
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from sklearn.linear_model import LogisticRegression
from torch.optim.lr_scheduler import CosineAnnealingLR
from tumours import MissedTumours, TumourAL, TumourBP, Tumours

from al_lightning import ALModule, BPModule

HERE = Path(__file__).parent


class WatchedAL(TumourAL):
    """TumourAL that also logs how far the associated losses of its layers are apart: which layer learns the least."""

    def on_train_epoch_end(self) -> None:
        """Log the largest associated loss over the smallest one."""
        numbers = range(1, len(self.layers) + 1)
        losses = [self.trainer.callback_metrics[f"train_layer{number}_associated"] for number in numbers]
        self.log("train_imbalance", max(losses) / min(losses))


def build_data(seed: int) -> Tumours:
    """The table of this project; validation rows depend on the seed, test rows do not."""
    return Tumours(
        root=str(HERE / "data"), source="tumours.csv", class_column="diagnosis", batch_size=32, val_fraction=0.2,
        seed=seed,
    )  # fmt: skip


#: As in ``configs/``, chosen by validation.
RATES = {WatchedAL: 5e-3, TumourBP: 2e-3}


def build_model(kind: type[WatchedAL | TumourBP], data: Tumours, epochs: int) -> ALModule | BPModule:
    """A network with the settings of ``configs/``."""
    names = list(data.class_names or ())
    return kind(
        len(names),
        data.in_features,
        class_names=names,
        optimizer=functools.partial(torch.optim.AdamW, lr=RATES[kind], weight_decay=1e-2),
        lr_scheduler=functools.partial(CosineAnnealingLR, T_max=epochs),
    )


def train(kind: type[WatchedAL | TumourBP], seed: int, epochs: int, split: Literal["val", "test"]) -> dict[str, float]:
    """Train one network and evaluate its last weights; returns all metrics of a split."""
    pl.seed_everything(seed, verbose=False)
    data = build_data(seed)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[MissedTumours()], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, check_val_every_n_epoch=epochs,
    )  # fmt: skip
    model = build_model(kind, data, epochs)
    trainer.fit(model, data)
    (metrics,) = (trainer.validate if split == "val" else trainer.test)(model, data, verbose=False)
    return dict(metrics)


def logistic_regression(seed: int, split: Literal["val", "test"]) -> dict[str, float]:
    """The baseline, on the same rows."""
    data = build_data(seed)
    data.setup("test")
    rows = {name: data.dataset(name)[data.indices(name)] for name in ("train", split)}
    fitted = LogisticRegression(max_iter=1000).fit(rows["train"].vectors, rows["train"].labels)
    right = torch.from_numpy(fitted.predict(rows[split].vectors)) == rows[split].labels
    malignant = rows[split].labels == list(data.class_names or ()).index("malignant")
    return {
        f"{split}_acc": right.float().mean().item(),
        f"{split}_missed": (~right[malignant]).float().mean().item(),
    }


def main() -> None:
    """Train everything over some seeds and print means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", choices=("val", "test"), default="test")
    given = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no line about devices for every run
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # the rows are in memory
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")  # Lightning 2.6 beside a newer torch
    runs = {
        "Associated Learning": functools.partial(train, WatchedAL, epochs=given.epochs, split=given.split),
        "backpropagation": functools.partial(train, TumourBP, epochs=given.epochs, split=given.split),
        "logistic regression": functools.partial(logistic_regression, split=given.split),
    }
    for name, run in runs.items():
        measured = [run(seed=seed) for seed in given.seeds]
        means = {metric: sum(one[metric] for one in measured) / len(measured) for metric in measured[0]}
        said = [f"accuracy {means[f'{given.split}_acc']:.4f}", f"malignant missed {means[f'{given.split}_missed']:.4f}"]
        said += [f"{metric.removeprefix(f'{given.split}_acc_')} {mean:.4f}" for metric, mean in means.items()
                 if f"{given.split}_acc_" in metric]  # fmt: skip
        print(f"{name:20} {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
