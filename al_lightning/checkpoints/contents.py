"""What a checkpoint says about itself, and whether it fits."""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from al_lightning._version import __version__
from al_lightning.checkpoints.recipe import Recorded


def describe(module: Recorded, data: object) -> dict[str, Any]:
    """The ``al_lightning`` entry: version, and recipes of model and data (None if built from parts)."""
    return {
        "version": __version__,
        "model": module.recipe(),
        "data": data.recipe() if isinstance(data, Recorded) else None,
    }


def describe_arguments(name: str, recorded: Recorded) -> list[tuple[str, str]]:
    """Arguments that decide a run's result, as (name, value), but for paths and other matters of one machine."""
    kept = {
        key: value
        for key, value in recorded.plain_arguments().items()
        if key not in recorded.run_time_arguments or key == "batch_size"
    }
    return [
        (f"the class of {name}", type(recorded).__qualname__),
        *((f"{name}'s `{key}`", repr(value)) for key, value in kept.items()),
    ]


def read_checkpoint(path: str | Path, map_location: torch.device | str | None = "cpu") -> dict[str, Any]:
    """Load a checkpoint without running any code of its.

    Args:
        path: the file.
        map_location: where to put its tensors.

    Returns:
        The checkpoint's dictionary.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint, or was cut short.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a checkpoint file, but there is none at {path}.")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except (RuntimeError, OSError, UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"Expected a whole checkpoint of plain types, but {path} cannot be read ({reason}). "
            "If it was cut short, use an earlier one; the folder's other .ckpt files are not affected."
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"Expected {path} to be a Trainer's checkpoint, but it has no `state_dict`.")
    return checkpoint


def check_checkpoint(module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Compare a checkpoint's weights with a module's, before they are loaded.

    Args:
        module: what the weights shall go into.
        checkpoint: as :func:`read_checkpoint` returns it.

    Raises:
        ValueError: if names or shapes differ.
    """
    entry = checkpoint.get("al_lightning", {})
    ours, theirs = module.state_dict(), checkpoint["state_dict"]
    different = sorted(ours.keys() ^ theirs.keys()) or [
        f"{name} {tuple(theirs[name].shape)} instead of {tuple(value.shape)}"
        for name, value in ours.items()
        if theirs[name].shape != value.shape
    ]
    if different:
        model = entry.get("model") or {}
        built = model.get("class_path", "a module built from parts").rsplit(".", 1)[-1]
        arguments = ", ".join(f"{k}={v!r}" for k, v in model.get("init_args", {}).items() if v is not None)
        raise ValueError(
            f"Expected a checkpoint of this {type(module).__name__}, but the weights are those of "
            f"{built}({arguments[:300]}): {len(different)} of them differ, first {different[0]}. "
            "Build the module with the checkpoint's arguments, or give the command `--ckpt_path` alone."
        )
    version = entry.get("version")
    if version is not None and version != __version__:
        warnings.warn(
            f"The checkpoint was written by al_lightning {version} and is read by {__version__}; "
            "its weights fit and are used.",
            stacklevel=2,
        )
