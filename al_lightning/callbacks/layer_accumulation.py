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
        max_validations: validations after which a layer is added although validation still improves; no such limit if
            None.
        freeze: let the layers below a new one rest: they cost a forward only.

    Raises:
        ValueError: if ``start``, ``patience`` or ``max_validations`` is below 1. When a run starts: if the module has
            no layers to add, or fewer than ``start``. After a validation: if it has not logged the metric.

    Example:
        >>> LayerAccumulation(start=2, patience=3).state_dict()
        {'best': None, 'waited': 0, 'validated': 0}
    """

    def __init__(
        self,
        start: int = 1,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
        patience: int = 1,
        min_delta: float = 0.0,
        max_validations: int | None = None,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("start", start), ("patience", patience), ("max_validations", max_validations)):
            if value is not None and value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1, but got {value}.")
        self.start = start
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.min_delta = min_delta
        self.max_validations = max_validations
        self.freeze = freeze
        self._validated = 0
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
        if trainer.global_step == 0:  # a Trainer that fits again goes on with the layers that there are
            self._begin()
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
        self._validated += 1
        if self._best is None or sign * (value - self._best) > self.min_delta:
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        long_enough = self.max_validations is not None and self._validated >= self.max_validations
        # A metric that was not averaged over processes is another one on each: if it stalls on one, all grow.
        stalled = trainer.strategy.reduce_boolean_decision(self._waited >= self.patience or long_enough, all=False)
        if stalled and module.active_depth < len(module.layers):
            module.active_depth += 1
            self._begin()
            self._rest(module)

    def state_dict(self) -> dict[str, Any]:
        """The best value so far at this depth, how many validations there were, and how many since the best."""
        return {"best": self._best, "waited": self._waited, "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self._best, self._waited = state_dict["best"], state_dict["waited"]
        self._validated = state_dict["validated"]

    def _begin(self) -> None:
        """A path of another length is judged by itself."""
        self._best, self._waited, self._validated = None, 0, 0

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
