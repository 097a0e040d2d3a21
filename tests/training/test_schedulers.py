"""Each layer's optimizer and scheduler as a Trainer drives them: rates, intervals, clipping, active layers, compiling."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from lightning.pytorch.cli import ReduceLROnPlateau
from networks import al_module, bp_module, sgd
from torch import nn

import al_lightning as al

Make = Callable[..., pl.Trainer]


class Rates(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.seen.append([group["lr"] for o in trainer.optimizers for group in o.param_groups])


def test_each_layer_has_its_optimizer_and_rate(trainer: Make) -> None:
    module = al_module(3, optimizer=torch.optim.RMSprop, layer_lr=[0.1, 0.2, 0.3])
    rates = Rates()
    fitted = trainer(max_epochs=1, callbacks=[rates], enable_checkpointing=False)
    fitted.fit(module, loader())
    assert rates.seen[0] == [0.1, 0.2, 0.3]
    assert [type(o) for o in fitted.optimizers] == [torch.optim.RMSprop] * 3
    for optimizer, layer in zip(fitted.optimizers, module.layers):
        assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in layer.parameters()}


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_schedulers_step_as_in_the_sibling(trainer: Make, interval: Any, accumulate: int) -> None:
    """The rates of every layer follow the trace that Lightning gives the BP sibling."""
    traces = []
    for make in (al_module, bp_module):
        rates = Rates()
        module = make(
            optimizer=sgd(0.1),
            lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
            lr_scheduler_interval=interval,
            accumulate_grad_batches=accumulate,
        )
        trainer(max_epochs=5, callbacks=[rates], enable_checkpointing=False).fit(module, loader(n=40))
        traces.append([step[0] for step in rates.seen])
        assert all(len(set(step)) == 1 for step in rates.seen)
    assert traces[0] == traces[1]
    assert len(set(traces[0])) > 2


def test_layer_rates_survive_a_scheduler(trainer: Make) -> None:
    rates = Rates()
    module = al_module(
        2,
        optimizer=sgd(9.0),
        layer_lr=[0.1, 0.2],
        lr_scheduler=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
    )
    trainer(max_epochs=2, callbacks=[rates], enable_checkpointing=False).fit(module, loader(n=8))
    assert rates.seen == [[0.1, 0.2], [0.05, 0.1]]


def test_plateau_scheduler_looks_at_its_metric(trainer: Make) -> None:
    rates = Rates()
    module = al_module(
        lr_scheduler=lambda o: ReduceLROnPlateau(o, monitor="val_loss", mode="max", patience=0, factor=0.5)
    )
    trainer(max_epochs=4, callbacks=[rates], enable_checkpointing=False).fit(module, loader(n=64), loader(n=8))
    assert rates.seen[-1][0] < rates.seen[0][0]
    wrong = al_module(lr_scheduler=lambda o: ReduceLROnPlateau(o, monitor="val_los"))
    with pytest.raises(ValueError, match="monitor a logged metric, but got 'val_los'.*val_loss"):
        trainer(max_epochs=1).fit(wrong, loader(n=8), loader(n=8))
    plain = al_module(lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(ValueError, match="lightning.pytorch.cli.ReduceLROnPlateau"):
        trainer(max_epochs=1).fit(plain, loader(n=8), loader(n=8))


def test_clipping_is_per_layer(trainer: Make) -> None:
    """One step of SGD with rate 1 moves each layer by at most the largest norm, and small gradients are left."""
    free, clipped = al_module(3, optimizer=sgd(1.0)), al_module(3, optimizer=sgd(1.0), gradient_clip_norm=0.05)
    start = copy.deepcopy(free)
    for module in (free, clipped):
        trainer(max_steps=1).fit(module, loader(n=8))

    def moved(module: al.ALModule) -> list[float]:
        return [
            float(torch.cat([(a - b).detach().flatten() for a, b in zip(x.parameters(), y.parameters())]).norm())
            for x, y in zip(module.layers, start.layers)
        ]

    for without, with_ in zip(moved(free), moved(clipped)):
        assert with_ == pytest.approx(min(without, 0.05), rel=1e-3)
    assert max(moved(free)) > 0.05


def test_clipping_is_per_layer_without_isolation(trainer: Make) -> None:
    """There all gradients are alive together, and each layer is still clipped by its own norm."""
    options = dict(isolated=False, optimizer=sgd(1.0), gradient_clip_norm=0.05)
    module, start = al_module(3, **options), al_module(3)
    trainer(max_steps=1).fit(module, loader(n=8))
    for ours, before in zip(module.layers, start.layers):
        moved = torch.cat([(a - b).detach().flatten() for a, b in zip(ours.parameters(), before.parameters())]).norm()
        assert float(moved) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("theirs", "algorithm"), [(False, "norm"), (True, "norm"), (True, "value")])
def test_sibling_clips_too(trainer: Make, fused: bool, precision: Any, theirs: bool, algorithm: Any) -> None:
    """By the module's own argument and by the Trainer's, in every precision, whatever steps."""
    options = {} if theirs else {"gradient_clip_norm": 0.01}
    asked = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": algorithm} if theirs else {}
    module, start = bp_module(optimizer=functools.partial(torch.optim.SGD, lr=1.0, fused=fused), **options), bp_module()
    trainer(max_steps=1, precision=precision, **asked).fit(module, loader(n=8))
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(module.parameters(), start.parameters())])
    assert float(moved.norm() if algorithm == "norm" else moved.abs().max()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("gradient_clip_val", "gradient_clip_norm"), ("accumulate_grad_batches", "accumulate_grad_batches")],
)
def test_trainer_arguments_name_their_replacement(trainer: Make, theirs: str, ours: str) -> None:
    with pytest.raises(ValueError, match=f"Trainer's `{theirs}` to be left alone, but got 2.*`{ours}=2`"):
        trainer(max_epochs=1, **{theirs: 2}).fit(al_module(), loader())
    fitted = trainer(max_epochs=1, **{theirs: 2})
    fitted.fit(bp_module(), loader(n=64))
    assert fitted.global_step == (4 if theirs == "accumulate_grad_batches" else 8)
    if theirs == "accumulate_grad_batches":
        with pytest.raises(ValueError, match="Leave the Trainer's alone"):
            trainer(max_epochs=1, accumulate_grad_batches=2).fit(bp_module(accumulate_grad_batches=3), loader())


def test_active_depth_leaves_the_rest_alone(trainer: Make) -> None:
    module = al_module(3, active_depth=2)
    before = copy.deepcopy(module.layers[2].state_dict())
    fitted = trainer(max_epochs=1)
    fitted.fit(module, loader(), loader())
    assert all(torch.equal(before[k], v) for k, v in module.layers[2].state_dict().items())
    assert len(fitted.optimizers) == 3  # all exist, so that the next layer may begin at any time
    assert "val_acc_path2" in fitted.callback_metrics
    assert "val_acc_path3" not in fitted.callback_metrics
    with pytest.raises(ValueError, match=r"in 1\.\.2, the number of active AL layers, but got 3"):
        module(torch.randn(2, 6), path_length=3)


def test_compiled_layers_keep_their_names(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, *args, **kwargs: calls.append(self))
    module = al_module(compile_layers=True)
    assert calls == list(module.layers)
    assert module.state_dict().keys() == al_module().state_dict().keys()
