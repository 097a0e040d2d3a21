"""A look inside trained layers, and thresholds for early exits that keep a promise."""

from al_lightning.inspection.exits import calibrate_exits
from al_lightning.inspection.layers import LayerRow, inspect_layers

__all__ = ["LayerRow", "calibrate_exits", "inspect_layers"]
