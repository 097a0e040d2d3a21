"""``inspect``: what each layer of a trained network does, and thresholds for its early exits."""

from __future__ import annotations

import argparse
import csv
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.table import Table

from al_lightning.checkpoints.contents import read_checkpoint
from al_lightning.checkpoints.recipe import build
from al_lightning.cli import trainer_commands
from al_lightning.cli.checkpoint_arguments import asked_checkpoint
from al_lightning.experiments.table import WAYS
from al_lightning.inspection.calibrate import Calibrated, beside, calibrate
from al_lightning.inspection.exits import check_exits
from al_lightning.inspection.figures import Point, draw_exits, draw_layers
from al_lightning.inspection.held_out import Answers, batches, collect
from al_lightning.inspection.layers import LayerRow, inspect_layers, warnings_of
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.state import batch_size
from al_lightning.targets.base import Target

#: Batches that time is measured with.
BATCHES = 4


def main(args: Sequence[str]) -> list[LayerRow]:
    """``al-lightning inspect``.

    Args:
        args: what follows ``inspect``.

    Returns:
        A row for each layer.

    Raises:
        ValueError: for arguments that cannot be, a network without AL layers, or a loss that cannot be promised.
    """
    given, rest = _arguments(args)
    path = asked_checkpoint(rest)
    if path is None:
        raise ValueError("Expected `--ckpt_path` to name the checkpoint to look into. Pass it.")
    if given.calibrate:
        _check_exits(path)
    console = Console()
    cli = trainer_commands.run("validate", rest)
    module, trainer, data = cli.model, cli.trainer, cli.datamodule
    if trainer.world_size > 1:
        raise ValueError(f"Expected one process to look into a checkpoint, but got {trainer.world_size}. Pass "
                         "`--trainer.devices 1`.")  # fmt: skip
    if not isinstance(module, LayeredModule):
        raise ValueError(f"Expected a checkpoint of AL layers, but {path} holds a {type(module).__name__}.")
    module.to(trainer.strategy.root_device).eval()
    loader = data.val_dataloader()
    inputs = [x for x, _ in itertools.islice(batches(module, trainer, data, loader), BATCHES)]
    if not inputs:
        raise ValueError("Expected held-out data to look at, but there are none. Train with `--data.val_fraction 0.1`.")
    precision = trainer.precision_plugin.forward_context
    rows = inspect_layers(module, inputs[0], dict(trainer.callback_metrics), precision)
    output = Path(given.output) if given.output else Path(path).with_name(f"{Path(path).stem}-inspect")
    output.mkdir(parents=True, exist_ok=True)
    console.print(layer_table(rows, module, batch_size(inputs[0])))
    for sentence in warnings_of(rows):
        console.print(f"[bold]{sentence}[/bold]")
    _write(output / "layers.csv", rows)
    draw_layers(rows, f"{type(module).__name__}, {path}", output / "layers.png")
    if given.calibrate:
        answers = collect(module, trainer, data, loader)
        # First, so that whatever cannot be compared is refused before the checkpoint changes.
        others = [_beside(other, rest, answers) for other in given.beside]
        found = calibrate(module, answers, inputs, given.max_loss / 100, given.confidence, precision)
        found.points.extend(others)
        _keep(path, module)
        console.print(exit_table(found, given.max_loss, given.confidence))
        draw_exits(found.points, f"Early exits of {type(module).__name__}", output / "exits.png")
        console.print(f"Thresholds and temperatures are kept in {path}.")
        console.print(f"Next: al-lightning predict --ckpt_path '{path}' --model.confidence calibrated")
    console.print(f"Pictures and numbers: {output}")
    return rows


def _arguments(args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="al-lightning inspect",
        allow_abbrev=False,
        description="Show what each layer of a trained network does; choose thresholds for early exits.",
        epilog="All other arguments are those of `al-lightning validate`, such as --ckpt_path, --data.batch_size, "
        "--model.readout and --trainer.accelerator.",
    )
    parser.add_argument("--calibrate", action="store_true", help="choose thresholds, and keep them in the checkpoint")
    parser.add_argument("--max_loss", type=float, default=0.2, metavar="POINTS",
                        help="percentage points of accuracy that early exits may lose (0.2 unless given)")  # fmt: skip
    parser.add_argument("--confidence", type=float, default=0.9, metavar="P",
                        help="probability with which they lose no more (0.9 unless given)")  # fmt: skip
    parser.add_argument("--beside", nargs="+", default=[], metavar="CKPT",
                        help="other checkpoints, such as of a smaller network, to show beside early exits")  # fmt: skip
    parser.add_argument("--output", metavar="FOLDER", help="for pictures; beside the checkpoint unless given")
    given, rest = parser.parse_known_args(list(args))
    if not 0 < given.max_loss < 100:
        raise ValueError(f"Expected `--max_loss` to be above 0 and below 100 points, but got {given.max_loss}.")
    if not 0 < given.confidence < 1:
        raise ValueError(f"Expected `--confidence` to be above 0 and below 1, but got {given.confidence}.")
    if given.beside and not given.calibrate:
        raise ValueError(
            "Expected `--beside` together with `--calibrate`, whose table and picture it adds to. Pass it."
        )
    missing = [path for path in given.beside if not Path(path).is_file()]
    if missing:
        raise ValueError(f"Expected `--beside` to name checkpoints, but there is no file {', '.join(missing)}.")
    return given, rest


