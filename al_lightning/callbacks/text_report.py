"""What a run on text says about its data: known word vectors, and how much of it is padding."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from al_lightning.nn.sequence import Tokens
from al_lightning.nn.vocabulary import PAD, SPECIALS
from al_lightning.training.stage import Handover


@runtime_checkable
class CutsTexts(Protocol):
    """A network that cuts texts off where its training data did."""

    def trained_with(self, max_length: int) -> None:
        """Take over the largest number of tokens of a text."""


class TextReport(Callback):
    """Says at the start which share of the training text has word vectors; logs ``train_padding`` per epoch.

    At the start the network also learns where its data cut texts off. Text networks bring it along.

    Args:
        found: (V,) bool, which words started from a file's vector; None without a file.
    """

    def __init__(self, found: Tensor | None) -> None:
        self.found = found
        self._own: Tensor | int = 0
        self._all = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tell the network where its data cut texts; say which share of the text starts from a file's vectors."""
        data = getattr(trainer, "datamodule", None)
        if stage != "fit" or data is None:
            return
        length = getattr(data, "max_length", None)
        if length is not None and isinstance(pl_module, CutsTexts):
            pl_module.trained_with(length)
        if self.found is None:
            return
        counts = getattr(data, "word_counts", None)
        if counts is not None:
            tokens = float(counts[self.found].sum() / counts.sum())
            words = float(self.found[len(SPECIALS) :].float().mean())
            rank_zero_info(f"Word vectors of the file: {tokens:.1%} of the training tokens, {words:.1%} of the words.")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start counting."""
        self._own, self._all = 0, 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch's tokens, on its device; a later stage of a pipeline sees none."""
        if isinstance(batch, Handover):
            return
        x = batch[0] if isinstance(batch, (tuple, list)) else None
        tokens = x.tokens if isinstance(x, Tokens) else x
        if not isinstance(tokens, Tensor):
            return  # the module says what is wrong with the batch
        self._own = self._own + (x.lengths.sum() if isinstance(x, Tokens) else (tokens != PAD).sum())
        self._all += tokens.numel()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the share of padding over all processes."""
        counts = torch.stack([torch.as_tensor(n, dtype=torch.float64, device=pl_module.device)
                              for n in (self._own, self._all)])  # fmt: skip
        # All processes join, whether they have seen tokens or not.
        own, everything = trainer.strategy.reduce(counts, reduce_op="sum")
        if everything:
            pl_module.log("train_padding", (1 - own / everything).float(), batch_size=1)
