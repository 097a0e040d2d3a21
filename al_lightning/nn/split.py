"""Cuts a network into blocks, each of which reads one tensor and returns one, and the head that is left."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, fx, nn

from al_lightning.nn.balance import balance
from al_lightning.nn.bridges import make_bridge
from al_lightning.nn.trace import Unit, assemble, find_units, is_composite

#: Names of places that a message lists.
_LISTED = 40


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

    def head(self, width: int) -> nn.Module:
        """What makes scores of the last block's features: the network's own end, for so many scores.

        Args:
            width: number of scores.

        Returns:
            A module from (B, *shape) to (B, width). The network's last Linear is kept where it has so many outputs,
            else a new one stands in its place. A network that does not end in a Linear gets one, behind global
            average pooling.
        """
        if not self.rest:
            return make_bridge("lean", self.shape, width, pool=1)
        name = self.rest[-1].calls()[-1]
        last = self.network.get_submodule(name)
        assert isinstance(last, nn.Linear)
        if last.out_features == width:
            return assemble(self.network, self.rest)
        new = nn.Linear(last.in_features, width, last.bias is not None, last.weight.device, last.weight.dtype)
        return assemble(self.network, self.rest, {name: new})


def split_network(
    network: nn.Module, cuts: int | Sequence[int | str], example_input: Tensor, *, keep_head: bool = False
) -> SplitNetwork:
    """Cut a network into blocks, for :func:`~al_lightning.to_al_layers`.

    The network's forward is followed (by ``torch.fx``) down to its modules, which stay whole; a module that costs more
    than its share of the network, or holds a place where it shall be cut, is followed too. A cut can be wherever a
    single tensor is all that goes on, which what follows does not overwrite.

    Args:
        network: reads one tensor and returns one. Nothing in it is copied: the blocks hold its modules.
        cuts: how many blocks, of about the same number of multiplications; no block then begins with a layer without
            any, such as a norm. Or where each block but the first begins: paths of modules, as ``named_modules`` has
            them, such as ``["layer2", "layer3.1"]``; numbers for the parts of an ``nn.Sequential``.
        example_input: a batch of any size, with the shape and dtype that training will use.
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
    number = cuts if isinstance(cuts, int) else None
    places = [] if isinstance(cuts, int) else _places(network, cuts)
    units = _open_where_needed(network, example_input, number, places, keep_head)
    end = len(units) if keep_head else _head_start(network, units)
    starts = _balanced(network, units[:end], number) if number is not None else _chosen(network, units, end, places)
    groups = [units[a:b] for a, b in pairwise([*starts, end])]
    return SplitNetwork(
        blocks=[_assembled(network, group) for group in groups],
        starts=[group[0].name for group in groups],
        shape=units[end - 1].shape,
        network=network,
        rest=units[end:],
    )


def _assembled(network: nn.Module, units: list[Unit]) -> fx.GraphModule:
    block = assemble(network, units)
    block.training = network.training  # its modules keep the modes that they had
    return block


def _places(network: nn.Module, cuts: Sequence[int | str]) -> list[str]:
    """Where blocks begin, as paths of modules that there are.

    Raises:
        ValueError: if there is no such module.
    """
    names = [name for name, _ in network.named_modules() if name]
    for cut in map(str, cuts):
        if cut not in names:
            close = difflib.get_close_matches(cut, names, 1)
            children = [name for name, _ in network.named_children()]
            raise ValueError(
                f"Expected `cuts` to name modules of {type(network).__name__}, but it has none called {cut!r}."
                f"{f' Did you mean {close[0]!r}?' if close else ''} It has {_listed(children)}, and those inside."
            )
    return list(map(str, cuts))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"


