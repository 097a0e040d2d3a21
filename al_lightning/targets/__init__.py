"""Target kinds: what a label becomes for AL, what is measured, and how scores are read."""

from al_lightning.targets.base import Calibration, Target
from al_lightning.targets.classes import ClassTarget
from al_lightning.targets.labels import LabelTarget
from al_lightning.targets.values import ValueTarget

__all__ = ["Calibration", "ClassTarget", "LabelTarget", "Target", "ValueTarget"]
