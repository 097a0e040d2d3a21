"""What ``--ckpt_path`` fills in: model and data come from the checkpoint, and nothing typed may contradict it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from al_lightning.checkpoints.contents import read_checkpoint
from al_lightning.checkpoints.recipe import Recipe, Recorded

#: How a configuration is named on the command line.
CONFIG_FLAGS = ("-c", "--config")


def flag(args: Sequence[str], *names: str) -> str | None:
    """The value of ``--name VALUE`` or ``--name=VALUE``, if it is there."""
    for position, arg in enumerate(args):
        for name in names:
            if arg == name and position + 1 < len(args):
                return args[position + 1]
            if arg.startswith(f"{name}="):
                return arg.split("=", 1)[1]
    return None


def asked_checkpoint(args: Sequence[str]) -> str | None:
    """The checkpoint that ``--ckpt_path`` or ``ckpt_path:`` of a configuration names; what comes later counts.

    The configuration that a run saves says ``ckpt_path: null``, which means that it names none: it takes back no path
    that was typed.

    Returns:
        What was asked for; None without it, and for a ``null`` that was typed.
    """
    path: object = None
    for position in range(len(args)):
        name, value = _parted(args, position)
        if name == "--ckpt_path":
            path = value
        elif name in CONFIG_FLAGS and Path(value).is_file():
            with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError):  # the parser will say what is wrong with it
                content = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
                path = (content.get("ckpt_path") or path) if isinstance(content, dict) else path
    return None if path in (None, "", "null", "None") else str(path)


def _is_file(path: str) -> bool:
    """Whether a checkpoint is one to be read now, and not what only a Trainer finds, such as ``best``."""
    return path not in ("best", "last", "hpc") and not path.startswith("registry")


def _parted(args: Sequence[str], position: int) -> tuple[str, str]:
    """Name and value of an argument: ``--name=value``, or ``--name value`` in two."""
    name, equals, value = args[position].partition("=")
    return name, value if equals else next(iter(args[position + 1 : position + 2]), "")


def checkpoint_entry(path: str | None, weights_only: bool = True) -> dict[str, Any] | None:
    """What a checkpoint says about itself.

    Args:
        path: of the checkpoint.
        weights_only: whether to read plain types only.

    Returns:
        The entry; None if there is no checkpoint, or only a Trainer can find it.
    """
    if path is None or not _is_file(path):
        return None
    entry: dict[str, Any] = read_checkpoint(path, weights_only=weights_only).get("al_lightning", {})
    return entry


def checkpoint_recipes(args: Sequence[str], path: str | None, entry: Mapping[str, Any] | None) -> dict[str, Recipe]:
    """What a checkpoint says about its model and data.

    Args:
        args: of the command; they may name what the checkpoint cannot.
        path: of the checkpoint.
        entry: what the checkpoint says about itself; there are no recipes if None.

    Raises:
        ValueError: if neither says how model and data are built.
    """
    if entry is None:
        return {}
    recipes = {key: entry[key] for key in ("model", "data") if entry.get(key) is not None}
    for key in ("model", "data"):
        if key not in recipes and flag(args, f"--{key}", "--config", "-c") is None:
            raise ValueError(
                f"Expected {path} to say how its {key} was built, but that was made by hand from parts. "
                f"Pass `--{key} yourmodule.YourClass`."
            )
    return recipes


def settable(key: str, recipe: Recipe, linked: Iterable[str]) -> Recipe:
    """A recipe without the model's linked arguments, which a parser would refuse; the data keep theirs."""
    init_args = {k: v for k, v in recipe.get("init_args", {}).items() if key == "data" or k not in set(linked)}
    return {"class_path": recipe["class_path"], "init_args": init_args}


def refuse_contradictions(path: str, key: str, kept: Recipe, asked: Recipe) -> None:
    """Compare what was typed or configured with what the checkpoint holds.

    Raises:
        ValueError: naming the argument.
    """
    names = [recipe["class_path"].rsplit(".", 1)[-1] for recipe in (kept, asked)]
    if kept["class_path"] != asked["class_path"] and names[0] != names[1]:
        raise ValueError(
            f"Expected --{key} to be {names[0]}, which {path} holds, but got {names[1]}. "
            f"Leave --{key} out, or name another checkpoint."
        )
    kind = _recorded_class(kept["class_path"])
    for name, value in kept.get("init_args", {}).items():
        got = asked.get("init_args", {}).get(name)
        found_again = got is None and name in kind.found_arguments
        if name in kind.run_time_arguments or found_again or agrees(value, got):
            continue
        raise ValueError(
            f"Expected --{key}.{name} to be {_short(value)}, as {path} was trained with, but got {_short(got)}. "
            "Leave it out: model and data come from the checkpoint."
        )


def _recorded_class(class_path: str) -> type[Recorded]:
    """The class that a checkpoint names, which knows what its arguments are for."""
    module, name = class_path.rsplit(".", 1)
    kind = getattr(import_module(module), name)
    return kind if issubclass(kind, Recorded) else Recorded


def _short(value: object) -> str:
    """A value for a message; vocabularies are long."""
    written = repr(value)
    return written if len(written) <= 200 else f"{written[:200]} ..."


def agrees(kept: object, asked: object) -> bool:
    """Whether nothing that a checkpoint says differs; a recipe inside may have had its defaults filled in."""
    if isinstance(kept, str) and isinstance(asked, dict) and "class_path" in asked:
        kept = {"class_path": kept}  # a bare class, as a Python user gave it
    if isinstance(kept, dict) and isinstance(asked, dict) and "class_path" in kept:
        same = str(kept["class_path"]).rsplit(".", 1)[-1] == str(asked.get("class_path")).rsplit(".", 1)[-1]
        theirs = asked.get("init_args") or {}
        return same and all(agrees(v, theirs.get(k)) for k, v in (kept.get("init_args") or {}).items())
    return kept == asked
