"""Benign or malignant? A gated network on tables, trained by Associated Learning and by backpropagation."""

from tumours.callback import MissedTumours
from tumours.data import Tumours
from tumours.network import TumourAL, TumourBP

__all__ = ["MissedTumours", "TumourAL", "TumourBP", "Tumours"]
