"""A stack of AL layers, of which the first so many are in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from al_lightning.nn.layer import ALLayer
from al_lightning.nn.path import CodePath, InferencePath, Readout


class LayerStack(nn.ModuleList):
    """L AL layers, from the input upwards.

    Args:
        layers: at least one.
        active_depth: how many are in use to start with; all if None.

    Raises:
        ValueError: if there is no layer, or ``active_depth`` is out of its range.
    """

    #: :attr:`active_depth` as part of the state dict.
    depth: Tensor

    def __init__(self, layers: Sequence[ALLayer], active_depth: int | None = None) -> None:
        super().__init__(layers)
        if len(layers) == 0:
            raise ValueError("Expected at least one layer, but got none.")
        self.register_buffer("depth", torch.tensor(0))
        self.register_state_dict_pre_hook(_write_depth)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_read_depth)  # type: ignore[no-untyped-call]
        self.active_depth = len(layers) if active_depth is None else active_depth

    @property
    def active_depth(self) -> int:
        """How many layers are in use, in 1..L; part of the state dict."""
        return self._active_depth

    @active_depth.setter
    def active_depth(self, depth: int) -> None:
        if not 1 <= depth <= len(self):
            raise ValueError(f"Expected `active_depth` to be in 1..{len(self)}, but got {depth}.")
        self._active_depth = depth
        self.depth.fill_(depth)

    def active(self) -> list[ALLayer]:
        """The layers in use, from the input upwards."""
        return cast("list[ALLayer]", list(self)[: self.active_depth])

    def length(self, path_length: int | None) -> int:
        """A path length that exists.

        Args:
            path_length: k; the longest if None.

        Raises:
            ValueError: if there is no such path.
        """
        if path_length is None:
            return self.active_depth
        if not 1 <= path_length <= self.active_depth:
            raise ValueError(
                f"Expected `path_length` to be in 1..{self.active_depth}, the number of active AL layers, "
                f"but got {path_length}."
            )
        return path_length

    def path(
        self, path_length: int | None = None, readout: Readout = "decoder", classes: Tensor | None = None
    ) -> InferencePath | CodePath:
        """What inference of a path computes, as a module of its own that shares these weights.

        Args:
            path_length: k in 1..L; the longest if None.
            readout: how the path becomes scores.
            classes: ``t_0`` of each class, (K, width); only ``"decoder"`` does without.

        Raises:
            ValueError: if there is no such path, or no class to be similar to.
        """
        layers = self.active()[: self.length(path_length)]
        if readout == "decoder":
            return InferencePath(layers)
        if classes is None:
            raise ValueError(f"Expected `classes` for the read-out {readout!r}, but got None.")
        return CodePath(layers, classes, mean=readout == "mean")


def _write_depth(stack: nn.Module, prefix: str, keep_vars: bool) -> None:
    """Put the depth into a state dict, whatever has become of the buffer: averages of weights round it down."""
    assert isinstance(stack, LayerStack)
    stack.depth.fill_(stack.active_depth)


def _read_depth(stack: nn.Module, incompatible_keys: Any) -> None:
    """Take the depth from a state dict that was just loaded."""
    assert isinstance(stack, LayerStack)
    stack.active_depth = int(stack.depth)
