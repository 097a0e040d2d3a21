"""Training steps against an independent reference in plain torch, then isolation with its negative control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from torch import Tensor

import al_lightning as al
import al_lightning.training.update as engine
from al_lightning.nn.layer import LayerLosses

STEPS, LR, MOMENTUM = 6, 0.1, 0.9


def reference_training(
    state: dict[str, Tensor], batches: list[Any], detached: bool, cross_entropy: bool
) -> list[float]:
    """Algorithm 2 for fully connected layers, from the paper's text: explicit formulas, one gradient a loss and
    function, SGD with momentum by hand. Updates ``state`` in place; returns the summed loss of each batch."""
    velocity = {name: torch.zeros_like(value) for name, value in state.items()}
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    sums = []
    for x, y in batches:
        s, t, total = x, torch.eye(K, dtype=x.dtype)[y], 0.0
        for i in range(depth):
            name = {p: [f"layers.{i}.{p}.{n}" for n in ns] for p, ns in
                    (("f", ("0.weight", "0.bias")), ("b", ("weight", "bias")),
                     ("g", ("0.weight", "0.bias")), ("h", ("weight", "bias")))}  # fmt: skip
            p = {n: state[n].clone().requires_grad_() for names in name.values() for n in names}

            def linear(v: Tensor, part: str, p: dict[str, Tensor] = p, name: dict[str, list[str]] = name) -> Tensor:
                weight, bias = (p[n] for n in name[part])
                return v @ weight.T + bias

            s_i, t_i = torch.tanh(linear(s, "f")), torch.tanh(linear(t, "g"))
            associated = ((linear(s_i, "b") - t_i) ** 2).mean()
            decoded = linear(t_i, "h")
            if cross_entropy and i == 0:
                reconstruction = (decoded.logsumexp(-1) - (decoded * t).sum(-1)).mean()
            else:
                reconstruction = ((decoded - t) ** 2).mean()
            gradient = {n: torch.zeros_like(v) for n, v in p.items()}
            for loss, parts in ((associated, "fb" if detached else "fbg"), (reconstruction, "gh")):
                names = [n for part in parts for n in name[part]]
                for n, value in zip(names, torch.autograd.grad(loss, [p[n] for n in names], retain_graph=True)):
                    gradient[n] += value
            total += float((associated + reconstruction).detach())
            for n, value in gradient.items():
                velocity[n] = MOMENTUM * velocity[n] + value
                state[n] -= LR * velocity[n]
            s, t = s_i.detach(), t_i.detach()
        sums.append(total)
    return sums


class Losses(pl.Callback):
    def __init__(self) -> None:
        self.train: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.train.append(float(trainer.callback_metrics["train_loss_step"]))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM)


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_steps_equal_the_reference(trainer: Callable[..., pl.Trainer], detached: bool, loss: Any) -> None:
    first = hand_layers(1, detach_target=detached, reconstruction_loss=loss)
    rest = hand_layers(2, inputs=8, detach_target=detached)
    rest[0].g[0], rest[0].h = torch.nn.Linear(5, 5), torch.nn.Linear(5, 5)
    module = al.ALModule([*first, *rest], K, optimizer=sgd)
    data = loader(n=STEPS * 8)
    state = {n: v.detach().clone() for n, v in module.named_parameters()}
    start = {n: v.clone() for n, v in state.items()}
    expected = reference_training(state, list(data), detached, loss == "cross_entropy")
    seen = Losses()
    trainer(max_epochs=1, callbacks=[seen], enable_checkpointing=False, log_every_n_steps=1).fit(module, data)
    torch.testing.assert_close(seen.train, expected, rtol=1e-5, atol=1e-6)
    for name, value in module.named_parameters():
        torch.testing.assert_close(value.detach(), state[name], rtol=1e-4, atol=1e-6)
        assert not torch.equal(value.detach(), start[name]), f"{name} was not trained"


def test_unisolated_steps_equal_joint_backward(trainer: Callable[..., pl.Trainer]) -> None:
    """``isolated=False``: the gradient of the sum of all losses through the whole stack, one step for all."""
    module = al.ALModule(hand_layers(3), K, optimizer=sgd, isolated=False, associated_layers=[3])
    reference = hand_layers(3)
    for ours, theirs in zip(module.layers, reference):
        theirs.load_state_dict(ours.state_dict())
    optimizer = sgd([p for layer in reference for p in layer.parameters()])
    data = loader(n=STEPS * 8)
    for x, y in data:
        s, t, total = x, torch.eye(K)[y], torch.zeros(())
        for i, layer in enumerate(reference):
            s_next, t_next = layer.f(s), layer.g(t)
            if i == 2:
                total = total + ((layer.b(s_next) - t_next) ** 2).mean()
            total = total + ((layer.h(t_next) - t) ** 2).mean()
            s, t = s_next, t_next
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    fitted = trainer(max_epochs=1)
    fitted.fit(module, data)
    assert fitted.global_step == STEPS
    for ours, theirs in zip(module.layers, reference):
        for a, b in zip(ours.parameters(), theirs.parameters()):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def weights_after_training(scaled_layer: int | None, detached: bool) -> list[list[Tensor]]:
    """Weights of each layer after a few batches, one layer's losses multiplied by 1000."""
    torch.manual_seed(0)
    layers = hand_layers(3, detach_target=detached)
    if scaled_layer is not None:
        layer, losses = layers[scaled_layer], layers[scaled_layer].losses
        layer.losses = lambda *args: LayerLosses(*(1000 * v for v in losses(*args)))  # type: ignore[method-assign]
    module = al.ALModule(layers, K, optimizer=lambda p: torch.optim.SGD(p, lr=1e-4))
    pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
               enable_progress_bar=False, enable_model_summary=False).fit(module, loader(n=32))  # fmt: skip
    return [[p.detach().clone() for p in layer.parameters()] for layer in module.layers]


