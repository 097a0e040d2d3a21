"""Diabetes progression, which comes with scikit-learn: nothing to download."""

from __future__ import annotations

from typing import Literal

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor

from al_lightning.data.tables.module import TableDataModule
from al_lightning.targets.values import ValueTarget


class Diabetes(TableDataModule):
    """442 patients, 10 features each, and how far their diabetes is a year later (Efron et al., 2004).

    What is learned is one value, ``progression``, from 25 to 346. Features are as scikit-learn bundles them: centred,
    with a sum of squares of 1 over all patients. The test split is always the same 20 % of them. ``root`` is not read.
    """

    feature_columns = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    test_fraction = 0.2

    def find_target(self) -> ValueTarget:
        """The progression, standardised by the training split."""
        return ValueTarget.of(self.training_labels(), ["progression"])

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Vectors (N, 10) float64 and values (N, 1) float32 of a split."""
        bundle = load_diabetes()
        labels = torch.as_tensor(bundle.target).float().unsqueeze(1)
        own = self.own_part(labels, split)
        return torch.as_tensor(bundle.data)[own], labels[own]
