"""LazyAdam against torch's own sparse and dense Adam."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.optim import LazyAdam, clip_gradient_norm


def test_rows_are_those_of_sparse_adam() -> None:
    ours, theirs = nn.Embedding(10, 3, sparse=True), nn.Embedding(10, 3, sparse=True)
    theirs.load_state_dict(ours.state_dict())
    # Where eps enters, torch's sparse Adam differs from its dense one, which ours follows.
    mine = LazyAdam(ours.parameters(), lr=0.1, eps=1e-12)
    reference = torch.optim.SparseAdam(theirs.parameters(), lr=0.1, eps=1e-12)
    generator = torch.Generator().manual_seed(0)
    untouched = ours.weight[9].detach().clone()
    for _ in range(8):
        x = torch.randint(0, 9, (4,), generator=generator)
        for embedding, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            embedding(x).pow(3).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    assert torch.equal(ours.weight[9], untouched)


def test_dense_parameters_are_those_of_adam() -> None:
    ours, theirs = nn.Linear(4, 2), nn.Linear(4, 2)
    theirs.load_state_dict(ours.state_dict())
    mine, reference = LazyAdam(ours.parameters(), lr=0.1), torch.optim.Adam(theirs.parameters(), lr=0.1)
    for step in range(5):
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))

        def closure(net: nn.Linear, optimizer: torch.optim.Optimizer, x: torch.Tensor = x) -> float:
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            return float(loss.detach())

        assert mine.step(lambda: closure(ours, mine)) == pytest.approx(closure(theirs, reference))
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clipping_of_sparse_gradients_is_that_of_dense_ones(max_norm: float) -> None:
    tokens = torch.tensor([[1, 1, 2], [2, 1, 5]])  # words that stand twice
    gradients = []
    for sparse in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(8, 3, sparse=sparse), nn.Flatten(), nn.Linear(9, 2))
        (net(tokens).square().sum() * 10).backward()
        unused = nn.Parameter(torch.zeros(2))
        clip = clip_gradient_norm if sparse else nn.utils.clip_grad_norm_
        clip([*net.parameters(), unused], max_norm)
        gradients.append([p.grad.to_dense() for p in net.parameters() if p.grad is not None])
        assert unused.grad is None
    torch.testing.assert_close(*gradients)
    norm = torch.cat([g.flatten() for g in gradients[0]]).norm()
    assert norm == pytest.approx(max_norm, rel=1e-4) if max_norm < 1 else 1 < norm < max_norm


@pytest.mark.parametrize("name", ["LSTMAL", "LSTMBP", "TransformerAL", "TransformerBP"])
def test_opt_in_on_both_siblings(name: str, trainer: Callable[..., pl.Trainer]) -> None:
    """The first step equals dense Adam's, clipping included: no row has momentum yet."""

    def train(sparse: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        dims = dict(hidden_dims=[4]) if "LSTM" in name else dict(feedforward_dims=[4], heads=2, dropout=0.0)
        module = getattr(al, name)(
            2, vocab_size=20, embedding_dim=6, sparse_embedding=sparse, gradient_clip_norm=0.01,
            optimizer=LazyAdam if sparse else torch.optim.Adam, **dims,
        )  # fmt: skip
        x = torch.tensor([[2, 3, 3, 4], [5, 2, 0, 0]])
        trainer(max_steps=1).fit(module, DataLoader(TensorDataset(x, torch.tensor([0, 1])), batch_size=2))
        return module.state_dict()

    dense, sparse = train(False), train(True)
    for key, value in dense.items():
        torch.testing.assert_close(sparse[key], value, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["LSTMAL", "LSTMBP"])
def test_other_optimizers_are_refused(name: str, trainer: Callable[..., pl.Trainer]) -> None:
    module = getattr(al, name)(2, vocab_size=20, embedding_dim=6, hidden_dims=[4], sparse_embedding=True)
    data = DataLoader(TensorDataset(torch.tensor([[2, 3]]), torch.tensor([0])))
    with pytest.raises(ValueError, match="Expected an optimizer that reads sparse gradients, .* but got Adam"):
        trainer(max_steps=1).fit(module, data)
