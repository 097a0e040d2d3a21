"""What stands behind each layer of a trained network: a row per layer."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from al_lightning.inspection.codes import Spread, spread_of
from al_lightning.inspection.cost import latency
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.multiplications import multiplications
from al_lightning.nn.path import encode_classes


@dataclass(frozen=True)
class LayerRow:
    """One layer, and the path that ends at it.

    Attributes:
        number: of the layer, from 1.
        training_parameters: of f, b, g and h.
        inference_parameters: of the path, as the module reads it out.
        associated: loss on held-out data (paper, Table 9); None where the layer has none.
        reconstruction: loss on held-out data (paper, Table 10).
        metrics: of the path, from the name of the read-out.
        multiplications: of the path, for one sample.
        milliseconds: of the path, for a batch.
        codes: how far apart the classes' codes are; None for a target without classes.
    """

    number: int
    training_parameters: int
    inference_parameters: int
    associated: float | None
    reconstruction: float | None
    metrics: dict[str, float]
    multiplications: float
    milliseconds: float
    codes: Spread | None


def inspect_layers(
    module: LayeredModule,
    x: Any,
    validated: dict[str, Any],
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> list[LayerRow]:
    """A row for each active layer.

    Args:
        module: trained, in evaluation mode.
        x: a batch as the module reads it, for costs.
        validated: metrics of a validation, by name.
        precision: the context of a forward that is timed.
    """
    x, rows = module.read_input(x), []
    classes = module.encoded_classes()
    layers = module.layers.active()
    codes = [None] * len(layers) if classes is None else [spread_of(c) for c in encode_classes(layers, classes)]

    def said(name: str) -> float | None:
        return float(validated[name]) if name in validated else None

    for number, layer in enumerate(layers, 1):
        path = module.path(number)
        metric = f"val_{module.target.monitor}_"
        endings = [name for name in module.active_readouts() if re.fullmatch(rf"[a-z]+{number}", name)]
        rows.append(
            LayerRow(
                number,
                sum(p.numel() for p in layer.parameters()),
                module.inference_parameters(number),
                said(f"val_layer{number}_associated"),
                said(f"val_layer{number}_reconstruction"),
                {name: float(validated[f"{metric}{name}"]) for name in endings if f"{metric}{name}" in validated},
                multiplications(path, x),
                1000 * latency(path, x, precision=precision),
                codes[number - 1],
            )
        )
    return rows


def warnings_of(rows: list[LayerRow]) -> list[str]:
    """What looks wrong, in sentences."""
    collapsed = [row.number for row in rows if row.codes is not None and row.codes.collapsed]
    if not collapsed:
        return []
    return [
        f"The codes of all classes are nearly one point from layer {collapsed[0]} on: no bridge above can tell classes "
        "apart by them. Sigmoid codes do this layer by layer; try `--model.association contrast`, or train longer."
    ]
