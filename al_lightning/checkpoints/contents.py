"""What a checkpoint says about itself, and whether it fits."""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import nn

from al_lightning._version import __version__
from al_lightning.checkpoints.recipe import Recorded, build

Module = TypeVar("Module", bound=nn.Module)


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
    """Load a checkpoint of plain types; nothing that stands in it is executed.

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


def _check_sequence(name: str, kept: object, ours: object) -> None:
    """Refuse a list, such as a vocabulary, that differs from the one that a checkpoint was trained with."""
    if not isinstance(kept, list) or not isinstance(ours, list) or kept == ours:
        return
    position = next((n for n, (a, b) in enumerate(zip(kept, ours)) if a != b), min(len(kept), len(ours)))
    was, now = (repr(values[position]) if position < len(values) else "missing" for values in (kept, ours))
    raise ValueError(
        f"Expected the {name} that the checkpoint was trained with, but token {position} is {now} instead of {was}. "
        f"Leave the data's arguments to the checkpoint, or pass its `{name}` to the data module."
    )


def check_checkpoint(module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Compare a checkpoint's weights with a module's, before they are loaded.

    Args:
        module: what the weights shall go into.
        checkpoint: as :func:`read_checkpoint` returns it.

    Raises:
        ValueError: if names or shapes differ, or an argument that has to match, such as the vocabulary.
    """
    entry = checkpoint.get("al_lightning", {})
    ours, theirs = module.state_dict(), checkpoint["state_dict"]
    different = sorted(ours.keys() ^ theirs.keys()) or [
        f"{name} {tuple(theirs[name].shape)} instead of {tuple(value.shape)}"
        for name, value in ours.items()
        if theirs[name].shape != value.shape
    ]
    model = entry.get("model") or {}
    if different:
        built = model.get("class_path", "a module built from parts").rsplit(".", 1)[-1]
        arguments = ", ".join(f"{k}={v!r}" for k, v in model.get("init_args", {}).items() if v is not None)
        raise ValueError(
            f"Expected a checkpoint of this {type(module).__name__}, but the weights are those of "
            f"{built}({arguments[:300]}): {len(different)} of them differ, first {different[0]}. "
            "Build the module with the checkpoint's arguments, or give the command `--ckpt_path` alone."
        )
    if isinstance(module, Recorded):
        ours_now = Recorded.plain_arguments(module)
        for name in type(module).matching_arguments:
            _check_sequence(name, model.get("init_args", {}).get(name), ours_now.get(name))
    version = entry.get("version")
    if version is not None and version != __version__:
        warnings.warn(
            f"The checkpoint was written by al_lightning {version} and is read by {__version__}; "
            "its weights fit and are used.",
            stacklevel=2,
        )


def rebuild(
    cls: type[Module],
    base: type,
    path: str | Path,
    map_location: torch.device | str | None,
    overrides: dict[str, Any],
) -> Module:
    """Build the module that a checkpoint describes, and load its weights.

    Args:
        cls: what the module must be.
        base: what the checkpoint's class must derive from.
        path: the checkpoint.
        map_location: where to put the weights.
        overrides: constructor arguments that replace the checkpoint's.

    Returns:
        The module.

    Raises:
        ValueError: if the checkpoint is of another class, or was built by hand and ``overrides`` lack the arguments.
    """
    checkpoint = read_checkpoint(path, map_location)
    model = checkpoint.get("al_lightning", {}).get("model")
    if model is None:
        try:
            module = cls(**overrides)
        except TypeError as error:
            raise ValueError(
                f"{path} does not say how its module was built, because it was made by hand "
                f"from parts. Pass the constructor's arguments beside the path ({error})."
            ) from None
    else:
        module = build(base, model, **overrides)
        if not isinstance(module, cls):
            raise ValueError(
                f"Expected a checkpoint of {cls.__name__}, but {path} holds "
                f"{type(module).__name__}. Call `{type(module).__name__}.load_from_checkpoint`."
            )
    check_checkpoint(module, checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    if map_location is not None:
        module.to(map_location)
    return module
