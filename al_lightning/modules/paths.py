"""Inference along the paths of a stack of AL layers (paper, Algorithm 3)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from al_lightning.modules.base import Classifier
from al_lightning.nn.layer import ALLayer
from al_lightning.nn.state import select


class PathClassifier(Classifier):
    """Abstract base of :class:`ALModule`: what a trained stack of layers answers, by any path."""

    #: All layers, from the input upwards.
    layers: nn.ModuleList
    #: How many of them are trained and used.
    active_depth: int
    #: k of ``forward``; ``active_depth`` if None.
    path_length: int | None

    def active_layers(self) -> list[ALLayer]:
        """The layers that are trained and used, from the input upwards."""
        return cast("list[ALLayer]", list(self.layers)[: self.active_depth])

    def _length(self, path_length: int | None) -> int:
        length = path_length if path_length is not None else self.path_length
        if length is None:
            return self.active_depth
        if not 1 <= length <= self.active_depth:
            raise ValueError(
                f"Expected `path_length` to be in 1..{self.active_depth}, the number of active AL layers, "
                f"but got {length}."
            )
        return length

    def _decode(self, association: Tensor, path_length: int) -> Tensor:
        """``h_k .. h_1``: from a bridge's output to scores."""
        for layer in reversed(self.active_layers()[:path_length]):
            association = layer.h(association)
        return association

    def path_index(self) -> int:
        """Index of the module's own path."""
        return self._length(None) - 1

    def forward(self, x: Tensor, path_length: int | None = None) -> Tensor:
        """Scores along one path: ``x -> f_1 .. f_k -> b_k -> h_k .. h_1``.

        Args:
            x: the input, (B, ...).
            path_length: k in 1..L; the module's own if None.

        Returns:
            (B, num_classes) scores, for ``argmax`` or :meth:`probabilities`.

        Raises:
            ValueError: if there is no such path, or ``x`` has another shape than the network was built for.
        """
        self.check_input(x)
        length = self._length(path_length)
        s = x
        for layer in self.active_layers()[:length]:
            s = layer.f(s)
        return self._decode(layer.b(s), length)

    def forward_paths(self, x: Tensor) -> list[Tensor]:
        """Scores along all paths, sharing the encoders: a list of L tensors (B, num_classes)."""
        self.check_input(x)
        s, scores = x, []
        for k, layer in enumerate(self.active_layers(), 1):
            s = layer.f(s)
            scores.append(self._decode(layer.b(s), k))
        return scores

    def forward_adaptive(self, x: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
        """Let each sample leave at the first path that is sure of it; the rest goes on as a smaller batch.

        Args:
            x: the input, (B, ...).
            confidence: calibrated probability in [0, 1] at which a sample leaves.

        Returns:
            Scores (B, num_classes) and the path length that made them, (B,) int64.

        Raises:
            ValueError: if ``confidence`` is outside [0, 1].
            RuntimeError: in training mode, where batch norm would mix the samples that stay.
        """
        if not 0 <= confidence <= 1:
            raise ValueError(f"Expected `confidence` to be in [0, 1], but got {confidence}.")
        if self.training:
            raise RuntimeError("Expected the module in evaluation mode for early exits. Call `.eval()` first.")
        self.check_input(x)
        s, depth = x, self.active_depth
        scores = left = exits = torch.empty(0)
        for k, layer in enumerate(self.active_layers(), 1):
            s = layer.f(s)
            path = self._decode(layer.b(s), k)
            if k == 1:
                scores = torch.empty_like(path)
                left = torch.arange(len(path), device=path.device)
                exits = torch.full_like(left, depth)
            sure = self.probabilities(path, k).amax(-1) >= confidence
            leaves = sure if k < depth else torch.ones_like(sure)
            scores[left[leaves]] = path[leaves]
            exits[left[leaves]] = k
            if bool(leaves.all()):
                break
            left, s = left[~leaves], select(s, ~leaves)
        return scores, exits

    def inference_parameters(self, path_length: int | None = None) -> int:
        """Number of parameters of one path: ``f_1 .. f_k``, ``b_k``, ``h_1 .. h_k``; no g, one bridge.

        Args:
            path_length: k; the module's own if None.

        Returns:
            The count.
        """
        layers = self.active_layers()[: self._length(path_length)]
        used = [part for layer in layers for part in (layer.f, layer.h)] + [layers[-1].b]
        return sum(p.numel() for part in used for p in part.parameters())
