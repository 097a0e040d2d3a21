"""Several processes train what one process with the joint batch trains; nothing hangs."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from train_worker import make, run

import al_lightning as al
from al_lightning.training import agreement, reduction
from al_lightning.training.reduction import ALONE, Share

WORKER = Path(__file__).parents[1].joinpath("train_worker.py")
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "contrast": {"options": {"association": "contrast", "readout": "codes"}},
    "contrast uneven": {"options": {"association": "contrast"}, "uneven": True},
    "clipped": {"options": {"accumulate_grad_batches": 3, "gradient_clip_norm": 0.3}},
    "not isolated": {"options": {"isolated": False}},
    "uneven": {"uneven": True},
    "BP": {"kind": "BP", "options": {"gradient_clip_norm": 0.3}},
    "BP uneven": {"kind": "BP", "uneven": True},
    "network": {"kind": "network"},
    "network norm": {"kind": "network", "norm": True, "dropout": 0.3},
    "values": {"kind": "values"},
    "BP labels": {"kind": "BP labels"},
    "norm": {"norm": True, "dropout": 0.3},
    "BP norm": {"kind": "BP", "norm": True, "dropout": 0.3},
    "bf16": {"precision": "bf16-mixed"},
    "growing": {"grow": {"max_validations": 2}},
    "growing, frozen": {"grow": {"max_validations": 2, "freeze": True}},
    "ranks disagree": {"grow": {"monitor": "val_own", "mode": "max"}},
}
EQUAL = [
    "plain",
    "contrast",
    "contrast uneven",
    "clipped",
    "not isolated",
    "uneven",
    "BP",
    "BP uneven",
    "network",
    "values",
    "BP labels",
    "growing",
    "growing, frozen",
]
AL = ["plain", "contrast", "uneven", "norm", "not isolated"]


def launch(folder: Path, cases: dict[str, Any], *command: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "arguments.json").write_text(json.dumps({"cases": cases}))
    lightning_or_torchrun = command or (sys.executable,)
    outside = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "PL_GLOBAL_SEED")}
    return subprocess.run(
        [*lightning_or_torchrun, str(WORKER), str(folder / "arguments.json")],
        check=False, capture_output=True, text=True, timeout=900, env={**outside, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def ranks(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both processes ended with, by Lightning's own launcher."""
    folder = tmp_path_factory.mktemp("ddp")
    done = launch(folder, CASES)
    assert done.returncode == 0, done.stderr[-3000:]
    return ranks(folder)


@pytest.mark.parametrize("case", EQUAL)
def test_two_processes_equal_one_with_the_joint_batch(case: str, both: list[dict[str, Any]]) -> None:
    alone = run(1, **CASES[case])
    first = both[0][case]
    assert alone["step"] == first["step"] == 20
    for name, value in alone["state"].items():
        tolerance = 1e-2 if name == "calibration.temperatures" else 1e-5  # by bisection, on the logarithm's scale
        torch.testing.assert_close(first["state"][name], value, atol=tolerance, rtol=tolerance)
    assert first["metrics"] == pytest.approx(alone["metrics"], abs=1e-5)  # 17 samples on two processes
    weight = next(name for name in alone["state"] if name.endswith("weight"))
    early = run(1, **{**CASES[case], "steps": 3})["state"][weight]
    assert not torch.allclose(alone["state"][weight], early, atol=1e-3)  # something was learned meanwhile


@pytest.mark.parametrize("case", CASES)
def test_replicas_end_bit_equal_buffers_included(case: str, both: list[dict[str, Any]]) -> None:
    first, second = both[0][case], both[1][case]
    assert first["state"].keys() == second["state"].keys()
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())
    assert first["metrics"] == second["metrics"]
    if "norm" in case:
        assert any("running_mean" in name and value.abs().sum() > 0 for name, value in first["state"].items())


def test_replicas_that_judge_differently_grow_together(both: list[dict[str, Any]]) -> None:
    assert [rank["ranks disagree"]["state"]["layers.depth"].item() for rank in both] == [3, 3]


@pytest.mark.parametrize("case", AL)
def test_every_gradient_travels_once(case: str, both: list[dict[str, Any]]) -> None:
    buffers = ("running", "num_batches", "temperatures", "layers.depth", "exits.")
    weights = [v for k, v in both[0][case]["state"].items() if not any(name in k for name in buffers)]
    gradients = 4 * sum(v.numel() for v in weights)
    for rank in both:
        for step in rank[case]["traffic"]:
            size, *layers = step  # first the batch's size, four bytes; then a layer at a time
            assert (size, len(layers), sum(layers)) == (4, 3, gradients)
    travels = [sum(layers) for _, *layers in both[0]["clipped"]["traffic"]]
    assert [bool(n) for n in travels[:4]] == [False, False, True, True]  # 4 batches an epoch: the last is a round too


