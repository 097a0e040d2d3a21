"""A user's subclass may override any hook without `super()` and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from networks import batches, build

import al_lightning as al
from al_lightning.callbacks import Checkpoint

Make = Callable[..., pl.Trainer]


class Own(Callback):
    """What the user brings."""


class Overrides:
    """Every hook that a module of this package takes part in, and the usual others, without `super()`."""

    def configure_callbacks(self) -> Any:
        return Own()  # a single one, as Lightning allows

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["own"] = 1

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["own"] == 1

    def setup(self, stage: str) -> None: ...
    def teardown(self, stage: str) -> None: ...
    def on_fit_start(self) -> None: ...
    def on_fit_end(self) -> None: ...
    def on_train_start(self) -> None: ...
    def on_train_end(self) -> None: ...
    def on_train_epoch_start(self) -> None: ...
    def on_train_epoch_end(self) -> None: ...
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None: ...
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None: ...
    def on_validation_start(self) -> None: ...
    def on_validation_epoch_start(self) -> None: ...
    def on_validation_epoch_end(self) -> None: ...
    def on_validation_end(self) -> None: ...
    def on_before_optimizer_step(self, optimizer: Any) -> None: ...


class OwnMLPAL(Overrides, al.MLPAL):
    """A user's AL network, whose hooks come from a mixin."""


class OwnTransformerBP(al.TransformerBP):
    """A user's sibling, with dropout."""

    def configure_callbacks(self) -> Any:
        return [Own(), *super().configure_callbacks()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["own"] = 1

    def on_train_epoch_end(self) -> None: ...
    def on_validation_epoch_end(self) -> None: ...
    def on_fit_start(self) -> None: ...


@pytest.mark.parametrize(("name", "own"), [("MLPAL", OwnMLPAL), ("TransformerBP", OwnTransformerBP)])
def test_nothing_is_lost(name: str, own: type, trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    monkeypatch.setattr(al, own.__name__, own, raising=False)
    options = dict(lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5))
    ends = []
    for kind in (name, own.__name__):
        monkeypatch.setitem(__import__("networks").SMALL, kind, __import__("networks").SMALL[name])
        monkeypatch.setattr("networks.TEXT", ["TransformerBP", "OwnTransformerBP"])
        module = build(kind, **options)
        folder = tmp_path / kind
        fitted = trainer(max_epochs=3, callbacks=[Checkpoint(dirpath=str(folder))])
        fitted.fit(module, batches(kind), batches(kind, 12))
        rates = [group["lr"] for o in fitted.optimizers for group in o.param_groups]
        saved = torch.load(folder / "last.ckpt", weights_only=True)
        fitted.save_checkpoint(folder / "weights.ckpt", weights_only=True)
        weights = torch.load(folder / "weights.ckpt", weights_only=True)
        assert saved["al_lightning"]["run_seed"] == weights["al_lightning"]["run_seed"] == 3
        ends.append((module.state_dict(), rates))
        fitted.test(module, batches(kind, 12), ckpt_path=folder / "last.ckpt", verbose=False)
    assert saved["own"] == weights["own"] == 1
    assert any(isinstance(callback, Own) for callback in fitted.callbacks)  # type: ignore[attr-defined]
    (plain, plain_rates), (ours, our_rates) = ends
    assert all(torch.equal(plain[key], ours[key]) for key in plain)
    assert plain_rates == our_rates == [0.001 * 0.5**3] * len(our_rates)
    assert bool((ours["calibration.temperatures"] != 1).all())


def test_a_checkpoint_of_another_network_is_still_named(trainer: Make, tmp_path: Path) -> None:
    fitted = trainer(max_epochs=1)
    small = OwnMLPAL(4, 1, 4, hidden_dims=[8], target_dim=8)
    fitted.fit(small, batches("MLPAL"))
    fitted.save_checkpoint(tmp_path / "small.ckpt")
    other = OwnMLPAL(4, 1, 4, hidden_dims=[8, 8], target_dim=8)
    with pytest.raises(ValueError, match="Expected a checkpoint of this OwnMLPAL"):
        trainer().test(other, batches("MLPAL"), ckpt_path=tmp_path / "small.ckpt")


def test_a_second_run_brings_nothing_twice(trainer: Make) -> None:
    fitted = trainer(max_epochs=1)
    for _ in range(2):
        fitted.fit(build("MLPAL"), batches("MLPAL"))
        fitted.fit_loop.epoch_progress.reset()
    kinds = [type(callback).__name__ for callback in fitted.callbacks]  # type: ignore[attr-defined]
    assert kinds.count("RunCare") == 1
