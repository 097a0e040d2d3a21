"""Callbacks: checkpoints under manual optimization, predictions as a table."""

from al_lightning.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
from al_lightning.callbacks.predictions import PredictionWriter

__all__ = ["AtomicCheckpointIO", "Checkpoint", "PredictionWriter"]
