"""What a server needs and a graph does not hold, as plain json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from al_lightning._version import __version__
from al_lightning.checkpoints.plain import NotPlainError, import_path
from al_lightning.data.images.module import ImageDataModule
from al_lightning.data.tables.module import TableDataModule
from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.text import TextModule
from al_lightning.nn.inputs import TokenCheck
from al_lightning.nn.vocabulary import PAD, UNK
from al_lightning.serving.served import Unit
from al_lightning.targets.base import Target


@runtime_checkable
class WithClassNames(Protocol):
    """A target kind whose predictions are one number per class."""

    class_names: list[str]


def describe_files(
    module: SupervisedModule,
    units: Sequence[tuple[Path, Unit]],
    *,
    format: str,
    readout: str,
    path_length: int | None,
    parameters: int,
    data: object,
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """What stands beside exported files.

    Args:
        module: whose network they hold.
        units: files and what they hold, in the order in which they run.
        format: of the files.
        readout: how paths are read out; ``"head"`` of a BP network.
        path_length: of the longest path; None for a BP network.
        parameters: how many inference uses.
        data: the data module that the network was trained with, if known.
        thresholds: of early exits, one per file.

    Returns:
        Plain types.
    """
    files: list[dict[str, Any]] = [
        {
            "file": file.name,
            "inputs": [port._asdict() for port in unit.inputs],
            "outputs": [port._asdict() for port in unit.outputs],
        }
        for file, unit in units
    ]
    if thresholds is not None:
        for file, threshold in zip(files, thresholds):
            file["threshold"] = threshold
    return {
        "al_lightning": __version__,
        "network": _class_path(module),
        "format": format,
        "path_length": path_length,
        "readout": readout,
        "parameters": parameters,
        "target": _describe_target(module.target),
        "preparation": describe_preparation(module, data),
        "files": files,
    }


def describe_preparation(module: SupervisedModule, data: object) -> dict[str, Any] | None:
    """How raw samples become inputs; None if that is not known.

    Args:
        module: a text network knows its words.
        data: an image set knows its pixels, a table its columns.
    """
    if isinstance(module, TextModule):
        return {
            "kind": "text",
            "tokenizer": "basic_english",
            "padding": PAD,
            "unknown": UNK,
            "max_length": _most(module),
            "vocabulary": module.vocabulary,
        }
    if isinstance(data, ImageDataModule):
        return {
            "kind": "images",
            "formula": "(pixels / pixel_range - mean) / std, channels first",
            "pixel_range": float(data.pixel_range),
            "mean": [float(value) for value in data.mean],
            "std": [float(value) for value in data.std],
            "in_channels": data.in_channels,
            "image_size": data.image_size,
            "smaller_images": "are resized" if data.native_size is None else "are padded with zeros on all sides",
        }
    if isinstance(data, TableDataModule):
        columns = list(data.feature_columns)
        return {
            "kind": "table",
            "formula": "(columns - mean) / std, in float64, then float32",
            "columns": columns,
            "mean": [0.0] * len(columns) if data.mean is None else list(map(float, data.mean)),
            "std": [1.0] * len(columns) if data.std is None else list(map(float, data.std)),
        }
    return None


def _most(module: TextModule) -> int | None:
    """Most tokens of a text: as in training, and as the network has positions for, of which a graph keeps one free."""
    most = [module.max_length]
    if isinstance(module.input_check, TokenCheck) and module.input_check.longest is not None:
        most.append(module.input_check.longest - 1)
    return min((length for length in most if length is not None), default=None)


def _class_path(module: SupervisedModule) -> str:
    kind = type(module)
    try:
        return import_path(kind)
    except NotPlainError:  # of a notebook, or of a function
        return f"{kind.__module__}.{kind.__qualname__}"


def _describe_target(target: Target) -> dict[str, Any]:
    named = {"class_names": list(target.class_names)} if isinstance(target, WithClassNames) else {}
    return {"kind": type(target).__name__, "width": target.width, **named, "columns": list(target.columns)}
