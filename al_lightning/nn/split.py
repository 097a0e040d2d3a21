"""Cuts a network into blocks, each of which reads one tensor and returns one, and the head that is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from al_lightning.nn.bridges import make_bridge
from al_lightning.nn.cuts import CUTS, Cuts, balanced_starts, chosen_starts, places_of, possible_starts
from al_lightning.nn.trace import is_composite
from al_lightning.nn.units import Unit, assemble, find_units

#: What turns the scores of a last Linear into probabilities: no part of a head, whose scores losses read.
_PROBABILITIES = {F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, torch.sigmoid, F.sigmoid}
_PROBABILITY_METHODS = {"softmax", "log_softmax", "sigmoid"}


@dataclass
class SplitNetwork:
    """A network in parts.

    Attributes:
        blocks: the encoders, in order; each holds the network's own modules under their own names.
        starts: of each block, the path in the network of the module that it begins with.
        shape: of what the last block returns, for a sample.
        network: as it was given.
        rest: what stands behind the blocks: pooling and the last Linear; empty if the network does not end in one.
    """

    blocks: list[nn.Module]
    starts: list[str]
    shape: tuple[int, ...]
    network: nn.Module
    rest: list[Unit]

    def last(self) -> str | None:
        """Path of the network's last Linear, which makes scores; None if it does not end in one."""
        return self.rest[-1].calls()[-1] if self.rest else None

    def head(self, width: int) -> nn.Module:
        """What makes scores of the last block's features: the network's own end, for so many scores.

        Args:
            width: number of scores.

        Returns:
            A module from (B, ...) to (B, width). The network's last Linear is kept where it has so many outputs,
            else a new one stands in its place. A network that does not end in a Linear gets one, behind global
            average pooling.
        """
        path = self.last()
        if path is None:
            return make_bridge("lean", self.shape, width, pool=1)
        last = self.network.get_submodule(path)
        assert isinstance(last, nn.Linear)
        if last.out_features == width:
            return assemble(self.network, self.rest)
        new = nn.Linear(last.in_features, width, last.bias is not None, last.weight.device, last.weight.dtype)
        return assemble(self.network, self.rest, {path: new})


def split_network(network: nn.Module, cuts: Cuts, example_input: Tensor, *, keep_head: bool = False) -> SplitNetwork:
    """Cut a network into blocks, for :func:`~al_lightning.to_al_layers`.

    The network's forward is followed (by ``torch.fx``) down to its modules, which stay whole; a module that costs more
    than its share of the network, or holds a place where it shall be cut, is followed too. A cut can be wherever a
    single tensor is all that goes on, which what follows does not overwrite.

    Args:
        network: reads one tensor and returns one. Nothing in it is copied: the blocks hold its modules.
        cuts: how many blocks, of about the same number of multiplications; no block then begins with a layer without
            any, such as a norm. Or where each block but the first begins: paths of modules, as ``named_modules`` has
            them, such as ``["layer2", "layer3.1"]``; numbers for the parts of an ``nn.Sequential``. Of None, 4, or as
            many as there can be.
        example_input: a batch of any size, at least 1, with the shape and dtype that training will use.
        keep_head: whether the last Linear, and pooling right before it, belong to the last block.

    Returns:
        The blocks, and what is left of the network.

    Raises:
        ValueError: if the network cannot be followed or does not read the example, or there is no such cut.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> split = split_network(net, 2, torch.zeros(1, 6))
        >>> split.starts, split.head(10)(split.blocks[1](split.blocks[0](torch.zeros(2, 6)))).shape
        (['0', '2'], torch.Size([2, 10]))
    """
    if not len(example_input):
        raise ValueError("Expected an example input of at least one sample, but got none. Pass `torch.zeros(1, ...)`.")
    named = None if cuts is None or type(cuts) is int else places_of(network, cuts)
    number = cuts if isinstance(cuts, int) else None
    units, whole = _open_where_needed(network, example_input, CUTS if cuts is None else number, named or [], keep_head)
    start, end = (len(units), len(units)) if keep_head else _head(network, units)
    if named is not None:
        starts = chosen_starts(network, units, start, named)
    else:
        starts = balanced_starts(network, units[:start], number, whole)
    groups = [units[a:b] for a, b in pairwise([*starts, start])]
    return SplitNetwork(
        blocks=[_assembled(network, group) for group in groups],
        starts=[group[0].name for group in groups],
        shape=units[start - 1].shape,
        network=network,
        rest=units[start:end],
    )


def _assembled(network: nn.Module, units: list[Unit]) -> fx.GraphModule:
    block = assemble(network, units)
    block.training = network.training  # its modules keep the modes that they had
    return block


def _open_where_needed(
    network: nn.Module, example: Tensor, number: int | None, places: Sequence[str], keep_head: bool
) -> tuple[list[Unit], dict[str, str]]:
    """Units of a network, with those modules followed too which have to be cut inside.

    Returns:
        The units; and the modules that were too large and stay whole, each with the reason.
    """
    parents = {".".join(place.split(".")[:depth]) for place in places for depth in range(1, place.count(".") + 1)}
    opened = {name for name in parents if is_composite(network.get_submodule(name))}
    units, whole = find_units(network, example, opened), dict[str, str]()
    while True:
        share = sum(unit.multiplications for unit in units) / (number or 1)
        large = [unit for unit in units if number is not None and unit.multiplications > share]
        wanted = {name for unit in [*large, *([] if keep_head else units[-1:])] for name in unit.calls()}
        wanted = {name for name in wanted - whole.keys() if is_composite(network.get_submodule(name))}
        if not wanted:
            return units, whole
        for name in sorted(wanted):
            try:
                finer = find_units(network, example, opened | {name})
            except ValueError as error:
                whole[name] = str(error)
                continue
            found_head = _has_head(network, finer) and not _has_head(network, units)
            if found_head or len(possible_starts(finer)) > len(possible_starts(units)):
                opened, units = opened | {name}, finer
            else:
                whole[name] = ""


def _has_head(network: nn.Module, units: Sequence[Unit]) -> bool:
    start, end = _head(network, units)
    return start < end


def _head(network: nn.Module, units: Sequence[Unit]) -> tuple[int, int]:
    """Numbers of the units with which the head begins, and behind its end: the last Linear and pooling before it."""
    end = len(units)
    while end > 1 and _makes_probabilities(network, units[end - 1]):
        end -= 1
    calls, start = units[end - 1].calls(), end - 1
    last = network.get_submodule(calls[-1]) if calls and units[start].nodes[-1].op == "call_module" else None
    if not isinstance(last, nn.Linear) or start == 0:
        return len(units), len(units)
    while start > 1 and units[start - 1].reduces:
        start -= 1
    return start, end


def _makes_probabilities(network: nn.Module, unit: Unit) -> bool:
    node = unit.nodes[-1]
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), (nn.Softmax, nn.LogSoftmax, nn.Sigmoid))
    return node.target in (_PROBABILITIES if node.op == "call_function" else _PROBABILITY_METHODS)
