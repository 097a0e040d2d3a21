"""Updates of single layers: depth that grows within a run, streams and reductions by replica, several layers at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

import al_lightning as al
from al_lightning.training import update
from al_lightning.training.reduction import ALONE, Share, data_share, share_buffers
from al_lightning.training.update import loss_logs, loss_name

Make = Callable[..., pl.Trainer]


def module(depth: int = 3, **options: Any) -> al.ALModule:
    torch.manual_seed(0)
    return al.ALModule(hand_layers(depth), K, **options)


class Grow(pl.Callback):
    """Raises the active depth in the middle of an epoch."""

    def __init__(self, batch: int, depth: int) -> None:
        self.batch, self.depth, self.seen = batch, depth, 0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        if self.seen == self.batch:
            assert isinstance(pl_module, al.ALModule)
            pl_module.active_depth = self.depth
        self.seen += 1


def test_a_layer_that_begins_in_the_middle_of_a_run(trainer: Make) -> None:
    """Until then it stays as it was; from then on it learns as if the layers below had brought it their states."""
    grown = module(3, active_depth=2, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    start = [p.detach().clone() for p in grown.layers[2].parameters()]
    fitted = trainer(max_epochs=1, callbacks=[Grow(3, 3)], enable_checkpointing=False)
    fitted.fit(grown, loader(n=40), loader(n=16))
    assert fitted.global_step == 5
    assert grown.active_depth == 3
    assert {"val_acc_path3", "val_acc_path2"} <= set(fitted.callback_metrics)
    # The same by hand: two layers for three batches, three for two.
    reference = module(3, active_depth=2, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in reference.layers]
    for number, (x, y) in enumerate(loader(n=40)):
        s, t = x, torch.eye(K)[y]
        for layer, optimizer in list(zip(reference.layers, optimizers))[: 2 if number < 3 else 3]:
            s, t, losses = layer(s, t)
            sum(losses).backward()
            optimizer.step()
            optimizer.zero_grad()
            s, t = s.detach(), t.detach()
    for ours, theirs in zip(grown.layers.parameters(), reference.layers.parameters()):
        torch.testing.assert_close(ours, theirs)
    assert any(not torch.equal(a, b) for a, b in zip(start, grown.layers[2].parameters()))


def test_the_depth_is_saved_state(trainer: Make, tmp_path: Any) -> None:
    grown = module(3, active_depth=1)
    fitted = trainer(max_epochs=1, callbacks=[Grow(1, 2)], enable_checkpointing=False)
    fitted.fit(grown, loader(n=24))
    fitted.save_checkpoint(tmp_path / "grown.ckpt")
    again = module(3, active_depth=1)
    again.load_state_dict(grown.state_dict())
    assert again.active_depth == 2
    resumed = module(3, active_depth=1)
    second = trainer(max_epochs=2)
    second.fit(resumed, loader(n=24), ckpt_path=tmp_path / "grown.ckpt")
    assert resumed.active_depth == 2
    assert len(second.optimizers[1].state) > 0
    assert len(second.optimizers[2].state) == 0
    for wrong in (0, 4):
        with pytest.raises(ValueError, match=rf"`active_depth` to be in 1\.\.3, but got {wrong}"):
            grown.active_depth = wrong


def test_the_schedule_of_a_layer_begins_with_the_layer(trainer: Make) -> None:
    grown = module(2, active_depth=1, lr_scheduler=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5))
    fitted = trainer(max_epochs=3, callbacks=[Grow(4, 2)], enable_checkpointing=False)  # at the third epoch's start
    fitted.fit(grown, loader(n=16))
    assert [o.param_groups[0]["lr"] for o in fitted.optimizers] == [0.001 * 0.5**3, 0.001 * 0.5]


def test_missing_optimizers_get_a_sentence(trainer: Make) -> None:
    class Lacking(al.ALModule):
        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), lr=0.1)]

    with pytest.raises(ValueError, match="one optimizer for each of the 2 layers, in their order, but got 1"):
        trainer(max_epochs=1).fit(Lacking(hand_layers(2), K), loader())


def test_losses_are_named_in_order() -> None:
    assert [loss_name(n) for n in (0, 1, 4)] == [
        "associated loss of layer 1", "reconstruction loss of layer 1", "associated loss of layer 3",
    ]  # fmt: skip
    assert loss_logs(2, {2}) == {
        "loss": [1, 2, 3], "layer1_associated": [0], "layer1_reconstruction": [1],
        "layer2_associated": [2], "layer2_reconstruction": [3],
    }  # fmt: skip


# ---------------------------------------------------------------------- replicas


class OneReplica(DDPStrategy):
    """Processes that train one replica together, as those of a pipeline do."""

    share = (0, 1)

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        return {"rank": self.share[0], "num_replicas": self.share[1]}


def with_share(trainer: pl.Trainer, monkeypatch: pytest.MonkeyPatch, rank: int, replicas: int) -> pl.Trainer:
    strategy = OneReplica.__new__(OneReplica)
    strategy.share = (rank, replicas)
    monkeypatch.setattr(trainer._accelerator_connector, "strategy", strategy)
    return trainer


def test_the_strategy_says_what_share_a_process_has(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_share(None) == data_share(trainer()) == ALONE
    assert data_share(with_share(trainer(), monkeypatch, 2, 5)) == Share(2, 5)


def test_dropout_is_keyed_by_the_replica(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[Any, Tensor] = {}
    for share in ((0, 1), (0, 2), (1, 2)):
        made = module()
        made._trainer = with_share(trainer(), monkeypatch, *share)
        made.run_seed = 7
        before = torch.get_rng_state()
        with made.stream(1, 0):
            drawn[share] = torch.rand(4)
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(drawn[0, 1], drawn[0, 2])
    assert not torch.equal(drawn[0, 1], drawn[1, 2])


def test_a_single_replica_reduces_nothing_whatever_the_number_of_processes() -> None:
    """There is no process group here: any message would raise."""
    layer = nn.BatchNorm1d(3)
    share_buffers(layer, ALONE)
    with pytest.raises((ValueError, RuntimeError)):
        share_buffers(layer, Share(0, 2))


def test_a_layer_draws_from_the_stream_of_its_replica(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of (run seed, replica, layer, epoch, batch), whatever the number of the process."""
    drawn: list[tuple[int, ...]] = []

    def fork(purpose: update.randomness.Purpose, device: torch.device, *coordinates: int) -> Any:
        assert purpose is update.randomness.Purpose.LAYER
        drawn.append(coordinates)
        return contextlib.nullcontext()

    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    monkeypatch.setattr(update, "training_share", lambda trainer: Share(3, 1))
    monkeypatch.setattr(update.randomness, "fork", fork)
    trainer(max_epochs=1).fit(module(2), loader(n=16))
    assert drawn == [(7, 3, 1, 0, 0), (7, 3, 2, 0, 0), (7, 3, 1, 0, 1), (7, 3, 2, 0, 1)]
