"""A look inside trained layers, and thresholds for early exits that keep a promise."""

from al_lightning.inspection.exits import calibrate_exits

__all__ = ["calibrate_exits"]
