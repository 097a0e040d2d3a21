"""What ``--ckpt_path`` fills in: model and data come from the checkpoint, and nothing typed may contradict it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module

from al_lightning.checkpoints.contents import read_checkpoint
from al_lightning.checkpoints.recipe import Recipe, Recorded


def flag(args: Sequence[str], *names: str) -> str | None:
    """The value of ``--name VALUE`` or ``--name=VALUE``, if it is there."""
    for position, arg in enumerate(args):
        for name in names:
            if arg == name and position + 1 < len(args):
                return args[position + 1]
            if arg.startswith(f"{name}="):
                return arg.split("=", 1)[1]
    return None


def checkpoint_recipes(args: Sequence[str]) -> dict[str, Recipe]:
    """What the checkpoint named by ``--ckpt_path`` says about its model and data."""
    path = flag(args, "--ckpt_path")
    if path is None or path in ("best", "last", "hpc") or path.startswith("registry"):
        return {}
    entry = read_checkpoint(path).get("al_lightning", {})
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
    run_time = _run_time_arguments(kept["class_path"])
    for name, value in kept.get("init_args", {}).items():
        got = asked.get("init_args", {}).get(name)
        if name in run_time or _agrees(value, got):
            continue
        raise ValueError(
            f"Expected --{key}.{name} to be {_short(value)}, as {path} was trained with, but got {_short(got)}. "
            "Leave it out: model and data come from the checkpoint."
        )


def _run_time_arguments(class_path: str) -> frozenset[str]:
    """Arguments that say how to run, not what to build, of the class that a checkpoint names."""
    module, name = class_path.rsplit(".", 1)
    kind = getattr(import_module(module), name)
    return kind.run_time_arguments if issubclass(kind, Recorded) else frozenset()


def _short(value: object) -> str:
    """A value for a message; vocabularies are long."""
    written = repr(value)
    return written if len(written) <= 200 else f"{written[:200]} ..."


def _agrees(kept: object, asked: object) -> bool:
    """Whether nothing that a checkpoint says differs; a recipe inside may have had its defaults filled in."""
    if isinstance(kept, dict) and isinstance(asked, dict) and "class_path" in kept:
        same = str(kept["class_path"]).rsplit(".", 1)[-1] == str(asked.get("class_path")).rsplit(".", 1)[-1]
        theirs = asked.get("init_args") or {}
        return same and all(_agrees(v, theirs.get(k)) for k, v in (kept.get("init_args") or {}).items())
    return kept == asked
