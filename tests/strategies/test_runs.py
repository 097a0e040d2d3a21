"""Pipelines beside data parallelism, resumed elsewhere, running ahead, and started wrongly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from launching import differences, launch, trained
from lightning.pytorch.callbacks import OnExceptionCheckpoint, StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.exceptions import SIGTERMException
from networks import al_module, bp_module

from al_lightning.strategies import PipelineStrategy
from al_lightning.strategies.adjust import AdjustedTrainer
from al_lightning.strategies.refuse import check_processes, check_run

HYBRID = ["contrast", "cnn contrast"]


def test_pipelines_of_two_replicas_are_data_parallelism_of_two(tmp_path: Path) -> None:
    data_parallel = trained(tmp_path / "ddp", 2, "ddp", {name: {} for name in HYBRID})
    hybrid = trained(tmp_path / "hybrid", 4, "al_pipeline", {name: {"replicas": 2} for name in HYBRID})
    for case in HYBRID:
        ours = data_parallel[0][case]
        for rank in hybrid:
            assert rank[case]["step"] == ours["step"]
            for name, value in ours["state"].items():
                tolerance = 1e-2 if "temperatures" in name else 1e-5  # by bisection, on a scale of logarithms
                torch.testing.assert_close(rank[case]["state"][name], value, atol=tolerance, rtol=tolerance, msg=name)
        assert differences(hybrid[0][case]["state"], hybrid[3][case]["state"]) == []
    assert hybrid[0]["contrast"]["read"] == data_parallel[0]["contrast"]["read"] == hybrid[2]["contrast"]["read"]
    assert hybrid[1]["contrast"]["read"] == hybrid[3]["contrast"]["read"] == 0


def test_a_stage_that_dies_ends_the_others_by_name(tmp_path: Path) -> None:
    rank = 1
    done = launch(tmp_path / "die", 3, "al_pipeline", {"mse": {"die": rank}})
    assert done.returncode != 0
    named = (f"ends, because rank {rank}", f"[rank: {rank}] Child process with PID")
    assert any(message in done.stderr for message in named)


@pytest.mark.parametrize("strategy", ["al_pipeline", "ddp"])
def test_a_run_that_is_asked_to_end_in_validation_ends(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AL_LIGHTNING_HANG", "120")  # whoever waits for ever says where
    done = launch(tmp_path / "end", 2, strategy, {"mse": {"ask_to_end": True}})
    assert "Received SIGTERM: 15" in done.stderr
    assert "Timeout" not in done.stderr
    assert not list((tmp_path / "end").glob("rank*.pt"))  # training did not go on


def test_a_stage_that_was_asked_to_end_begins_no_batch() -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    adjusted = AdjustedTrainer(trainer, lambda: False)
    begin = trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor
    begin()
    trainer._signal_connector.received_sigterm = True
    with pytest.raises(SIGTERMException):
        begin()
    adjusted.restore()


def test_processes_with_other_data_say_so(tmp_path: Path) -> None:
    done = launch(tmp_path / "unlike", 2, "al_pipeline", {"lstm mse": {"unlike": True}})
    assert done.returncode != 0
    assert "started alike, but the data's `batch_size` is 16 on rank 0 and 8 on rank 1" in done.stderr


# ---------------------------------------------------------------------- in one process


def fit(module: pl.LightningModule, stages: int = 1, callbacks: Any = (), **arguments: Any) -> pl.Trainer:
    """Start a run whose strategy believes that it has so many stages; it is refused before any would be needed."""
    strategy = PipelineStrategy(**arguments.pop("strategy", {}))
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, strategy=strategy, max_epochs=2, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks), **arguments,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        if stages > 1:
            patch.setattr(PipelineStrategy, "depth", stages)
        trainer.fit(module, loader())
    return trainer


def test_one_stage_is_one_process(trainer: Callable[..., pl.Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    alone, staged = al_module(3), al_module(3)
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    trainer(max_epochs=2).fit(alone, loader())
    ours = fit(staged)
    assert differences(dict(alone.state_dict()), dict(staged.state_dict())) == []
    assert ours.global_step == 16
    assert ours.callbacks == [c for c in ours.callbacks if type(c).__name__ != "GatherWeights"]
    assert "_broadcast_sigterm_tensor" not in vars(ours.fit_loop.epoch_loop)
    assert "_requires_distributed_sampler" not in vars(ours._data_connector)


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        (bp_module, {}, "Expected an AL module for the strategy 'al_pipeline'.*but got BPModule.*strategy ddp"),
        (lambda: al_module(2, isolated=False), {}, "isolated layers for the strategy 'al_pipeline'.*isolated=False"),
        (lambda: al_module(2), {"stages": 3}, "at least one AL layer for each of the 3 stages, but got 2 active"),
        (lambda: al_module(3, active_depth=1), {"stages": 2}, "each of the 2 stages, but got 1 active"),
        (lambda: al_module(3), {"strategy": {"stages": [[1, 2, 2, 3]]}}, r"each of the layers 1..3 once.*\[1, 2, 2, 3\]"),
        (lambda: al_module(3), {"strategy": {"stages": [[1, 3]]}}, r"each of the layers 1..3 once.*\[\[1, 3\]\]"),
        (lambda: al_module(2), {"callbacks": [WeightAveraging()]}, "no WeightAveraging under .*averages the weights"),
        (lambda: al_module(2), {"callbacks": [StochasticWeightAveraging(0.1)]}, "no StochasticWeightAveraging under"),
        (
            lambda: al_module(2),
            {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]},
            "another precision than 16-mixed.*bf16-mixed",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_pipelined_is_refused(
    make: Callable[[], pl.LightningModule], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        fit(make(), **settings)


def test_a_callback_that_saves_after_an_exception_is_refused() -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[OnExceptionCheckpoint(".")])
    with pytest.raises(ValueError, match="no OnExceptionCheckpoint under .*after an exception they no longer answer"):
        check_run(trainer, al_module(2), None, 1, False)


@pytest.mark.parametrize(
    ("processes", "replicas", "stages", "said"),
    [
        (3, 2, None, "`replicas=2` a multiple of it, but got 3"),
        (4, 1, [[1], [2]], "2 stages times 1, but got 4"),
        (4, 2, [[1], [2]], None),
        (4, 2, None, None),
    ],
)
def test_processes_are_stages_times_replicas(
    processes: int, replicas: int, stages: list[list[int]] | None, said: str | None
) -> None:
    if said is None:
        check_processes(processes, replicas, stages)
    else:
        with pytest.raises(ValueError, match=re.escape(said)):
            check_processes(processes, replicas, stages)


@pytest.mark.parametrize(("setting", "value"), [("replicas", 0), ("in_flight", 1)])
def test_settings_out_of_range_are_refused(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"Expected `{setting}` to be at least"):
        PipelineStrategy(**{setting: value})
