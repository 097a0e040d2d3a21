"""The measurements as a data module."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from al_lightning.data import Table


class Tumours(Table):
    """A table of lengths, areas and ratios of cell nuclei, of which none is below 0.

    Laboratories write -1 or -9 for what they did not measure, which a network would take for a number. Rows to train
    on, to test on and to predict are all read here.
    """

    def read_features(self, file: Path) -> Tensor:
        """Features (N, D) float64 of a csv or parquet file.

        Raises:
            ValueError: if a column is missing or holds what is no number, or one below 0, naming row and column.
        """
        measured = super().read_features(file)
        below = (measured < 0).nonzero()
        if len(below):
            row, column = below[0].tolist()
            raise ValueError(
                f"Expected measurements of at least 0 in column {self.feature_columns[column]!r} of {file}, but row "
                f"{row} holds {measured[row, column].item():g}. Measure again, or remove the row."
            )
        return measured
