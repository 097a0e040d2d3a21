"""What the paths of a trained network say about data that did not train it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from al_lightning.inspection.thresholds import Held
from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.path import Readout

#: Part of the samples that fits temperatures; the rest decides about thresholds.
FITTING = 0.15


@dataclass(frozen=True)
class Answers:
    """Scores of held-out samples.

    Attributes:
        scores: (n, width) of each read-out, by its name; on the CPU.
        labels: (n, ...).
    """

    scores: dict[str, Tensor]
    labels: Tensor

    def part(self, chosen: Tensor) -> Answers:
        """Some of the samples."""
        return Answers({name: own[chosen] for name, own in self.scores.items()}, self.labels[chosen])


def collect(
    module: SupervisedModule, trainer: pl.Trainer, data: pl.LightningDataModule, loader: Iterable[Any]
) -> Answers:
    """Scores of all that a loader yields, by each read-out of a network.

    Args:
        module: trained, in evaluation mode.
        trainer: whose precision and device count.
        data: whose hooks make batches what the module reads.
        loader: of data that did not train the module.
    """
    scores: dict[str, list[Tensor]] = {}
    labels = []
    with torch.inference_mode():
        for x, y in batches(module, trainer, data, loader):
            with trainer.precision_plugin.forward_context():
                _, each = module.evaluate(x, y)
            for name, own in each.items():
                scores.setdefault(name, []).append(own.float().cpu())
            labels.append(y.cpu())
    return Answers({name: torch.cat(own) for name, own in scores.items()}, torch.cat(labels))


def batches(
    module: SupervisedModule, trainer: pl.Trainer, data: pl.LightningDataModule, loader: Iterable[Any]
) -> Iterable[tuple[Any, Tensor]]:
    """Batches as the Trainer would hand them to the module's steps."""
    for raw in loader:
        moved = data.transfer_batch_to_device(data.on_before_batch_transfer(raw, 0), module.device, 0)
        yield module.read_batch(data.on_after_batch_transfer(moved, 0))


def fit_temperatures(module: LayeredModule, answers: Answers) -> None:
    """Calibrate the probabilities of every read-out on some answers."""
    module.calibration.reset()
    device = module.device
    module.calibration.update([own.to(device) for own in answers.scores.values()], answers.labels.to(device))
    module.calibration.fit(len(answers.scores))


def held(module: LayeredModule, answers: Answers, way: Readout) -> Held:
    """How sure each path is, and whether it is right."""
    confidence, right = [], []
    for k in range(1, module.layers.length(module.path_length) + 1):
        own = answers.scores[module.readout_name(k, way)].to(module.device)
        probabilities = module.predictions(own, k, way).cpu()
        confidence.append(module.target.confidence(probabilities))
        right.append(module.target.right(probabilities, answers.labels))
    return Held(torch.stack(confidence, 1).double(), torch.stack(right, 1))


def divide(answers: Answers, seed: int = 0) -> tuple[Answers, Answers]:
    """Samples that fit temperatures, and samples that decide, at random."""
    order = torch.randperm(len(answers.labels), generator=torch.Generator().manual_seed(seed))
    first = int(FITTING * len(order))
    return answers.part(order[:first]), answers.part(order[first:])
