"""Checkpoints hold what they say, survive a full disk, and refuse another architecture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from networks import al_module, sgd, with_dropout
from torch import nn

import al_lightning as al
from al_lightning.callbacks import AtomicCheckpointIO, Checkpoint
from al_lightning.data import Digits
from al_lightning.training.whole_run import WholeRunLR

Make = Callable[..., pl.Trainer]


def test_a_checkpoint_by_step_holds_what_it_says(trainer: Make, tmp_path: Path) -> None:
    """step=N holds the weights after exactly N batches."""
    steps = Checkpoint(
        dirpath=str(tmp_path), filename="{step}", monitor=None, save_top_k=-1, every_n_train_steps=3, save_last=False
    )
    trainer(max_epochs=1, callbacks=[steps]).fit(al_module(), loader(n=64))
    files = sorted(p.name for p in tmp_path.glob("*.ckpt"))
    assert files == ["step=3.ckpt", "step=6.ckpt"]
    for n in (3, 6):
        saved = torch.load(tmp_path / f"step={n}.ckpt", weights_only=True)
        assert saved["global_step"] == n
        reference = al_module()
        trainer(max_steps=n).fit(reference, loader(n=64))
        assert all(torch.equal(saved["state_dict"][k], v) for k, v in reference.state_dict().items() if "layers" in k)


def test_a_checkpoint_by_time(trainer: Make, tmp_path: Path) -> None:
    by_time = Checkpoint(
        dirpath=str(tmp_path),
        filename="{step}",
        monitor=None,
        save_top_k=-1,
        train_time_interval=timedelta(0),
        save_last=False,
    )
    trainer(max_epochs=1, callbacks=[by_time]).fit(al_module(), loader(n=32))
    assert sorted(p.name for p in tmp_path.glob("*.ckpt")) == [f"step={n}.ckpt" for n in (1, 2, 3, 4)]


def test_the_best_checkpoint_belongs_to_its_metric(trainer: Make, tmp_path: Path) -> None:
    """With a step trigger and a monitored metric, best is written where the metric was measured."""
    both = Checkpoint(dirpath=str(tmp_path), filename="{step}-{val_acc:.4f}", every_n_train_steps=2)
    fitted = trainer(max_epochs=3, callbacks=[both])
    fitted.fit(al_module(), loader(n=32), loader(n=16, seed=3))
    best = torch.load(both.best_model_path, weights_only=True)
    assert best["global_step"] % 4 == 0  # at the end of an epoch, where validation ran
    module = al_module()
    fitted.validate(module, loader(n=16, seed=3), ckpt_path=both.best_model_path, verbose=False)
    assert float(fitted.callback_metrics["val_acc"]) == pytest.approx(float(both.best_model_score))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 12


def test_an_epoch_that_nobody_validates_is_never_the_best(trainer: Make, tmp_path: Path) -> None:
    """The trigger falls on the last batch of every epoch, and every second one is validated."""
    both = Checkpoint(dirpath=tmp_path, filename="{step}", every_n_train_steps=4, save_top_k=-1)
    fitted = trainer(max_epochs=5, check_val_every_n_epoch=2, callbacks=[both])
    fitted.fit(al_module(), loader(n=32), loader(n=16, seed=3))
    assert {p.name for p in tmp_path.glob("step*")} == {"step=8.ckpt", "step=16.ckpt"}
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 20


def test_the_best_by_validation_where_the_first_epochs_have_none(trainer: Make, tmp_path: Path) -> None:
    """Lightning has not counted validation batches when such a run starts."""
    kept = Checkpoint(dirpath=tmp_path)
    trainer(max_epochs=4, check_val_every_n_epoch=2, callbacks=[kept]).fit(
        al_module(optimizer=sgd(0.0)), loader(n=16), loader(n=16)
    )
    assert kept.monitor == "val_acc"
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == 4
    unjudged = Checkpoint(dirpath=tmp_path / "unjudged", every_n_train_steps=1)
    trainer(max_epochs=4, check_val_every_n_epoch=2, callbacks=[unjudged], limit_val_batches=0).fit(
        al_module(), loader(n=16), loader(n=16)
    )
    assert unjudged.monitor is None
    assert torch.load(unjudged.best_model_path, weights_only=True)["global_step"] == 8


def test_last_is_the_last_one_even_if_it_is_no_better(trainer: Make, tmp_path: Path) -> None:
    kept = Checkpoint(dirpath=str(tmp_path))
    trainer(max_epochs=3, callbacks=[kept]).fit(al_module(optimizer=sgd(0.0)), loader(n=16), loader(n=16))
    assert torch.load(kept.best_model_path, weights_only=True)["global_step"] == 2
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 6


def test_without_validation_the_last_epoch_is_kept(trainer: Make, tmp_path: Path) -> None:
    kept = Checkpoint(dirpath=str(tmp_path))
    trainer(max_epochs=2, callbacks=[kept]).fit(al_module(), loader(n=16))
    assert torch.load(kept.best_model_path, weights_only=True)["global_step"] == 4


def test_resume_goes_on_where_it_stopped(trainer: Make, tmp_path: Path) -> None:
    """From the last checkpoint, at the end of an epoch, to the same weights and rates."""
    whole, part = with_dropout(), with_dropout()
    part.load_state_dict(whole.state_dict())
    schedule = lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5)  # noqa: E731
    whole.lr_scheduler = part.lr_scheduler = schedule
    whole.run_seed = part.run_seed = 11
    trainer(max_epochs=4).fit(whole, loader())
    kept = Checkpoint(dirpath=str(tmp_path), monitor=None)
    trainer(max_epochs=2, callbacks=[kept]).fit(part, loader())
    resumed = with_dropout()
    resumed.lr_scheduler = schedule
    second = trainer(max_epochs=4)
    second.fit(resumed, loader(), ckpt_path=tmp_path / "last.ckpt")
    assert second.global_step == 32
    assert [o.param_groups[0]["lr"] for o in second.optimizers] == [0.001 * 0.5**4] * 2
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))


def test_a_full_disk_leaves_the_old_checkpoint(trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"state_dict": {}, "n": 1}, path)

    def full(checkpoint: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="could not .*No space left.*written before are whole"):
        io.save_checkpoint({"state_dict": {}, "n": 2}, path)
    assert torch.load(path, weights_only=True)["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    with pytest.raises(OSError, match="No space left"):
        trainer(max_epochs=1, callbacks=[Checkpoint(dirpath=tmp_path)]).fit(al_module(), loader(), loader())
    assert torch.load(path, weights_only=True)["n"] == 1


def test_another_architecture_is_named(trainer: Make, tmp_path: Path) -> None:
    fitted = trainer(max_epochs=1)
    fitted.fit(al.MLPAL(4, 1, 4, hidden_dims=[8], target_dim=8), loader(shape=(1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "mlp.ckpt")
    other = al.MLPAL(4, 1, 4, hidden_dims=[8, 8], target_dim=8)
    with pytest.raises(
        ValueError, match=r"Expected a checkpoint of this MLPAL.*MLPAL\(num_classes=4.*hidden_dims=\[8\]"
    ):
        trainer().test(other, loader(shape=(1, 4, 4)), ckpt_path=tmp_path / "mlp.ckpt")
    with pytest.raises(ValueError, match=r"Expected a checkpoint of CNNAL, but .* holds MLPAL"):
        al.CNNAL.load_from_checkpoint(tmp_path / "mlp.ckpt")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        al.CNNAL.load_from_checkpoint(tmp_path / "nothing.ckpt")
    whole = (tmp_path / "mlp.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="Expected a whole checkpoint .* cannot be read"):
        al.MLPAL.load_from_checkpoint(tmp_path / "cut.ckpt")


def test_another_version_warns_and_works(trainer: Make, tmp_path: Path) -> None:
    fitted = trainer(max_epochs=1)
    fitted.fit(al.MLPAL(4, 1, 4, hidden_dims=[8], target_dim=8), loader(shape=(1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    saved["al_lightning"]["version"] = "0.0.1"
    torch.save(saved, tmp_path / "b.ckpt")
    with pytest.warns(UserWarning, match=r"written by al_lightning 0\.0\.1"):
        al.MLPAL.load_from_checkpoint(tmp_path / "b.ckpt")


def test_optimizers_are_rebuilt_from_a_checkpoint(trainer: Make, tmp_path: Path) -> None:
    from functools import partial

    fitted = trainer(max_epochs=1)
    module = al.MLPAL(
        4, 1, 4, hidden_dims=[8], target_dim=8, optimizer=partial(torch.optim.SGD, lr=0.25), path_length=1
    )
    fitted.fit(module, loader(shape=(1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["al_lightning"]["model"]["init_args"]
    assert saved["optimizer"] == {"class_path": "torch.optim.sgd.SGD", "init_args": {"lr": 0.25}}
    assert "path_length" not in saved
    again = al.MLPAL.load_from_checkpoint(tmp_path / "a.ckpt")
    optimizer = again.optimizer([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_what_was_rebuilt_can_be_saved_and_rebuilt_again(trainer: Make) -> None:
    """With optimizers, of which a parser makes functions that nobody can import; arguments given on the way are kept."""
    data = Digits(train_samples=100, batch_size=20, augment=True)
    module = al.MLPAL(
        10,
        1,
        8,
        hidden_dims=[6],
        target_dim=5,
        optimizer=functools.partial(torch.optim.SGD, lr=0.25, momentum=0.5),
        lr_scheduler=WholeRunLR,
        lr_scheduler_interval="step",
    )
    first = trainer(max_epochs=1)
    first.fit(module, data)
    first.save_checkpoint("first.ckpt")
    for before, after, given in (("first", "second", {"gradient_clip_norm": 2.0}), ("second", "third", {})):
        module = al.MLPAL.load_from_checkpoint(f"{before}.ckpt", **given)
        again = trainer()
        again.validate(module, Digits.load_from_checkpoint(f"{before}.ckpt"), verbose=False)
        again.save_checkpoint(f"{after}.ckpt")
    said = [torch.load(f"{name}.ckpt", weights_only=True)["al_lightning"] for name in ("first", "second", "third")]
    assert said[1] == said[2]
    assert said[0]["data"] == said[2]["data"]
    assert said[2]["model"]["init_args"] == {**said[0]["model"]["init_args"], "gradient_clip_norm": 2.0}
    optimizer = al.MLPAL.load_from_checkpoint("third.ckpt").optimizer([torch.zeros(1)])
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["lr"] == 0.25

    unplain = al.MLPAL.load_from_checkpoint("third.ckpt", optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    assert unplain.recipe() is None  # better than an optimizer that it does not have
    data = Digits.load_from_checkpoint("third.ckpt")
    data.record(class_names=["ten"] * 10)  # found out after it was rebuilt
    recipe = data.recipe()
    assert recipe is not None
    assert recipe["init_args"]["class_names"] == ["ten"] * 10