def test_torchrun_does_the_same(both: list[dict[str, Any]], tmp_path: Path) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = launch(tmp_path / "torchrun", {"plain": {}}, *torchrun)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, value in ranks(tmp_path / "torchrun")[1]["plain"]["state"].items():
        assert torch.equal(value, both[0]["plain"]["state"][name])


def test_processes_started_differently_say_so(tmp_path: Path) -> None:
    done = launch(tmp_path / "unlike", {"unlike": {"unlike": True}})
    assert done.returncode != 0
    assert "started alike, but the model's `gradient_clip_norm` is None on rank 0 and 7.0 on rank 1" in done.stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_dies_ends_the_others_by_name(rank: int, tmp_path: Path) -> None:
    done = launch(tmp_path / "die", {"die": {"die": rank, "steps": 10_000}})
    assert done.returncode != 0
    # Lightning's launcher looks after its children every 5 s: where it is first, it names the dead one itself.
    named = (f"Rank {1 - rank} ends, because rank {rank}", f"[rank: {rank}] Child process with PID")
    assert any(message in done.stderr for message in named)


# ---------------------------------------------------------------------- in one process


def test_strategies_that_cannot_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    monkeypatch.setattr(trainer._accelerator_connector, "strategy", FSDPStrategy.__new__(FSDPStrategy))
    module = al.ALModule(hand_layers(2), K)
    module._trainer = trainer
    monkeypatch.setattr(agreement, "gradient_scaler", lambda trainer: None)
    with pytest.raises(
        ValueError, match="Expected the strategy 'ddp' or a single device, but got FSDPStrategy: it gat"
    ):
        module.check_trainer()


def test_weights_make_the_mean_over_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [13, 3]
    monkeypatch.setattr(reduction.dist, "all_reduce", lambda total, group: total.fill_(sum(sizes)))
    weights = [float(reduction.batch_weight(n, torch.device("cpu"), Share(0, 2))) for n in sizes]
    assert sum(w / 2 * mean for w, mean in zip(weights, (1.0, 5.0))) == pytest.approx((13 * 1.0 + 3 * 5.0) / 16)


def test_one_process_reduces_nothing() -> None:
    layer = nn.Linear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad is not None
    before = layer.weight.grad.clone()
    reduction.Reduction(layer.parameters(), ALONE).wait()
    assert torch.equal(layer.weight.grad, before)
    assert reduction.batch_weight(5, torch.device("cpu"), ALONE) == 1


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["AL", "BP"])
def test_a_gradient_scaler_changes_nothing(
    clip: float | None, fused: bool, kind: str, trainer: Callable[..., pl.Trainer]
) -> None:
    """16-mixed off the GPU, in float32: only the scale remains, and it must leave no trace."""

    def train(scaled: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        optimizer = functools.partial(torch.optim.Adam, lr=1e-2, fused=fused)
        module = make(kind, False, 0.0, gradient_clip_norm=clip, optimizer=optimizer)
        plugins: list[Any] = []
        if scaled:
            scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
            plugin = MixedPrecision("16-mixed", "cpu", scaler)
            plugin.autocast_context_manager = lambda: torch.autocast("cpu", enabled=False)  # type: ignore[method-assign, assignment, return-value]
            plugins = [plugin]
        trainer(max_epochs=2, plugins=plugins).fit(module, loader(n=60))
        return module.state_dict()

    plain, scaled = train(False), train(True)
    for name, value in plain.items():
        torch.testing.assert_close(scaled[name], value, atol=1e-5, rtol=1e-4)


def test_a_scaler_and_one_backward_for_all_layers_are_refused(trainer: Callable[..., pl.Trainer]) -> None:
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    module = al.ALModule(hand_layers(2), K, isolated=False)
    with pytest.raises(ValueError, match="isolated layers under precision 16-mixed, but got isolated=False"):
        trainer(max_epochs=1, plugins=[plugin]).fit(module, loader())


@pytest.mark.parametrize(
    ("processes", "batch_size", "said"),
    [
        ((2, 2), (8, 8), None),
        ((None, 2), (8, 8), None),  # of a version that did not keep it
        ((2, 2), (None, 8), None),  # of a loader that nobody recorded
        ((4, 2), (None, None), "by 4 processes; this run has 2 processes. "),
        ((1, 2), (16, 8), "by 1 process with batch_size=16, 16 samples a step; this run has 2 .*=8, 16 samples a step"),
        ((2, 2), (16, 8), "by 2 .*=16, 32 samples a step; this run has 2 .*=8, 16 samples a step"),
    ],
)
def test_what_changes_on_resume_is_said(
    processes: tuple[int | None, int], batch_size: tuple[int | None, int | None], said: str | None
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agreement.tell_changes(processes, batch_size)
    assert len(caught) == (said is not None)
    if said is not None:
        assert re.search(said, str(caught[0].message))