def _check_exits(path: str) -> None:
    """Refuse a checkpoint whose target has no early exits, before anything is computed.

    Raises:
        ValueError: saying so.
    """
    model = read_checkpoint(path).get("al_lightning", {}).get("model") or {}
    recipe = model.get("init_args", {}).get("target")
    target = None if recipe is None else build(Target, recipe)
    if isinstance(target, Target):
        check_exits(target)


def _beside(path: str, rest: Sequence[str], answers: Answers) -> Point:
    """Another checkpoint's accuracy and throughput, with the same data and Trainer."""
    cli = trainer_commands.run("validate", [*rest, "--ckpt_path", path])
    cli.model.to(cli.trainer.strategy.root_device).eval()
    return beside(cli.model, cli.trainer, cli.datamodule, answers, BATCHES)


def layer_table(rows: Sequence[LayerRow], module: LayeredModule, samples: int) -> Table:
    """What each layer does.

    Args:
        rows: of the layers.
        module: whose they are.
        samples: of the batch that was timed.
    """
    table = Table(title=f"{type(module).__name__}: layers, and the paths that end at them")
    table.add_column("of layer or path")
    for row in rows:
        table.add_column(str(row.number), justify="right")

    def line(name: str, values: Iterable[str]) -> None:
        table.add_row(name, *values)

    line("parameters in training", (f"{row.training_parameters:,}" for row in rows))
    line("parameters of the path", (f"{row.inference_parameters:,}" for row in rows))
    for name in ("associated", "reconstruction"):
        losses = [vars(row)[name] for row in rows]
        line(f"{name} loss", ("" if value is None else f"{value:.2e}" for value in losses))
    for way in dict.fromkeys(name.rstrip("0123456789") for row in rows for name in row.metrics):
        line(f"{module.target.monitor} by {WAYS[way]}", (f"{row.metrics[f'{way}{row.number}']:.4f}" for row in rows))
    line("million multiplications", (f"{row.multiplications / 1e6:.3g}" for row in rows))
    line(f"ms for {samples} samples", (f"{row.milliseconds:.2f}" for row in rows))
    spreads = [row.codes for row in rows if row.codes is not None]
    for position, name in enumerate(("spread of class codes", "their cosine", "from a simplex") if spreads else ()):
        line(name, (f"{spread[position]:.3f}" for spread in spreads))
    return table


def exit_table(found: Calibrated, largest: float, confidence: float) -> Table:
    """What early exits give beside fixed paths.

    Args:
        found: by the calibration.
        largest: points of accuracy that they may lose.
        confidence: of that.
    """
    bound = f"{100 * found.choice.bound:.2f} points"
    table = Table(
        title=f"At most {largest} points lost with confidence {confidence}: {found.deciding} held-out samples promise "
        f"{bound}; lost there: {100 * found.choice.lost:.2f}"
    )
    table.add_column("answered by", no_wrap=True)
    for column in ("accuracy, %", "samples a second", "of the full path"):
        table.add_column(column, justify="right")
    full = next(point for point in reversed(found.points) if not point.exits and not point.beside)
    for point in found.points:
        name = f"{point.name}, chosen" if point.chosen else point.name
        table.add_row(
            name, f"{100 * point.accuracy:.2f}", f"{point.throughput:.0f}", f"{point.throughput / full.throughput:.2f}"
        )
    thresholds = " / ".join(f"{value:.4f}" for value in found.choice.thresholds.tolist()[:-1])
    table.caption = f"Thresholds: {thresholds}"
    return table


def _write(path: Path, rows: Sequence[LayerRow]) -> None:
    flat: list[dict[str, Any]] = []
    for row in rows:
        codes = {} if row.codes is None else {f"codes_{name}": value for name, value in row.codes._asdict().items()}
        own = {name: value for name, value in vars(row).items() if name not in ("metrics", "codes")}
        flat.append({**own, **{name.rstrip("0123456789"): value for name, value in row.metrics.items()}, **codes})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


def _keep(path: str, module: pl.LightningModule) -> None:
    """Put thresholds and temperatures into the checkpoint, whole or not at all."""
    checkpoint = read_checkpoint(path)
    chosen = {n: value.cpu() for n, value in module.state_dict().items() if n.startswith(("exits.", "calibration."))}
    checkpoint["state_dict"].update(chosen)
    partial = Path(f"{path}.{os.getpid()}.tmp")
    torch.save(checkpoint, partial)
    os.replace(partial, path)
