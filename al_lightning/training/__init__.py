"""What a training step consists of: updates, reductions between processes, and seeded random numbers."""

from al_lightning.training.whole_run import WholeRunLR

__all__ = ["WholeRunLR"]
