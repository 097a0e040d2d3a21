"""Early exits: which samples the layers work on, what is copied, and thresholds that a state dict keeps."""

from __future__ import annotations

import pytest
import torch
from conftest import hand_layers
from torch import Tensor

from al_lightning.nn.exits import ExitThresholds, exit_early
from al_lightning.nn.path import all_paths
from al_lightning.nn.sequence import TokenSequence
from al_lightning.nn.state import select


def walk(answers: list[list[bool]], leaving: float) -> tuple[Tensor, Tensor, list[int]]:
    """Early exits of as many samples as an answer has; ``answers`` say who leaves, by the numbers of all samples."""
    layers, x = hand_layers(len(answers) + 1), torch.randn(len(answers[0]), 6)
    sizes: list[int] = []
    for layer in layers:
        layer.f.register_forward_pre_hook(lambda f, args: sizes.append(len(args[0])))
    known = [scores for _, scores in all_paths(layers, x)]
    sizes.clear()

    def sure(scores: Tensor, k: int) -> Tensor:
        """Find out by their scores which samples are left."""
        numbers = torch.cdist(scores, known[k - 1]).argmin(1)
        return torch.tensor(answers[k - 1])[numbers]

    scores, exits = exit_early(layers, x, sure, leaving=leaving)
    for n, k in enumerate(exits.tolist()):
        torch.testing.assert_close(scores[n], known[k - 1][n])
    return scores, exits, sizes


def test_a_batch_is_compacted_where_enough_have_left() -> None:
    leaves = [[True, *[False] * 9], [True, True, True, *[False] * 7], [False] * 10]
    _, exits, sizes = walk(leaves, leaving=0.1)
    assert exits.tolist() == [1, 2, 2, *[4] * 7]
    assert sizes == [10, 9, 7, 7]
    _, exits, sizes = walk(leaves, leaving=0.25)  # one of ten is too few; three are enough, also one by one
    assert exits.tolist() == [1, 2, 2, *[4] * 7]
    assert sizes == [10, 10, 7, 7]
    _, exits, sizes = walk(leaves, leaving=0.5)
    assert exits.tolist() == [1, 2, 2, *[4] * 7]
    assert sizes == [10, 10, 10, 10]


def test_nobody_is_worked_on_when_all_have_left() -> None:
    _, exits, sizes = walk([[False, True], [True, False], [True, True]], leaving=0.6)
    assert exits.tolist() == [2, 1]
    assert sizes == [2, 2]


def test_texts_lose_the_padding_that_only_others_needed() -> None:
    state = TokenSequence(torch.randn(3, 7, 2), torch.tensor([2, 7, 3]))
    kept = select(state, torch.tensor([True, False, True]))
    assert kept.features.shape == (2, 3, 2)
    assert kept.lengths.tolist() == [2, 3]
    torch.testing.assert_close(kept.features, state.features[[0, 2], :3])
    assert select(state, torch.zeros(3, dtype=torch.bool)).features.shape == (0, 0, 2)


def test_thresholds_are_kept() -> None:
    exits = ExitThresholds(4)
    assert exits.chosen() is None
    exits.keep(torch.tensor([0.9, 0.8], dtype=torch.float64), 0.002, 0.9, 1)
    other = ExitThresholds(4)
    other.load_state_dict(exits.state_dict())
    chosen = other.chosen()
    assert chosen is not None
    assert chosen[0] == pytest.approx([0.9, 0.8, 1.0, 1.0])
    assert chosen[1] == 1
    assert other.promise.tolist() == pytest.approx([0.002, 0.9, 1.0])
