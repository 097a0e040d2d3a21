"""What a checkpoint says about itself, and whether it fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, TypeAlias, TypeVar

import fsspec
import numpy as np
import torch
from torch import nn

from al_lightning._version import __version__
from al_lightning.checkpoints.other_versions import fit_installed
from al_lightning.checkpoints.plain import plain_part
from al_lightning.checkpoints.recipe import Recorded, build

#: Where tensors of a checkpoint go, as in ``torch.load``.
MapLocation: TypeAlias = (
    "torch.device | str | dict[str, str] | Callable[[torch.UntypedStorage, str], torch.UntypedStorage | None] | None"
)
#: Where Lightning keeps what a user's ``save_hyperparameters()`` collected.
_HYPERPARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")
#: Ends of the names of buffers that earlier versions had not: a module keeps its own where a checkpoint lacks them.
_ADDED = ("exits.thresholds", "exits.promise")
Module = TypeVar("Module", bound=nn.Module)
Data = TypeVar("Data", bound=Recorded)


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


def make_plain(checkpoint: dict[str, Any]) -> None:
    """Make a checkpoint of a user's values one that can be read as plain types.

    Of hyperparameters, what has a plain form is kept: recipes say how to rebuild, these are for the user to look at.
    Numbers of numpy, such as a learning rate that optimizers and schedulers keep, become Python's.
    """
    for key in _HYPERPARAMETERS:
        if key in checkpoint:
            checkpoint[key] = plain_part(dict(checkpoint[key]))
    checkpoint.pop("hparams_type", None)  # the class of a container that the values no longer stand in
    for key, value in checkpoint.items():
        if key != "state_dict":
            checkpoint[key] = _python_numbers(value)


def _python_numbers(value: Any) -> Any:
    """A value without numpy's scalars, changed in place where it is a dictionary or list."""
    if isinstance(value, np.generic):
        return value.item()  # of a long double, the same again
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = _python_numbers(item)
    elif isinstance(value, list):
        value[:] = map(_python_numbers, value)
    elif type(value) is tuple:
        return tuple(map(_python_numbers, value))
    return value


def _where_there_is(storage: torch.UntypedStorage, location: str) -> torch.UntypedStorage | None:
    """Put what was on an accelerator on the CPU, if this machine has none."""
    gone = (location.startswith("cuda") and not torch.cuda.is_available()) or (
        location.startswith("mps") and not torch.backends.mps.is_available()
    )
    return storage.cpu() if gone else None  # type: ignore[no-untyped-call]


def read_checkpoint(
    path: str | Path | IO[bytes], map_location: MapLocation = "cpu", weights_only: bool = True
) -> dict[str, Any]:
    """Load a checkpoint of plain types; nothing that stands in it is executed.

    Args:
        path: the file, an address such as ``https://...``, or an open file.
        map_location: where to put its tensors; where they were if None and it is there.
        weights_only: whether to read plain types only. False runs code that may stand in the file.

    Returns:
        The checkpoint's dictionary.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no checkpoint, or was cut short.
    """
    if isinstance(path, (str, Path)) and "://" not in str(path) and not Path(path).is_file():
        raise FileNotFoundError(f"Expected a checkpoint file, but there is none at {path}.")
    where: Any = _where_there_is if map_location is None else map_location
    try:
        if isinstance(path, str) and "://" in path:
            with fsspec.open(path, "rb") as file:
                checkpoint = torch.load(file, map_location=where, weights_only=weights_only)
        else:
            checkpoint = torch.load(path, map_location=where, weights_only=weights_only)
    except (RuntimeError, OSError, UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"Expected a whole checkpoint of plain types, but {path} cannot be read ({reason}). "
            "If it was cut short, use an earlier one; the folder's other .ckpt files are not affected. If it holds "
            "objects that you put there and trust, pass `weights_only=False`."
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"Expected {path} to be a Trainer's checkpoint, but it has no `state_dict`.")
    if "al_lightning" in checkpoint:
        checkpoint["al_lightning"] = fit_installed(checkpoint["al_lightning"])
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


def check_checkpoint(module: nn.Module, checkpoint: dict[str, Any], strict: bool = True) -> None:
    """Compare a checkpoint's weights with a module's, before they are loaded.

    Args:
        module: what the weights shall go into.
        checkpoint: as :func:`read_checkpoint` returns it; buffers that its version had not are added to it.
        strict: whether weights that only one of the two has are an error.

    Raises:
        ValueError: if names or shapes differ, or an argument that has to match, such as the vocabulary.
    """
    entry = checkpoint.get("al_lightning", {})
    ours, theirs = module.state_dict(), checkpoint["state_dict"]
    theirs.update({n: value.clone() for n, value in ours.items() if n.endswith(_ADDED) and n not in theirs})
    different = sorted(ours.keys() ^ theirs.keys()) if strict else []
    different = different or [
        f"{name} {tuple(theirs[name].shape)} instead of {tuple(value.shape)}"
        for name, value in ours.items()
        if name in theirs and theirs[name].shape != value.shape
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
    checkpoint: dict[str, Any],
    path: str,
    overrides: dict[str, Any],
    strict: bool | None = None,
) -> Module:
    """Build the module that a checkpoint describes, and load its weights.

    Args:
        cls: what the module must be.
        base: what the checkpoint's class must derive from.
        checkpoint: as :func:`read_checkpoint` returns it.
        path: where it stood, for messages.
        overrides: constructor arguments that replace the checkpoint's.
        strict: whether the names of all weights have to match; as the module says if None.

    Returns:
        The module, where the checkpoint's tensors are.

    Raises:
        ValueError: if the checkpoint is of another class, or was built by hand and ``overrides`` lack the arguments.
    """
    model = checkpoint.get("al_lightning", {}).get("model")
    if model is None:
        try:
            module = cls(**overrides)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} does not say how its module was built, because it was made by hand from parts, or of "
                f"arguments without a plain form. Pass the constructor's arguments beside the path ({error})."
            ) from None
    else:
        module = build(base, model, **overrides)
        if not isinstance(module, cls):
            raise ValueError(
                f"Expected a checkpoint of {cls.__name__}, but {path} holds "
                f"{type(module).__name__}. Call `{type(module).__name__}.load_from_checkpoint`."
            )
    strictly = bool(getattr(module, "strict_loading", True)) if strict is None else strict
    check_checkpoint(module, checkpoint, strictly)
    module.load_state_dict(checkpoint["state_dict"], strict=strictly)
    devices = (value.device for value in checkpoint["state_dict"].values() if isinstance(value, torch.Tensor))
    return module.to(next(devices, torch.device("cpu")))


def rebuild_data(cls: type[Data], checkpoint: dict[str, Any], path: str, overrides: dict[str, Any]) -> Data:
    """Build the data module that a checkpoint describes.

    Args:
        cls: what it must be.
        checkpoint: as :func:`read_checkpoint` returns it.
        path: where it stood, for messages.
        overrides: constructor arguments that replace the checkpoint's.

    Raises:
        ValueError: if the checkpoint does not describe data, or others.
    """
    data = checkpoint.get("al_lightning", {}).get("data")
    if data is None:
        raise ValueError(f"Expected {path} to say how its data were built, but it does not. Call {cls.__name__}(...).")
    built = build(Recorded, data, **overrides)
    if not isinstance(built, cls):
        raise ValueError(f"Expected data of {cls.__name__} in {path}, but it holds {type(built).__name__}.")
    return built
