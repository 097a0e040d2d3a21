"""What the search tries outside of the library: a lever that does not do what it says would be called useless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from al_lightning.nn.sequence import TokenSequence


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))


def test_muon_steps_kernels_as_matrices_and_adam_the_rest() -> None:
    from levers.muon import MatrixMuon

    torch.manual_seed(0)
    kernel, bias = nn.Parameter(torch.randn(4, 3, 3, 3)), nn.Parameter(torch.randn(4))
    matrix, vector = nn.Parameter(kernel.detach().view(4, 27).clone()), nn.Parameter(bias.detach().clone())
    ours = MatrixMuon([kernel, bias], lr=0.5)
    muon = torch.optim.Muon([matrix], lr=0.01, weight_decay=0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam([vector], lr=0.01)
    for group in ours.param_groups:  # as a scheduler would
        group["lr"] = 0.01
    for _ in range(3):
        gradient, slope = torch.randn(4, 3, 3, 3), torch.randn(4)
        kernel.grad, matrix.grad, bias.grad, vector.grad = gradient, gradient.view(4, 27), slope, slope.clone()
        ours.step()
        muon.step()
        adam.step()
    torch.testing.assert_close(kernel.view(4, 27), matrix)
    torch.testing.assert_close(bias, vector)


def test_fixed_codes_are_a_simplex_on_every_layer() -> None:
    from levers import LeverCNN

    net = LeverCNN(10, 1, 8, hidden=(16,), fixed_codes=True)
    codes = torch.eye(10)
    for layer in net.layers:
        codes = layer.g(codes)
    cosines = nn.functional.cosine_similarity(codes[:, None], codes[None], dim=-1)
    torch.testing.assert_close(cosines, torch.eye(10) * 10 / 9 - torch.full((10, 10), 1 / 9), atol=1e-5, rtol=0)
    assert not any(p.requires_grad for p in net.layers[0].g.parameters())


def test_a_temperature_is_that_of_its_own_trial() -> None:
    from levers import LeverCNN

    temperatures = [
        {layer.temperature for layer in LeverCNN(10, 1, 8, levers=said).layers} for said in ({"temperature": 0.2}, None)
    ]
    assert temperatures == [{0.2}, {0.1}]


def test_bridges_of_texts_do_not_read_padding() -> None:
    from levers.texts import ManyPools, WindowBridge

    x, lengths = torch.randn(2, 5, 6), torch.tensor([3, 5])
    noise = torch.cat([x, 100 * torch.randn(2, 4, 6)], 1)
    noise[0, 3:] = 100
    for bridge in (WindowBridge(6, 4), ManyPools(6, 4)):
        own = bridge(TokenSequence(x, lengths))
        torch.testing.assert_close(bridge(TokenSequence(noise, lengths)), own)
        assert own.shape == (2, 4)


def test_warm_codes_have_learned_before_the_first_image() -> None:
    from levers import LeverCNN
    from levers.layer import warm_codes

    def reconstructed(net: LeverCNN) -> float:
        losses, _ = net.eval().evaluate(torch.zeros(10, 1, 8, 8), torch.arange(10))
        return float(losses[1::2].detach().max())

    torch.manual_seed(0)
    cold = LeverCNN(10, 1, 8, hidden=(16,))
    torch.manual_seed(0)
    warm = LeverCNN(10, 1, 8, hidden=(16,), warm_up=200)
    assert reconstructed(warm) < 0.2 * reconstructed(cold)
    assert all(p.grad is None or not p.grad.any() for layer in warm.layers for p in [*layer.f.parameters()])
    before = [p.clone() for p in cold.parameters()]
    warm_codes(list(cold.layers), 10, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, cold.parameters()))


def test_the_last_bridge_may_read_its_whole_map() -> None:
    from levers import LeverCNN

    bridges = [layer.b for layer in LeverCNN(10, 1, 16, pool=2, hidden=(8,), last=(20, 12)).layers]
    widths = [[part.out_features for part in bridge if isinstance(part, nn.Linear)] for bridge in bridges]
    assert widths == [[8, 64], [8, 64], [8, 64], [20, 12, 64]]
    reads = [next(part.in_features for part in bridge if isinstance(part, nn.Linear)) for bridge in bridges]
    assert reads == [32 * 4, 32 * 4, 64 * 4, 64 * 16]


def test_frozen_encoders_are_those_that_al_trained_and_hold_still(tmp_path: Path) -> None:
    from levers import FrozenCNNBP, LeverCNN

    trained = LeverCNN(10, 1, 8, hidden=(16,)).train()
    trained.layers[0].f(torch.randn(32, 1, 8, 8))  # moves batch norm's statistics
    torch.save(trained.state_dict(), tmp_path / "al.pt")
    net = FrozenCNNBP(str(tmp_path / "al.pt"), 2, 10, 1, 8, head=(16,)).train()
    x = torch.randn(32, 1, 8, 8)
    lower = net.net[0](x)
    trained.eval()
    torch.testing.assert_close(lower, trained.layers[1].f(trained.layers[0].f(x)))
    nn.functional.cross_entropy(net(x), torch.arange(32) % 10).backward()
    assert not lower.requires_grad
    trainable = sum(p.requires_grad for p in net.net[0].parameters())
    assert trainable == 0
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)
    assert torch.equal(net.net[0](x), lower)  # its statistics did not move


def test_rates_of_lower_layers_end_earlier(trainer: Any) -> None:
    from levers import LeverCNN

    from al_lightning.training.whole_run import WholeRunLR

    module = LeverCNN(4, 1, 8, hidden=(16,), ends=(0.25, 0.5, 0.75, 1.0), lr_scheduler=WholeRunLR,
                      lr_scheduler_interval="step")  # fmt: skip
    data = DataLoader(TensorDataset(torch.randn(32, 1, 8, 8), torch.arange(32) % 4), batch_size=4)
    trainer(max_epochs=1, enable_checkpointing=False).fit(module, data)
    rates = [
        [schedule.get_lr()[0], schedule.factor(1) * 1e-3, schedule.total_steps] for schedule in module.lr_schedulers()
    ]
    assert [steps for *_, steps in rates] == [2, 4, 6, 8]
    assert all(now == 0 and first > 0 for now, first, _ in rates)
