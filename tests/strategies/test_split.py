"""Which layers a stage gets, and what measuring them leaves behind."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random

import pytest
import torch
from conftest import K
from networks import with_dropout

from al_lightning.nn.balance import balance
from al_lightning.strategies.split import Split, check_stages, measure


def slowest(costs: list[float], split: list[range]) -> float:
    return max(sum(costs[number] for number in own) for own in split)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_split_has_a_faster_slowest_stage(seed: int) -> None:
    drawn = random.Random(seed)
    costs = [drawn.randint(1, 9) * 1.0 for _ in range(drawn.randint(1, 8))]
    for stages in range(1, len(costs) + 1):
        ours = balance(costs, stages)
        assert [n for own in ours for n in own] == list(range(len(costs)))
        assert len(ours) == stages
        assert all(ours)
        every = itertools.combinations(range(1, len(costs)), stages - 1)
        others = [[range(a, b) for a, b in itertools.pairwise([0, *ends, len(costs)])] for ends in every]
        assert slowest(costs, ours) == min(slowest(costs, other) for other in others)


def test_a_list_of_stages_is_read_as_layers() -> None:
    assert check_stages([[1], [2, 3]], 3) == [range(1), range(1, 3)]
    for wrong in ([[1], [3]], [[2], [1, 3]], [[1, 2, 3], []], [[1, 2], [2, 3]]):
        with pytest.raises(ValueError, match=r"Expected `stages` to hold each of the layers 1\.\.3 once"):
            check_stages(wrong, 3)


def test_layers_that_become_active_belong_to_the_last_stage() -> None:
    split = Split([range(1), range(1, 2)])
    assert [split.own(stage, 4) for stage in (0, 1)] == [range(1), range(1, 4)]
    assert [split.owner(number) for number in range(4)] == [0, 1, 1, 1]
    with pytest.raises(ValueError, match=r"only 1 layers are active and the stages have \[\[1\], \[2\]\]"):
        split.own(0, 1)


def test_measuring_leaves_no_trace() -> None:
    module, s = with_dropout().train(), torch.randn(8, 6)
    t = torch.eye(K)[torch.arange(8) % K]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    kept, random_state = (s.clone(), t.clone()), torch.get_rng_state()
    adam = functools.partial(torch.optim.Adam, lr=1.0)
    costs = measure(module.layers.active(), adam, s, t, contextlib.nullcontext, torch.device("cpu"))
    assert len(costs) == 2
    assert min(costs) > 0
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert torch.equal(s, kept[0])
    assert torch.equal(t, kept[1])
    assert torch.equal(torch.get_rng_state(), random_state)
