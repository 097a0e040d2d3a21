"""``export``: a trained network as a file that is served without this package."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import al_lightning.data
import al_lightning.modules  # noqa: F401  (importing the classes lets checkpoints use them)
from al_lightning.checkpoints.contents import read_checkpoint, rebuild, rebuild_data
from al_lightning.checkpoints.recipe import Recorded
from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.run import RunModule
from al_lightning.nn.path import Readout
from al_lightning.serving import Exported, export_path, export_segments
from al_lightning.serving.formats import FORMATS


def main(args: Sequence[str]) -> Exported:
    """``al-lightning export``.

    Args:
        args: what follows ``export``.

    Returns:
        What was written.

    Raises:
        ValueError: for arguments that cannot be, a network that cannot be exported, or a file that computes something
            else.
        FileExistsError: if a file is there and was not to be replaced.
        ImportError: if a package is missing.
    """
    given = _arguments(args)
    if given.ckpt_path is None:
        raise ValueError("Expected `--ckpt_path` to name the checkpoint to export. Pass it.")
    form = given.format or next((k for k, kind in FORMATS.items() if str(given.output).endswith(kind.suffix)), None)
    if form not in FORMATS:
        names = " or ".join(FORMATS)
        raise ValueError(f"Expected `--format` to be {names}, but got {given.format}. Pass one.")
    checkpoint = read_checkpoint(given.ckpt_path)
    module = _module(checkpoint, given.ckpt_path, given.model)
    options: dict[str, Any] = {
        "path_length": given.path_length,
        "readout": cast("Readout | None", given.readout),
        "format": form,
        "input_shape": _shape(given.input_shape),
        "opset": given.opset,
        "force": given.force,
        "data": _data(checkpoint, given.ckpt_path),
    }
    output = given.output or _default_output(given, form)
    exported = (export_segments if given.segments else export_path)(module, output, **options)
    print("\n".join(report(exported)))
    return exported


def report(exported: Exported) -> list[str]:
    """What the command prints of files.

    Args:
        exported: as they were written.
    """
    lines = []
    for file, unit in exported.files:
        lines.append(f"{file}")
        for kind, ports in (("in", unit.inputs), ("out", unit.outputs)):
            for port in ports:
                lines.append(f"  {kind:3} {port.name} ({', '.join(map(str, port.shape))}) {port.dtype}")
    lines += [
        f"{exported.size / 1e6:.2f} MB, {exported.parameters:,} parameters; what a server needs besides: "
        f"{exported.description}",
        f"Loaded again and compared with the module: off by {exported.difference:.1e} at most.",
        exported.snippet,
    ]
    return lines


def _arguments(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="al-lightning export",
        allow_abbrev=False,
        description="Write a trained network to a file that is served without this package, and check it.",
        epilog="The file holds the functions of one path only. Beside it, <file>.json says how samples are prepared.",
    )
    parser.add_argument("--ckpt_path", metavar="CKPT", help="the checkpoint")
    parser.add_argument("--format", metavar="{torch,onnx}", help="torch: .pt2 for torch.export.load; onnx: .onnx")
    parser.add_argument("--path_length", type=int, metavar="K", help="of the path; the full one unless given")
    parser.add_argument("--readout", metavar="{decoder,codes,mean}", help="how it is read; as in training unless given")
    parser.add_argument("--segments", action="store_true",
                        help="one file per layer, for early exits outside of Python")  # fmt: skip
    parser.add_argument("--output", metavar="FILE",
                        help="the file, with --segments a folder; beside the checkpoint unless given")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--opset", type=int, metavar="N", help="version of ONNX's operators")
    parser.add_argument("--input_shape", metavar="'[6]'",
                        help="of one sample, for a network built from parts, which does not know it")  # fmt: skip
    parser.add_argument("--model", metavar="CLASS",
                        help="yourmodule.YourClass, for a checkpoint that does not say how it was built")  # fmt: skip
    given, rest = parser.parse_known_args(list(args))
    if rest:
        raise ValueError(f"Expected arguments of `export`, but got {rest[0]}. `al-lightning export --help` lists them.")
    return given


def _module(checkpoint: dict[str, Any], path: str, kind: str | None) -> SupervisedModule:
    entry = checkpoint.setdefault("al_lightning", {})
    if entry.get("model") is None:
        if kind is None:
            raise ValueError(
                f"Expected {path} to say how its model was built, but that was made by hand from parts. Pass `--model "
                "yourmodule.YourClass`, a class that needs no arguments, or call `al_lightning.serving.export_path`."
            )
        entry["model"] = {"class_path": kind, "init_args": {}}
    elif kind is not None:
        raise ValueError(f"Expected no `--model`, because {path} says how its model was built. Leave it out.")
    module = rebuild(RunModule, RunModule, checkpoint, path, {})  # type: ignore[type-abstract]
    if not isinstance(module, SupervisedModule):
        raise ValueError(f"Expected a checkpoint of an AL or BP module, but {path} holds a {type(module).__name__}.")
    return module


def _data(checkpoint: dict[str, Any], path: str) -> object:
    """The data module that the checkpoint describes, which loads nothing yet; None if it cannot be built here."""
    if checkpoint["al_lightning"].get("data") is None:
        return None
    try:
        return rebuild_data(Recorded, checkpoint, path, {})
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"How images are prepared will not stand in the description, because the data cannot be built: {error}")
        return None


def _shape(given: str | None) -> list[int] | None:
    if given is None:
        return None
    try:
        shape = json.loads(given)
    except json.JSONDecodeError:
        shape = None
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise ValueError(
            f"Expected `--input_shape` to be a list of whole numbers such as '[3, 32, 32]', but got {given}."
        )
    return shape


def _default_output(given: argparse.Namespace, form: str) -> Path:
    stem = Path(given.ckpt_path).stem
    parts = [
        stem,
        *([f"path{given.path_length}"] if given.path_length else []),
        *([given.readout] if given.readout else []),
    ]
    if given.segments:
        return Path(given.ckpt_path).with_name("-".join([*parts, "segments", form]))
    return Path(given.ckpt_path).with_name("-".join(parts) + FORMATS[form].suffix)
