"""The penalty of the published VGG code: s / 2 * sum(w^2) over the kernels of convolutions, in the loss itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import al_lightning as al
from al_lightning.training.optimizers import ConvDecayAdam


def test_the_penalty_is_that_in_the_loss() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).double()
    twin = copy.deepcopy(net)
    ours, plain = ConvDecayAdam(net.parameters(), 0.01, 0.3), torch.optim.Adam(twin.parameters(), 0.01)
    x = torch.randn(5, 1, 4, 4, dtype=torch.double)
    for _ in range(4):
        for optimizer, module, share in ((ours, net, 0.0), (plain, twin, 0.3)):
            optimizer.zero_grad()
            (module(x).square().mean() + share / 2 * module[0].weight.square().sum()).backward()
            optimizer.step()
    for a, b in zip(net.parameters(), twin.parameters()):
        torch.testing.assert_close(a, b)


def test_layers_without_convolutions_have_no_penalty() -> None:
    module = al.VGGAL(10, 1, 16, target_dim=8, optimizer=lambda parameters: ConvDecayAdam(parameters, 1e-4, 1e-5))
    optimizers, _ = module.configure_optimizers()
    assert [[group["weight_decay"] for group in optimizer.param_groups] for optimizer in optimizers] == [
        [1e-5, 0.0], [1e-5, 0.0], [1e-5, 0.0], [0.0]
    ]  # fmt: skip
    for optimizer, layer in zip(optimizers, module.layers):
        held = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        assert held == sum(p.numel() for p in layer.parameters())


def test_wrong_penalties_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="Expected `weight_decay` to be at least 0, but got -1"):
        ConvDecayAdam([nn.Parameter(torch.zeros(1))], weight_decay=-1)
