"""Levers of the search for an AL that keeps up with BP which are no part of the library.

Each is trained like any other network, by its class path. What earned its place has moved into the library; what is
left here either did not, or is still being tried.
"""

from levers.cutout import CutoutFashionMNIST
from levers.frozen import FrozenCNNBP
from levers.images import LeverCNN, LeverCNNBP
from levers.muon import MatrixMuon
from levers.texts import LeverLSTM

__all__ = ["CutoutFashionMNIST", "FrozenCNNBP", "LeverCNN", "LeverCNNBP", "LeverLSTM", "MatrixMuon"]