def _open_where_needed(
    network: nn.Module, example: Tensor, number: int | None, places: Sequence[str], keep_head: bool
) -> list[Unit]:
    """Units of a network, with those modules followed too which have to be cut inside."""
    parents = {".".join(place.split(".")[:depth]) for place in places for depth in range(1, place.count(".") + 1)}
    opened = {name for name in parents if is_composite(network.get_submodule(name))}
    units, closed = find_units(network, example, opened), set[str]()
    while True:
        share = sum(unit.multiplications for unit in units) / (number or 1)
        large = [unit for unit in units if number is not None and unit.multiplications > share]
        wanted = {name for unit in [*large, *([] if keep_head else units[-1:])] for name in unit.calls()}
        wanted = {name for name in wanted - closed if is_composite(network.get_submodule(name))}
        if not wanted:
            return units
        for name in sorted(wanted):
            try:
                finer = find_units(network, example, opened | {name})
            except ValueError:  # it stays whole
                closed.add(name)
                continue
            ends_in_head = _head_start(network, finer) < len(finer) > _head_start(network, units) == len(units)
            if len(_possible_starts(finer)) > len(_possible_starts(units)) or ends_in_head:
                opened, units = opened | {name}, finer
            else:
                closed.add(name)


def _head_start(network: nn.Module, units: Sequence[Unit]) -> int:
    """Number of the unit with which the head begins: the last Linear, and the pooling before it."""
    calls = units[-1].calls()
    last = network.get_submodule(calls[-1]) if calls and units[-1].nodes[-1].op == "call_module" else None
    start = len(units) - 1
    if not isinstance(last, nn.Linear) or start == 0:
        return len(units)
    while start > 1 and units[start - 1].reduces:
        start -= 1
    return start


def _possible_starts(units: Sequence[Unit]) -> list[int]:
    """Numbers of the units with which a block may begin if nobody says where: those that multiply, and the first."""
    fit = [n for n, unit in enumerate(units) if n == 0 or (unit.multiplications and not unit.changes_input)]
    if len(fit) > 1 and not any(unit.multiplications for unit in units[: fit[1]]):
        del fit[1]  # what comes before the first multiplication is no block of its own
    return fit


def _balanced(network: nn.Module, units: Sequence[Unit], number: int) -> list[int]:
    """Numbers of the units with which each of so many blocks begins."""
    fit = _possible_starts(units)
    if not 1 <= number <= len(fit):
        raise ValueError(
            f"Expected `cuts` to be in 1..{len(fit)}, because {type(network).__name__} has so many parts that can be "
            f"blocks, but got {number}. They begin with {_listed([units[n].name for n in fit])}."
        )
    costs = [sum(unit.multiplications for unit in units[a:b]) for a, b in pairwise([*fit, len(units)])]
    return [fit[group.start] for group in balance(costs, number)]


def _chosen(network: nn.Module, units: Sequence[Unit], end: int, places: Sequence[str]) -> list[int]:
    """Numbers of the units with which blocks begin that were asked for by name."""
    name = type(network).__name__
    starts = [0]
    for place in places:
        first = [next(iter(unit.calls()), unit.name) for unit in units]
        found = next((n for n, called in enumerate(first) if called == place or called.startswith(f"{place}.")), None)
        possible = [called for n, called in enumerate(first[:end]) if n and not units[n].changes_input]
        if found is None or found == 0 or found >= end:
            where = "is in the head, behind all blocks" if found else "is where the first block begins"
            where = "stands where more than one tensor goes on" if found is None else where
            raise ValueError(
                f"Expected `cuts` to name where a block of {name} can begin, but {place!r} {where}. Blocks can begin "
                f"with {_listed(possible)}."
            )
        if units[found].changes_input:
            raise ValueError(
                f"Expected `cuts` of {name} where nothing is overwritten across them, but {place} "
                f"({type(network.get_submodule(place)).__name__}) works in place on what the block before it returns. "
                "Cut behind it."
            )
        if found <= starts[-1]:
            raise ValueError(
                f"Expected `cuts` in the order in which {name} computes, each once, but got {list(places)}. Sort them."
            )
        starts.append(found)
    return starts
