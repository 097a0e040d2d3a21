"""A network grows when validation stalls, keeps what it had, and goes on at the depth where it was."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from networks import al_module, bp_module

from al_lightning.callbacks import LayerAccumulation
from al_lightning.training.schedules import Interval
from al_lightning.training.whole_run import WholeRunLR

Make = Callable[..., pl.Trainer]
#: What validation says after each epoch.
VALUES = [0.5, 0.6, 0.6, 0.7, 0.6, 0.5, 0.4, 0.3]


class Scripted(pl.Callback):
    """Makes validation say what a test wants, and writes down the depth of each epoch and which layers moved."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.moved: list[list[int]] = []
        self._before: list[Any] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.depths.append(pl_module.active_depth)
        self._before = [[p.detach().clone() for p in layer.parameters()] for layer in pl_module.layers]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        pl_module.log("val_said", torch.tensor(VALUES[trainer.current_epoch]))
        self.moved.append(
            [
                number
                for number, (layer, before) in enumerate(zip(pl_module.layers, self._before), 1)
                if any(not torch.equal(p, old) for p, old in zip(layer.parameters(), before))
            ]
        )


def grow(trainer: Make, epochs: int, **arguments: Any) -> tuple[Any, Scripted]:
    module, said = al_module(3), Scripted()
    accumulation = LayerAccumulation(monitor="val_said", mode="max", **arguments)
    trainer(max_epochs=epochs, callbacks=[said, accumulation]).fit(module, loader(), loader())
    return module, said


def test_a_layer_is_added_when_validation_stalls(trainer: Make) -> None:
    module, said = grow(trainer, 8)
    assert said.depths == [1, 1, 1, 2, 2, 3, 3, 3]  # 0.6 is no better than 0.6; 0.6 is worse than 0.7
    assert said.moved == [[1]] * 3 + [[1, 2]] * 2 + [[1, 2, 3]] * 3
    assert module.active_depth == 3


def test_patience_and_what_counts_as_better(trainer: Make) -> None:
    assert grow(trainer, 8, patience=2)[1].depths == [1, 1, 1, 1, 1, 1, 2, 2]
    assert grow(trainer, 4, min_delta=0.15)[1].depths == [1, 1, 2, 2]
    assert grow(trainer, 4, start=2)[1].depths == [2, 2, 2, 3]
    assert grow(trainer, 4, max_validations=1)[1].depths == [1, 2, 3, 3]
    assert grow(trainer, 6, max_validations=2)[1].depths == [1, 1, 2, 2, 3, 3]


def test_layers_below_a_new_one_may_rest(trainer: Make) -> None:
    _, said = grow(trainer, 8, freeze=True)
    assert said.moved == [[1]] * 3 + [[2]] * 2 + [[3]] * 3


@pytest.mark.parametrize(("stopped", "depths"), [(2, [1, 2, 2, 3, 3]), (4, [2, 3, 3]), (6, [3])])
@pytest.mark.parametrize("freeze", [False, True])
def test_a_run_goes_on_as_deep_as_it_was(
    trainer: Make, tmp_path: Path, freeze: bool, stopped: int, depths: list[int]
) -> None:
    def run(epochs: int, path: str | None = None) -> tuple[Any, Scripted]:
        pl.seed_everything(3)
        module, said = al_module(3), Scripted()
        accumulation = LayerAccumulation(monitor="val_said", mode="max", freeze=freeze)
        grown = trainer(max_epochs=epochs, callbacks=[said, accumulation])
        grown.fit(module, loader(), loader(), ckpt_path=path)
        grown.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return module, said

    whole, _ = run(7)
    run(stopped)
    resumed, said = run(7, str(tmp_path / f"{stopped}.ckpt"))
    assert said.depths == depths
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(value, resumed.state_dict()[name], atol=0, rtol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize(("interval", "steps"), [("step", 8), ("epoch", 1)])
def test_a_rate_over_the_whole_run_falls_over_what_is_left(trainer: Make, interval: Interval, steps: int) -> None:
    """Layers that begin with epoch 4 and 6 of 8 end with the run, as the first one does."""
    schedule = functools.partial(WholeRunLR, shape="linear", end=0.1)
    module = al_module(3, lr_scheduler=schedule, lr_scheduler_interval=interval)
    accumulation = LayerAccumulation(monitor="val_said", mode="max")
    grown = trainer(max_epochs=8, callbacks=[Scripted(), accumulation])
    grown.fit(module, loader(), loader())
    schedules = [config.scheduler for config in grown.lr_scheduler_configs]
    assert [one.total_steps for one in schedules] == [8 * steps, 5 * steps, 3 * steps]
    assert [one.get_last_lr()[0] / one.base_lrs[0] for one in schedules] == pytest.approx([0.1] * 3)


def test_a_trainer_that_fits_again_goes_on(trainer: Make) -> None:
    module, said = al_module(3), Scripted()
    grown = trainer(max_epochs=4, callbacks=[said, LayerAccumulation(monitor="val_said", mode="max")])
    grown.fit(module, loader(), loader())
    grown.fit_loop.max_epochs = 7
    grown.fit(module, loader(), loader())
    assert said.depths == [1, 1, 1, 2, 2, 3, 3]


def test_what_cannot_grow_is_refused(trainer: Make) -> None:
    with pytest.raises(ValueError, match="`patience` to be at least 1, but got 0"):
        LayerAccumulation(patience=0)
    with pytest.raises(ValueError, match="`start` to be at least 1"):
        LayerAccumulation(start=0)
    with pytest.raises(ValueError, match="`max_validations` to be at least 1"):
        LayerAccumulation(max_validations=0)
    with pytest.raises(ValueError, match="a module with AL layers for LayerAccumulation, but got BPModule"):
        trainer(max_epochs=1, callbacks=[LayerAccumulation()]).fit(bp_module(), loader(), loader())
    with pytest.raises(ValueError, match=r"`start` to be in 1..2, the number of layers, but got 3"):
        trainer(max_epochs=1, callbacks=[LayerAccumulation(start=3)]).fit(al_module(2), loader(), loader())
    with pytest.raises(ValueError, match="the metric 'val_f1' after a validation, but there are .*val_acc"):
        trainer(max_epochs=1, callbacks=[LayerAccumulation(monitor="val_f1")]).fit(al_module(2), loader(), loader())
