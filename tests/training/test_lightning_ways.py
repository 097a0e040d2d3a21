"""Lightning's own ways of use: averaged weights, tuners, plateau schedulers, precisions, compiled modules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, EMAWeightAveraging, LearningRateFinder
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.tuner import Tuner
from networks import batches, build

import al_lightning as al
from al_lightning.callbacks import Checkpoint
from al_lightning.data import Digits
from al_lightning.targets.temperature import Temperatures

Make = Callable[..., pl.Trainer]
SIBLINGS = ["MLPAL", "MLPBP"]


def small(name: str, **options: Any) -> al.MLPAL | al.MLPBP:
    made: al.MLPAL | al.MLPBP = getattr(al, name)(10, 1, 8, **{"hidden_dims": [8, 8], **options})
    return made


def digits(**options: Any) -> Digits:
    return Digits(**{"train_samples": 200, "batch_size": 32, **options})


# ---------------------------------------------------------------------- averaged weights


@pytest.mark.parametrize("use_buffers", [True, False])
@pytest.mark.parametrize("name", SIBLINGS)
def test_averaged_weights_have_their_own_temperatures(
    name: str, use_buffers: bool, trainer: Make, tmp_path: Path
) -> None:
    # Three layers: 0.9 * 3 + 0.1 * 3 is a little less than 3, which a buffer of whole numbers rounds down.
    module, data = small(name, hidden_dims=[8, 8, 8]), digits(val_fraction=0.3)
    average = EMAWeightAveraging(decay=0.9, use_buffers=use_buffers)
    fitted = trainer(max_epochs=4, callbacks=[average, Checkpoint(dirpath=str(tmp_path))])
    fitted.fit(module, data)
    module.eval()
    reference = Temperatures(len(module.active_readouts()), 10)
    with torch.no_grad():
        for batch in data.val_dataloader():
            x, y = data.prepare(batch)
            reference.update(list(module.evaluate(x, y)[1].values()), y)
    reference.fit(len(module.active_readouts()))
    if use_buffers:  # else batch norm's statistics are those of the last weights
        assert torch.allclose(module.calibration.temperatures, reference.temperatures, rtol=1e-4)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert not torch.equal(
        saved["state_dict"]["metrics"] if "metrics" in saved["state_dict"] else torch.ones(1), torch.zeros(1)
    )
    assert torch.equal(saved["state_dict"]["calibration.temperatures"], module.calibration.temperatures)
    if name == "MLPAL":
        assert saved["state_dict"]["layers.depth"] == 3
        fitted.save_checkpoint(tmp_path / "after.ckpt")
        assert al.MLPAL.load_from_checkpoint(tmp_path / "after.ckpt").active_depth == 3


# ---------------------------------------------------------------------- tuners


@pytest.mark.parametrize("name", SIBLINGS)
def test_the_batch_size_finder_finds_and_leaves_no_trace(name: str, trainer: Make) -> None:
    ends = []
    for callbacks in ([], [BatchSizeFinder(max_trials=2)]):
        torch.manual_seed(0)
        module, data = small(name), digits(batch_size=4)
        module.run_seed = 5
        fitted = trainer(max_epochs=1, callbacks=callbacks)
        fitted.fit(module, data)
        assert data.batch_size == 4
        ends.append({k: v for k, v in module.state_dict().items() if "num_batches" not in k})
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


@pytest.mark.parametrize("name", SIBLINGS)
def test_the_tuner_scales_batches(name: str, trainer: Make) -> None:
    data = digits()
    assert Tuner(trainer(max_epochs=1)).scale_batch_size(small(name), datamodule=data, max_trials=3) == 8
    assert data.batch_size == 8


def test_the_learning_rate_finder_is_for_one_optimizer(trainer: Make) -> None:
    module = small("MLPBP")
    data = digits(batch_size=4)
    finder = Tuner(trainer(max_epochs=1)).lr_find(module, datamodule=data, num_training=30, early_stop_threshold=None)
    assert finder is not None
    assert module.lr == finder.suggestion() is not None
    again = trainer(max_epochs=1)
    again.fit(module, digits())
    assert again.optimizers[0].param_groups[0]["lr"] == module.lr
    for use in (
        lambda: Tuner(trainer(max_epochs=1)).lr_find(small("MLPAL"), datamodule=digits()),
        lambda: trainer(max_epochs=1, callbacks=[LearningRateFinder()]).fit(small("MLPAL"), digits()),
    ):
        with pytest.raises(ValueError, match=r"Expected no learning rate finder, .* Compare short runs"):
            use()


# ---------------------------------------------------------------------- accumulation


@pytest.mark.parametrize("name", SIBLINGS)
def test_the_trainer_knows_how_many_steps_there_will_be(name: str, trainer: Make) -> None:
    class Estimates(getattr(al, name)):  # type: ignore[misc]
        def configure_optimizers(self) -> Any:
            self.estimated = self.trainer.estimated_stepping_batches
            return super().configure_optimizers()

    import sys

    monkey = sys.modules[__name__]
    Estimates.__qualname__ = "Estimates"
    monkey.Estimates = Estimates  # type: ignore[attr-defined]
    module = Estimates(10, 1, 8, hidden_dims=[8], accumulate_grad_batches=4)
    fitted = trainer(max_epochs=2)
    fitted.fit(module, digits())  # 6 batches an epoch
    assert module.estimated == fitted.global_step == 4
    assert fitted.accumulate_grad_batches == 1  # as it was


def test_a_validation_in_the_middle_of_an_accumulation_changes_nothing(trainer: Make) -> None:
    ends = []
    for interval in (1.0, 2):
        torch.manual_seed(0)
        module = build("MLPAL", accumulate_grad_batches=4)
        module.run_seed = 3
        trainer(max_epochs=2, val_check_interval=interval).fit(module, batches("MLPAL", 64), batches("MLPAL", 12))
        ends.append(list(module.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*ends))


# ---------------------------------------------------------------------- plateau schedulers


@pytest.mark.parametrize(("every", "rates"), [(1, [1.0, 0.5, 0.25, 0.125]), (2, [1.0, 1.0, 1.0, 0.5])])
@pytest.mark.parametrize("name", SIBLINGS)
def test_plateau_schedulers_step_when_there_is_a_new_metric(
    name: str, every: int, rates: list[float], trainer: Make
) -> None:
    seen: list[float] = []

    class Rates(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(trainer.optimizers[-1].param_groups[0]["lr"])

    # `threshold` makes every value one that is not better than the first.
    plateau = functools.partial(
        ReduceLROnPlateau, monitor="val_loss", patience=0, factor=0.5, threshold=1e6, threshold_mode="abs"
    )
    module = small(name, optimizer=functools.partial(torch.optim.SGD, lr=1.0), lr_scheduler=plateau)
    fitted = trainer(max_epochs=5, check_val_every_n_epoch=every, callbacks=[Rates()])
    fitted.fit(module, digits())
    assert seen == [1.0, *rates]


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_plateau_scheduler_waits_for_the_first_validation_of_many_steps(name: str, trainer: Make) -> None:
    plateau = functools.partial(ReduceLROnPlateau, monitor="val_loss")
    module = small(name, lr_scheduler=plateau, lr_scheduler_interval="step")
    with pytest.warns(RuntimeWarning, match="not available") if name == "MLPBP" else _nothing():
        trainer(max_epochs=1, val_check_interval=3).fit(module, digits())
    wrong = small("MLPAL", lr_scheduler=functools.partial(ReduceLROnPlateau, monitor="val_los"))
    with pytest.raises(ValueError, match="to monitor a logged metric, but got 'val_los'"):
        trainer(max_epochs=1).fit(wrong, digits())


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_a_plateau_scheduler_of_steps_sees_a_metric_of_ones_own(trainer: Make) -> None:
    class Own(al.MLPAL):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("mine", torch.tensor(1.0))

    plateau = functools.partial(ReduceLROnPlateau, monitor="mine", patience=0, factor=0.5)
    fitted = trainer(max_epochs=1, val_check_interval=2)
    with pytest.warns(UserWarning, match="will not rebuild the Own"):
        fitted.fit(Own(10, 1, 8, hidden_dims=[8], lr_scheduler=plateau, lr_scheduler_interval="step"), digits())
    assert fitted.optimizers[0].param_groups[0]["lr"] < 1e-3


def test_a_users_own_scheduler_step_is_called(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = []
    monkeypatch.setattr(al.MLPAL, "lr_scheduler_step", lambda self, scheduler, metric: stepped.append(metric))
    module = small("MLPAL", lr_scheduler=functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1))
    trainer(max_epochs=3).fit(module, digits())
    assert stepped == [None] * 6


# ---------------------------------------------------------------------- precisions


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
@pytest.mark.parametrize("name", ["CNNAL", "CNNBP", "MLPAL"])
def test_images_in_any_true_precision(name: str, precision: Any, trainer: Make) -> None:
    module = getattr(al, name)(10, 1, 8)
    fitted = trainer(
        max_epochs=1, precision=precision, limit_train_batches=2, limit_val_batches=1, limit_test_batches=1
    )
    data = digits()
    fitted.fit(module, data)
    fitted.test(module, data, verbose=False)
    dtype = torch.float64 if precision == "64-true" else torch.bfloat16
    assert {p.dtype for p in module.parameters()} == {dtype}
    (rows, *_) = fitted.predict(module, data)
    assert rows.sum(-1).allclose(torch.ones(len(rows), dtype=rows.dtype), atol=1e-3)


def test_double_precision_computes_what_plain_torch_does(trainer: Make) -> None:
    """One batch in float64 against the same layers, looped over by hand."""
    torch.manual_seed(0)
    module = build("ALModule", optimizer=functools.partial(torch.optim.SGD, lr=0.1)).double()
    reference = build("ALModule").double()
    reference.load_state_dict(module.state_dict())
    data = batches("ALModule", 8)
    trainer(max_epochs=1, precision="64-true", limit_train_batches=1).fit(module, data)
    x, y = next(iter(data))
    s, t = x.double(), torch.eye(4, dtype=torch.double)[y]
    for layer in reference.layers:
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        s, t, losses = layer(s, t)
        (losses.associated + losses.reconstruction).backward()
        optimizer.step()
        s, t = s.detach(), t.detach()
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(module.parameters(), reference.parameters()))


# ---------------------------------------------------------------------- compiled modules


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_compiled_module_compiles_its_parts_and_learns_the_same(
    name: str, trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *a, **k: compiled.append(self))
    ends = []
    for wrap in (lambda module: module, torch.compile):
        torch.manual_seed(0)
        module = small(name)
        module.run_seed = 1
        fitted = trainer(max_epochs=1)
        fitted.fit(wrap(module), digits())
        fitted.test(wrap(module), digits(), verbose=False)
        ends.append(module.state_dict())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert compiled == (list(module.layers) if name == "MLPAL" else [module.net])
