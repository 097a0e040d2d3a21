"""Early exits calibrated from Python give what the command line gives, and leave nothing behind where they cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

import al_lightning as al
from al_lightning.cli.main import main
from al_lightning.data import Digits
from al_lightning.inspection import calibrate_exits
from al_lightning.nn.path import Readout
from al_lightning.targets.values import ValueTarget

MakeTrainer = Callable[..., pl.Trainer]


def trained(trainer: MakeTrainer, epochs: int = 4, readout: Readout = "codes") -> tuple[al.MLPAL, Digits, pl.Trainer]:
    """A network on a few digits, many of them held out."""
    data = Digits(val_fraction=0.4, train_samples=600)
    module = al.MLPAL(10, 1, 8, hidden_dims=[24, 24], target_dim=16, readout=readout)
    runner = trainer(max_epochs=epochs)
    runner.fit(module, data)
    return module, data, runner


def test_it_is_what_the_command_line_chooses(trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("al_lightning.inspection.calibrate.SECONDS", 0.01)
    module, data, runner = trained(trainer)
    runner.save_checkpoint("own.ckpt")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    choice = calibrate_exits(module, data, max_loss=20, confidence=0.8)
    assert not module.training
    promise = ["--max_loss=20", "--confidence=0.8"]
    main(["inspect", "--calibrate", "--ckpt_path", "own.ckpt", *promise, "--trainer.accelerator=cpu"])
    by_command = al.MLPAL.load_from_checkpoint("own.ckpt").state_dict()
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"exits.thresholds", "exits.promise", "calibration.temperatures"}
    for name in changed:
        torch.testing.assert_close(module.state_dict()[name], by_command[name], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(module.exits.thresholds[0].double(), choice.thresholds[0])
    assert choice.lost <= choice.bound <= 0.2


def test_a_checkpoint_keeps_what_was_chosen(trainer: MakeTrainer) -> None:
    module, data, runner = trained(trainer, readout="decoder")
    calibrate_exits(module, data, max_loss=25, confidence=0.7, trainer=runner)
    runner.save_checkpoint("calibrated.ckpt")
    loaded = al.MLPAL.load_from_checkpoint("calibrated.ckpt", confidence="calibrated")
    x, _ = data.prepare(data.dataset("test")[data.indices("test")])
    scores, left = module.forward_adaptive(x)
    assert set(left.tolist()) <= {1, 2}
    torch.testing.assert_close(loaded.forward_adaptive(x)[0], scores)
    torch.testing.assert_close(loaded.exits.promise, torch.tensor([0.25, 0.7, 0.0]))
    predicted = torch.cat(trainer().predict(loaded, data))  # type: ignore[arg-type]
    said = torch.stack([module.predictions(scores, k) for k in (1, 2)])[left - 1, torch.arange(len(left))]
    torch.testing.assert_close(predicted, said)


def test_what_cannot_be_promised_changes_nothing(trainer: MakeTrainer) -> None:
    module, data, runner = trained(trainer, epochs=1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match="a loss that 204 held-out samples can promise with confidence 0.9"):
        calibrate_exits(module, data, trainer=runner)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    for arguments, sentence in (
        ({"max_loss": 0}, "`max_loss` to be above 0 and below 100 points, but got 0"),
        ({"confidence": 1.0}, r"`confidence` to be above 0 and below 1, but got 1\.0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            calibrate_exits(module, data, **arguments)
    with pytest.raises(ValueError, match="Expected held-out data to calibrate early exits on"):
        calibrate_exits(module, Digits(val_fraction=0))
    values = al.MLPAL(None, 1, 8, hidden_dims=[8], target_dim=8, target=ValueTarget.of(torch.randn(9, 2)))
    with pytest.raises(ValueError, match="predictions that are right or wrong"):
        calibrate_exits(values, data)
    assert not Path("lightning_logs").exists()
