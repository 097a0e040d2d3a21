"""Writes trained networks to files that are served without this package, and checks them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.path import READOUTS, Readout
from al_lightning.serving import files as output
from al_lightning.serving.check import check_inputs, compare, refuse_other_forward
from al_lightning.serving.description import describe_files
from al_lightning.serving.formats import Run, choose_format
from al_lightning.serving.segments import segment_units
from al_lightning.serving.served import Tensors, Unit, find_inputs, path_unit, served_path


class Exported(NamedTuple):
    """What was written.

    Attributes:
        files: the files, in the order in which they run, and what goes in and comes out.
        description: the json file beside them.
        size: bytes of all files but the description.
        parameters: how many inference uses, constant class codes included.
        difference: the largest one from the network, over all batches of the check.
        snippet: two lines that run it.
    """

    files: list[tuple[Path, Unit]]
    description: Path
    size: int
    parameters: int
    difference: float
    snippet: str


def export_path(
    module: SupervisedModule,
    file: str | Path,
    *,
    path_length: int | None = None,
    readout: Readout | None = None,
    format: str | None = None,
    input_shape: Sequence[int] | None = None,
    opset: int | None = None,
    force: bool = False,
    data: object = None,
) -> Exported:
    """Write what inference of a path computes to a file, load it again and compare.

    The file reads one input, ``x`` or ``tokens``, of any number of samples, and returns ``scores`` (B, width) and
    ``predictions`` (B, ...), which for classes are calibrated probabilities. ``<file>.json`` says how raw samples
    become inputs and what predictions are called.

    Args:
        module: trained; it is left as it was.
        file: to be written, ``.pt2`` or ``.onnx``.
        path_length: k; the module's own if None. A BP module has one path.
        readout: how the path is read out; the module's own way if None. A BP module has one.
        format: ``"torch"`` or ``"onnx"``; by the end of the file's name if None.
        input_shape: of one sample, for a module built from parts, which does not know what it reads.
        opset: version of ONNX's operators; the exporter's own if None.
        force: replace files that are there.
        data: the data module, for what images are prepared by.

    Returns:
        What was written.

    Raises:
        ValueError: for arguments that cannot be, a network that cannot be exported, or a file that computes something
            else, which then does not get its name.
        FileExistsError: if the file is there.
        ImportError: if a package is missing.
    """
    target = Path(file)
    chosen = choose_format(format, target, opset)
    chosen.require()
    served = served_path(module, path_length, readout)
    inputs = find_inputs(module, input_shape)
    if target.is_dir():
        raise ValueError(f"Expected a file to write to, but {target} is a folder. Name a file in it.")
    refuse_other_forward(module, served, inputs, path_length, readout)
    unit = path_unit(served, inputs)
    description = target.with_name(f"{target.name}.json")
    with output.staged([target, description], force) as folder:
        output.write(chosen, unit, folder / target.name)
        run = chosen.read(folder / target.name, unit)
        names = [port.name for port in unit.outputs]
        worst = max(compare(names, run((x,)), unit.answer((x,))) for x in check_inputs(inputs))
        output.refuse_difference(worst, folder / target.name)
        size = output.size(folder)
        parameters, length, way = _about_path(module, path_length, readout)
        about = describe_files(
            module, [(target, unit)], format=chosen.name, readout=way, path_length=length, parameters=parameters,
            data=data,
        )  # fmt: skip
        _write_json(folder / description.name, about)
    return Exported([(target, unit)], description, size, parameters, worst, chosen.snippet(target, unit))


def export_segments(
    module: SupervisedModule,
    folder: str | Path,
    *,
    format: str,
    path_length: int | None = None,
    readout: Readout | None = None,
    input_shape: Sequence[int] | None = None,
    opset: int | None = None,
    force: bool = False,
    data: object = None,
) -> Exported:
    """Write one file per layer, so that samples may leave early outside of Python.

    Segment i reads ``s_{i-1}`` (the first one the input) and returns ``s_i`` beside ``scores``, ``predictions`` and,
    where the target kind knows it, ``confidence`` (B,) of path i. ``segments.json`` has their order and, if they were
    calibrated for this read-out, the thresholds: a sample leaves where its confidence is above, and the state of the
    others goes on.

    Args:
        module: of AL layers, trained; it is left as it was.
        folder: for the files; it is made.
        format: ``"torch"`` or ``"onnx"``.
        path_length: of the longest path; the module's own if None.
        readout: how paths are read out; that of the calibrated thresholds if None, without them the module's own way.
        input_shape: as in :func:`export_path`.
        opset: as in :func:`export_path`.
        force: replace files that are there.
        data: as in :func:`export_path`.

    Returns:
        What was written.

    Raises:
        ValueError: as :func:`export_path`, and for a module without AL layers.
        FileExistsError: if a file is there.
        ImportError: if a package is missing.
    """
    chosen = choose_format(format, None, opset)
    chosen.require()
    if not isinstance(module, LayeredModule):
        raise ValueError(
            f"Expected AL layers for segments, but {type(module).__name__} has none. Export it in one piece."
        )
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ValueError(f"Expected a folder for segments, but {target} is a file. Name another.")
    exits = module.exits.chosen()
    way = readout or (module.readout if exits is None else READOUTS[exits[1]])
    inputs = find_inputs(module, input_shape)
    depth = module.layers.length(module.path_length if path_length is None else path_length)
    paths = [served_path(module, number, way) for number in range(1, depth + 1)]
    refuse_other_forward(module, paths[-1], inputs, depth, way)
    units = segment_units(module, depth, way, inputs)
    files = [target / f"segment{number}{chosen.suffix}" for number in range(1, depth + 1)]
    description = target / "segments.json"
    shared = nn.ModuleList(module.path(number, way) for number in range(1, depth + 1))  # counts what they share once
    parameters = sum(p.numel() for p in shared.parameters()) + sum(map(_numbers_of_codes, units))
    with output.staged([*files, description], force) as staging:
        runs = []
        for file, unit in zip(files, units):
            output.write(chosen, unit, staging / file.name)
            runs.append(chosen.read(staging / file.name, unit))
        wholes = [path_unit(path, inputs) for path in paths]
        worst = 0.0
        for x in check_inputs(inputs):
            for whole, said in zip(wholes, run_chain(units, runs, x)):
                answers = (said["scores"], said["predictions"])
                worst = max(worst, compare(("scores", "predictions"), answers, whole.answer((x,))))
        output.refuse_difference(worst, staging)
        size = output.size(staging)
        about = describe_files(
            module, list(zip(files, units)), format=chosen.name, readout=way, path_length=depth,
            parameters=parameters, data=data,
            thresholds=exits[0] if exits is not None and READOUTS[exits[1]] == way else None,
        )  # fmt: skip
        _write_json(staging / description.name, about)
    listed = list(zip(files, units))
    return Exported(listed, description, size, parameters, worst, chosen.snippet(files[0], units[0]))


def run_chain(units: Sequence[Unit], runs: Sequence[Run], x: Tensor) -> Iterator[dict[str, Tensor]]:
    """Run segments one after the other on a batch, of which nobody leaves.

    Args:
        units: of the segments.
        runs: each of which computes one.
        x: input of the first.

    Yields:
        The outputs of each by name.
    """
    given: Tensors = (x,)
    for number, (unit, run) in enumerate(zip(units, runs)):
        said = dict(zip((port.name for port in unit.outputs), run(given)))
        yield said
        if number + 1 < len(units):
            given = tuple(said[port.name] for port in units[number + 1].inputs)


def _numbers_of_codes(unit: Unit) -> int:
    codes = dict(unit.network.named_buffers(recurse=False)).get("codes")
    return 0 if codes is None else codes.numel()


def _about_path(
    module: SupervisedModule, path_length: int | None, readout: Readout | None
) -> tuple[int, int | None, str]:
    """Parameters, length and read-out of a path."""
    if not isinstance(module, LayeredModule):
        return module.inference_parameters(), None, module.readout_name()
    length = module.layers.length(module.path_length if path_length is None else path_length)
    way = module.readout if readout is None else readout
    return module.inference_parameters(length, way), length, way


def _write_json(file: Path, about: dict[str, Any]) -> None:
    file.write_text(json.dumps(about, indent=1), encoding="utf-8")
