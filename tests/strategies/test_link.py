"""What travels between stages arrives as it was, memory included."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from al_lightning.nn.association import ClassCodes
from al_lightning.strategies.link import put_together, take_apart
from al_lightning.training.stage import Handover


class Words(NamedTuple):
    """Features and lengths."""

    features: Tensor
    lengths: Tensor


def travelled(state: Any) -> Any:
    """The state, rebuilt from its header and its bytes alone."""
    memory: list[Tensor] = []
    header = pickle.loads(pickle.dumps(take_apart(state, memory)))
    sent = iter([tensor.clone() for tensor in memory])

    def take(elements: int, dtype: torch.dtype) -> Tensor:
        tensor = next(sent)
        assert (tensor.numel(), tensor.dtype, tensor.is_contiguous()) == (elements, dtype, True)
        return tensor

    return put_together(header, take)


IMAGES = torch.randn(2, 3, 4, 5)
TENSORS = {
    "plain": IMAGES,
    "channels last": IMAGES.to(memory_format=torch.channels_last),
    "transposed": torch.randn(3, 4).t(),
    "one pixel": torch.randn(2, 3, 1, 1).to(memory_format=torch.channels_last),
    "scalar": torch.tensor(3.0),
    "nothing": torch.randn(0, 3),
    "bf16": torch.randn(3, 2).bfloat16(),
    "numbers": torch.arange(6),
    "yes or no": torch.tensor([True, False]),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_keeps_values_and_place_in_memory(kind: str) -> None:
    tensor = TENSORS[kind]
    arrived = travelled(tensor)
    assert torch.equal(arrived, tensor)
    assert (arrived.dtype, arrived.stride()) == (tensor.dtype, tensor.stride())


@pytest.mark.parametrize("tensor", [torch.randn(4, 6)[:, ::2], torch.randn(3, 1).expand(3, 4), torch.randn(9)[2:5]])
def test_gaps_and_repetitions_are_not_sent(tensor: Tensor) -> None:
    memory: list[Tensor] = []
    take_apart(tensor, memory)
    assert sum(part.numel() for part in memory) == tensor.numel()
    assert torch.equal(travelled(tensor), tensor)


def test_nested_states_and_codes_keep_their_types() -> None:
    batch = Handover(Words(torch.randn(2, 3, 4), torch.tensor([3, 1])), ClassCodes(torch.eye(4), torch.tensor([0, 2])))
    arrived = travelled(batch)
    assert [type(part) for part in (arrived, arrived.s, arrived.t)] == [Handover, Words, ClassCodes]
    assert torch.equal(arrived.s.features, batch.s.features)
    assert torch.equal(arrived.t.labels, batch.t.labels)


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(TypeError, match="a tensor or a NamedTuple of tensors"):
        take_apart([torch.ones(2)], [])