def assert_isolated(detached: bool) -> None:
    """No layer notices what the losses above it are."""
    plain = weights_after_training(None, detached)
    for scaled in range(3):
        other = weights_after_training(scaled, detached)
        for below in range(scaled):
            assert all(torch.equal(a, b) for a, b in zip(plain[below], other[below])), (
                f"the losses of layer {scaled + 1} moved layer {below + 1}"
            )
        assert not all(torch.equal(a, b) for a, b in zip(plain[scaled], other[scaled]))


@pytest.mark.parametrize("detached", [False, True])
def test_layers_are_isolated(detached: bool) -> None:
    assert_isolated(detached)


def test_negative_control_without_the_detach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above sees it when the isolating line is taken out."""
    monkeypatch.setattr(engine, "detach", lambda state: state)
    with pytest.raises((AssertionError, RuntimeError), match="moved layer|second time|inplace operation"):
        assert_isolated(True)


def test_negative_control_without_the_target_detach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out on the target side alone, it is seen as well."""
    true_detach = al.detach
    monkeypatch.setattr(engine, "detach", lambda state: true_detach(state) if state.shape[-1] == 8 else state)
    with pytest.raises((AssertionError, RuntimeError), match="moved layer|second time|inplace operation"):
        assert_isolated(True)


def test_each_layer_sees_what_came_before_the_step_below(trainer: Callable[..., pl.Trainer]) -> None:
    """What layer 2 gets on batch j is what layer 1 computes with its weights after batch j - 1."""
    module = al.ALModule(hand_layers(2), K, optimizer=lambda p: torch.optim.SGD(p, lr=0.5))
    seen: list[Tensor] = []
    expected: list[Tensor] = []
    lower, upper = module.layers
    lower.register_forward_pre_hook(lambda layer, args: expected.append(layer.f(args[0]).detach().clone()))
    upper.register_forward_pre_hook(lambda layer, args: seen.append(args[0].clone()))
    trainer(max_epochs=1).fit(module, loader(n=24))
    assert len(seen) == 3
    for a, b in zip(seen, expected):
        assert torch.equal(a, b)
