"""What a step of a Trainer is: batches are counted, and accumulated batches are one large batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from networks import al_module, bp_module, sgd

Make = Callable[..., pl.Trainer]


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("isolated", [True, False])
def test_global_step_counts_batches(trainer: Make, depth: int, isolated: bool) -> None:
    fitted = trainer(max_epochs=2)
    fitted.fit(al_module(depth, isolated=isolated), loader(n=40))
    assert fitted.global_step == 10


def test_max_steps_means_batches(trainer: Make) -> None:
    seen: list[int] = []

    class Count(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
            seen.append(trainer.global_step)

    trainer(max_steps=10, max_epochs=-1, callbacks=[Count()], enable_checkpointing=False).fit(al_module(), loader(n=32))
    assert seen == list(range(1, 11))


def test_accumulation_counts_rounds_and_equals_the_large_batch(trainer: Make) -> None:
    """Four batches of 4 make the step of one batch of 16; the epoch's last, shorter round steps too."""
    small, large = al_module(optimizer=sgd(0.1), accumulate_grad_batches=4), al_module(optimizer=sgd(0.1))
    fitted = trainer(max_epochs=1)
    fitted.fit(small, loader(n=32, batch_size=4))
    assert fitted.global_step == 2
    trainer(max_epochs=1).fit(large, loader(n=32, batch_size=16))
    for a, b in zip(small.parameters(), large.parameters()):
        torch.testing.assert_close(a, b)
    odd = trainer(max_epochs=1)
    odd.fit(al_module(accumulate_grad_batches=4), loader(n=40, batch_size=4))
    assert odd.global_step == 3


@pytest.mark.parametrize("make", [al_module, bp_module])
def test_siblings_accumulate_alike(trainer: Make, make: Callable[..., Any]) -> None:
    fitted = trainer(max_epochs=2)
    fitted.fit(make(accumulate_grad_batches=4), loader(n=40, batch_size=4))
    assert fitted.global_step == 6
