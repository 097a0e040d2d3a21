"""Networks that grow while they train (paper, section 2.2.3: dynamic layer accumulation)."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import lightning.pytorch as pl
from torch import nn


@runtime_checkable
class Growing(Protocol):
    """A module of which the first layers may train without the others."""

    layers: nn.ModuleList
    active_depth: int
    monitor: str
    mode: str


class LayerAccumulation(pl.Callback):
    """Starts with some layers and adds the next one whenever validation stalls.

    A layer's losses need no layer above it, so what was trained stays useful: the layers below train on, or rest while
    the new one learns. A run that goes on from a checkpoint has the layers that it had, and has waited as long.

    Args:
        start: how many layers train from the start, at least 1.
        monitor: metric that a validation logs; the module's own if None, that of the path through all active layers.
        mode: whether large is good; as the module says if None.
        patience: validations without improvement after which a layer is added, at least 1.
        min_delta: what counts as an improvement must be larger.
        freeze: let the layers below a new one rest: they cost a forward only.

    Raises:
        ValueError: if ``start`` or ``patience`` is below 1. When a run starts: if the module has no layers to add, or
            fewer than ``start``. After a validation: if it has not logged the metric.

    Example:
        >>> LayerAccumulation(start=2, patience=3).state_dict()
        {'best': None, 'waited': 0}
    """

    def __init__(
        self,
        start: int = 1,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
        patience: int = 1,
        min_delta: float = 0.0,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("start", start), ("patience", patience)):
            if value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1, but got {value}.")
        self.start = start
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.min_delta = min_delta
        self.freeze = freeze
        self._best: float | None = None
        self._waited = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin with the first layers; a checkpoint that is loaded later says how many there were."""
        if stage != "fit":
            return
        module = self._grown(pl_module)
        if self.start > len(module.layers):
            raise ValueError(
                f"Expected `start` to be in 1..{len(module.layers)}, the number of layers, but got {self.start}."
            )
        self._best, self._waited = None, 0
        module.active_depth = self.start

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the layers rest that rested before."""
        self._rest(self._grown(pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a layer if validation has stalled."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        module = self._grown(pl_module)
        name = self.monitor or module.monitor
        if name not in trainer.callback_metrics:
            raise ValueError(
                f"Expected the metric {name!r} after a validation, but there are {sorted(trainer.callback_metrics)}. "
                "Set `monitor` to one of them."
            )
        value = float(trainer.callback_metrics[name])
        sign = 1 if (self.mode or module.mode) == "max" else -1
        if self._best is None or sign * (value - self._best) > self.min_delta:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience and module.active_depth < len(module.layers):
            module.active_depth += 1
            self._best, self._waited = None, 0  # the new path begins anew
            self._rest(module)

    def state_dict(self) -> dict[str, Any]:
        """The best value so far at this depth, and for how many validations there was none better."""
        return {"best": self._best, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self._best, self._waited = state_dict["best"], state_dict["waited"]

    def _rest(self, module: Growing) -> None:
        if self.freeze:
            for layer in list(module.layers)[: module.active_depth - 1]:
                layer.requires_grad_(False)

    def _grown(self, module: pl.LightningModule) -> Growing:
        if not isinstance(module, Growing):
            raise ValueError(
                f"Expected a module with AL layers for LayerAccumulation, but got {type(module).__name__}. Leave the "
                "callback out, or use the network's AL sibling."
            )
        return module
