"""Whether early exits keep their promise, over random divisions of held-out data.

    python benchmarks/exits.py CHECKPOINT --max_loss 0.2 --confidence 0.9 --divisions 20 --batch_size 256

All samples that did not train the network, the validation and the test split, are pooled. For each division as many as
the validation split has are drawn at random; thresholds are chosen on them alone, as ``al-lightning inspect
--calibrate`` does, and what they lose against the full path is measured on all others. The promise may be broken in
the share of divisions that it names. Throughput is measured on test batches, full path and exits in turn.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from step import save
from torch import Tensor

from al_lightning.cli import trainer_commands
from al_lightning.experiments.environment import environment
from al_lightning.inspection.calibrate import throughput
from al_lightning.inspection.held_out import Answers, batches, collect, divide, fit_temperatures, held
from al_lightning.inspection.thresholds import choose, leaving, losses
from al_lightning.modules.layered import LayeredModule
from al_lightning.nn.exits import exit_early
from al_lightning.nn.path import READOUTS

#: Batches that time is measured with.
BATCHES = 6
#: Turns of the full path and of exits.
TURNS = 3
#: Parts of a batch that may have to have left before the rest is copied together.
LEAVING = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)


@dataclass
class Row:
    """One division: points of accuracy lost where nothing was chosen, and how many times as fast as the full path.

    ``left`` is the part of those samples that leaves at each path. Time is measured in the first few divisions only.
    """

    division: int
    promised: float
    lost: float
    broken: bool
    left: list[float]
    times_faster: float | None
    thresholds: list[float]


def pool(parts: list[Answers]) -> Answers:
    """Several splits as one."""
    names = parts[0].scores
    return Answers(
        {name: torch.cat([part.scores[name] for part in parts]) for name in names},
        torch.cat([part.labels for part in parts]),
    )


def speed(module: LayeredModule, inputs: list[Any]) -> float:
    """Samples a second of early exits over those of the full path, median of some turns."""

    def full(x: Any) -> Any:
        return module(x)

    def early(x: Any) -> Any:
        return module.forward_adaptive(x, "calibrated")

    def ratio(fast: Callable[[Any], Any], slow: Callable[[Any], Any]) -> float:
        return throughput(fast, inputs) / throughput(slow, inputs)

    return statistics.median(ratio(early, full) for _ in range(TURNS))


def compaction(module: LayeredModule, inputs: list[Any]) -> dict[str, float]:
    """Samples a second of early exits, over those of the full path, by the part that has to have left."""
    chosen = module.exits.chosen()
    assert chosen is not None
    thresholds, way = chosen[0], READOUTS[chosen[1]]

    def sure(scores: Tensor, k: int) -> Tensor:
        return module.target.confidence(module.predictions(scores, k, way)) > thresholds[k - 1]

    def early(leaving: float) -> Callable[[Any], Any]:
        layers = module.layers.active()
        return lambda x: exit_early(layers, module.read_input(x), sure, module.reader(way), leaving)

    turns = [(throughput(module, inputs), [throughput(early(part), inputs) for part in LEAVING]) for _ in range(TURNS)]
    ratios = [[rate / full for rate in rates] for full, rates in turns]
    return {str(part): statistics.median(own) for part, own in zip(LEAVING, zip(*ratios))}


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether early exits keep their promise.")
    parser.add_argument("checkpoint")
    parser.add_argument("--max_loss", type=float, default=0.2, help="points of accuracy that may be lost")
    parser.add_argument("--confidence", type=float, default=0.9, help="of that")
    parser.add_argument("--divisions", type=int, default=20)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arguments", nargs="*", default=[], help="further arguments of `al-lightning validate`")
    parser.add_argument("--output", type=Path, help="json file for the numbers")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    arguments = ["--ckpt_path", given.checkpoint, f"--data.batch_size={given.batch_size}", *given.arguments]
    cli = trainer_commands.run("validate", arguments)
    module, trainer, data = cli.model, cli.trainer, cli.datamodule
    assert isinstance(module, LayeredModule)
    module.eval()
    data.setup("test")
    parts = [collect(module, trainer, data, loader) for loader in (data.val_dataloader(), data.test_dataloader())]
    everything, size, way = pool(parts), len(parts[0].labels), module.readout
    inputs = [x for x, _ in batches(module, trainer, data, data.test_dataloader())][:BATCHES]
    rows = []
    for division in range(given.divisions):
        generator = torch.Generator().manual_seed(division)
        order = torch.randperm(len(everything.labels), generator=generator)
        fitting, deciding = divide(everything.part(order[:size]), division)
        fit_temperatures(module, fitting)
        chosen = choose(held(module, deciding, way), given.max_loss / 100, given.confidence)
        rest = held(module, everything.part(order[size:]), way)
        lost = 100 * float(losses(rest, chosen.thresholds).mean())
        module.exits.keep(chosen.thresholds, given.max_loss / 100, given.confidence, READOUTS.index(way))
        left = leaving(rest.confidence, chosen.thresholds).bincount(minlength=rest.right.shape[1]) / len(rest.right)
        faster = speed(module, inputs) if division < TURNS else None
        rows.append(
            Row(division, 100 * chosen.bound, lost, lost > given.max_loss, left.tolist(), faster,
                chosen.thresholds.tolist())
        )  # fmt: skip
        print(rows[-1])
    broken = sum(row.broken for row in rows)
    fastest = [row.times_faster for row in rows if row.times_faster is not None]
    Console(width=120).print(
        f"{type(module).__name__}, {given.checkpoint}: {broken} of {len(rows)} divisions lose more than "
        f"{given.max_loss} points ({1 - given.confidence:.0%} may); lost {statistics.mean(r.lost for r in rows):.3f} "
        f"points on average; {statistics.median(fastest):.2f} times the full path's samples a second at batch "
        f"{given.batch_size}"
    )
    by_part = compaction(module, inputs)
    print("times the full path's samples a second, by the part that has to have left:", by_part)
    about = {**environment(), "threads": given.threads, "samples": size, "compaction": by_part}
    save(given.output, about, rows)


if __name__ == "__main__":
    main()
