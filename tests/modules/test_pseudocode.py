"""The network of the paper's pseudocode (section 6.10), in plain torch and as `MLPAL`, on vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.nn.state import detach

WIDTH, CLASSES, LAYERS = 10, 5, 5
#: The loss of five layers that start from seed 0, on the batch of seed 1.
LOSS = 1.724728


def unit(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.Sigmoid())


class Plain(nn.Module):
    """Read rightly: g encodes the target, b reads the input's side, and cross-entropy compares scores with classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.f, self.g, self.b, self.h = (nn.ModuleList(unit(WIDTH, WIDTH) for _ in range(LAYERS)) for _ in range(4))
        self.g[0], self.h[0] = unit(CLASSES, WIDTH), unit(WIDTH, CLASSES)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        loss = torch.zeros(())
        s, t = x, F.one_hot(y, CLASSES).float()
        for number, (f, g, b, h) in enumerate(zip(self.f, self.g, self.b, self.h)):
            below, s = t, f(s)
            t = g(below)
            loss = loss + (b(s) - t.detach()).square().mean()
            decoded = h(t)
            if number == 0:
                loss = loss - (decoded.log_softmax(1) * below).sum(1).mean()
            else:
                loss = loss + (decoded - below).square().mean()
            s, t = s.detach(), t.detach()
        return loss

    def inference(self, x: Tensor) -> Tensor:
        for f in self.f:
            x = f(x)
        scores: Tensor = self.b[-1](x)
        for h in reversed(self.h):
            scores = h(scores)
        return scores


def pseudocode(**options: Any) -> al.MLPAL:
    return al.MLPAL(
        CLASSES, in_features=WIDTH, hidden_dims=[WIDTH] * LAYERS, target_dim=WIDTH, norm=None, activation="sigmoid",
        target_activation="sigmoid", score_activation="sigmoid", bridge_activation="sigmoid", **options,
    )  # fmt: skip


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((30, WIDTH), generator=generator), torch.randint(CLASSES, (30,), generator=generator)


def copied(plain: Plain, **options: Any) -> al.MLPAL:
    """The same weights, function by function; both call what a function consists of in the same order."""
    module = pseudocode(**options)
    for number, layer in enumerate(module.layers):
        for ours, theirs in ((layer.f, plain.f), (layer.g, plain.g), (layer.b, plain.b), (layer.h, plain.h)):
            for a, b in zip(ours.parameters(), theirs[number].parameters(), strict=True):
                a.data.copy_(b.data)
    return module


def test_losses_gradients_and_inference_are_the_pseudocodes() -> None:
    plain = Plain()
    module, (x, y) = copied(plain), batch()
    s, t, loss = x, F.one_hot(y, CLASSES).float(), torch.zeros(())
    for layer in module.layers:
        s, t, losses = layer(s, t)
        loss = loss + losses.associated + losses.reconstruction
        s, t = detach(s), detach(t)
    loss.backward()
    theirs = plain(x, y)
    theirs.backward()
    assert theirs.item() == pytest.approx(LOSS, abs=1e-5)
    torch.testing.assert_close(loss, theirs)
    for number, layer in enumerate(module.layers):
        for ours, reference in ((layer.f, plain.f), (layer.g, plain.g), (layer.b, plain.b), (layer.h, plain.h)):
            for a, b in zip(ours.parameters(), reference[number].parameters(), strict=True):
                assert b.grad.any()
                torch.testing.assert_close(a.grad, b.grad)
    torch.testing.assert_close(module(x), plain.inference(x))


def test_a_run_takes_the_steps_of_the_pseudocode(trainer: Callable[..., pl.Trainer]) -> None:
    plain, (x, y) = Plain(), batch()
    module = copied(plain, optimizer=lambda parameters: torch.optim.SGD(parameters, 0.5))
    trainer(max_epochs=3).fit(module, DataLoader(TensorDataset(x, y), batch_size=30))
    optimizer = torch.optim.SGD(plain.parameters(), 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        plain(x, y).backward()
        optimizer.step()
    for number, layer in enumerate(module.layers):
        for ours, reference in ((layer.f, plain.f), (layer.g, plain.g), (layer.b, plain.b), (layer.h, plain.h)):
            for a, b in zip(ours.parameters(), reference[number].parameters(), strict=True):
                torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [al.MLPAL, al.MLPBP])
def test_vectors_in_place_of_images(kind: Any, trainer: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    module = kind(3, in_features=7, hidden_dims=[6, 6])
    x, y = torch.randn(20, 7), torch.arange(20) % 3
    fitted = trainer(max_epochs=1)
    fitted.fit(module, DataLoader(TensorDataset(x, y), batch_size=5))
    assert module(x).shape == (20, 3)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    again = kind.load_from_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(again(x), module.eval()(x))
    for wrong in (torch.zeros(2, 6), torch.zeros(2, 1, 7), torch.zeros(2)):
        with pytest.raises(ValueError, match=r"Expected vectors of shape \(B, 7\), because in_features=7, but got"):
            again(wrong)
