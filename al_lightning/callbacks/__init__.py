"""Callbacks: checkpoints under manual optimization, predictions as a table, networks that grow."""

from al_lightning.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
from al_lightning.callbacks.layer_accumulation import LayerAccumulation
from al_lightning.callbacks.predictions import PredictionWriter

__all__ = ["AtomicCheckpointIO", "Checkpoint", "LayerAccumulation", "PredictionWriter"]
