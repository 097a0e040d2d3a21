"""A stage that is stopped for a while or killed changes nothing of what a pipeline ends with."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import differences

WORKER = Path(__file__).parents[1] / "resume_worker.py"
#: Kills for each network; the promise was tried with 20.
KILLS = max(1, int(os.environ.get("AL_LIGHTNING_KILLS", "3")) // 3)
#: Seconds after which no process of a run must be left when one was killed.
LEFT = 30.0

Disturb = Callable[[list[int], Path], None]


def alive(process: int) -> bool:
    """Whether a process is there and not only waiting to be read off."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def train(network: str, folder: Path, disturb: Disturb | None = None) -> list[Any]:
    """Train two stages, or go on; what each ends with, nothing if the run did not end."""
    folder.mkdir(exist_ok=True)
    for name in ("begun", "rank0.pid", "rank1.pid"):
        (folder / name).unlink(missing_ok=True)
    outside = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "PL_GLOBAL_SEED")}
    with (folder / "stderr").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, str(WORKER), network, str(folder), "al_pipeline"],
            env={**outside, "OMP_NUM_THREADS": "1"}, start_new_session=True, stderr=said,
        )  # fmt: skip
    files = [folder / f"rank{rank}.pid" for rank in range(2)]
    while process.poll() is None and not all(file.is_file() for file in files):
        time.sleep(0.002)
    assert all(file.is_file() for file in files), (folder / "stderr").read_text()[-3000:]
    ranks = [int(file.read_text()) for file in files]
    if disturb is not None:
        disturb(ranks, folder)
    process.wait(300)
    until = time.monotonic() + LEFT
    while any(map(alive, ranks)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, ranks)), "a process is left"
    written = [folder / f"end{rank}.pt" for rank in range(2)]
    return [torch.load(file, weights_only=True) for file in written] if all(map(Path.is_file, written)) else []


def test_a_stage_that_is_stopped_for_a_while(tiny_sets: None, tmp_path: Path) -> None:
    def pause(ranks: list[int], folder: Path) -> None:
        for rank in (1, 0):
            os.kill(ranks[rank], signal.SIGSTOP)
            time.sleep(1.5)
            assert not (folder / "end0.pt").is_file()  # the other stage has waited
            os.kill(ranks[rank], signal.SIGCONT)

    assert differences(train("resnet", tmp_path / "whole"), train("resnet", tmp_path / "paused", pause)) == []


@pytest.mark.parametrize("network", ["resnet", "lstm"] if KILLS > 1 else ["lstm"])
def test_a_stage_that_is_killed(network: str, tiny_sets: None, tmp_path: Path) -> None:
    whole = train(network, tmp_path / "whole")
    assert len(whole) == 2
    begun, saved = ((tmp_path / "whole" / name).stat().st_mtime for name in ("begun", "last.ckpt"))
    chance = random.Random(int.from_bytes(os.urandom(4), "big"))
    resumed = 0
    for number in range(KILLS):
        moment, victim = chance.uniform(0, saved - begun), chance.randrange(2)

        def kill(ranks: list[int], folder: Path, moment: float = moment, victim: int = victim) -> None:
            time.sleep(moment)
            if alive(ranks[victim]):
                os.kill(ranks[victim], signal.SIGKILL)

        folder = tmp_path / f"kill{number}"
        ended = train(network, folder, kill)
        if not ended:
            resumed += (folder / "last.ckpt").is_file()
            ended = train(network, folder)
        assert differences(ended, whole) == [], f"rank {victim}, {moment:.3f} s after training began"
    print(f"{resumed} of {KILLS} went on from a checkpoint")
