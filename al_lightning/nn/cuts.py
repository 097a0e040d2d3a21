"""Where a network is cut: into so many blocks of about the same cost, or at the modules that somebody names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from torch import nn

from al_lightning.nn.balance import balance
from al_lightning.nn.units import Unit

#: How many blocks, or where all but the first begin; None for as many as there can be, at most :data:`CUTS`.
Cuts: TypeAlias = int | Sequence[int | str] | None

#: Blocks that a network is cut into if nobody says how many.
CUTS = 4
#: Names of places that a message lists.
_LISTED = 40


def places_of(network: nn.Module, cuts: int | Sequence[int | str]) -> list[str]:
    """Where blocks begin, as paths of modules that there are.

    Raises:
        ValueError: if there is no such module.
    """
    given: object = cuts
    if not isinstance(given, (str, list, tuple)):
        raise ValueError(f"Expected `cuts` to be a whole number or a list of modules, but got {cuts!r}.")
    places = [given] if isinstance(given, str) else list(map(str, given))
    names = [name for name, _ in network.named_modules() if name]
    for place in places:
        if place not in names:
            close = difflib.get_close_matches(place, names, 1)
            children = [name for name, _ in network.named_children()]
            raise ValueError(
                f"Expected `cuts` to name modules of {type(network).__name__}, but it has none called {place!r}."
                f"{f' Did you mean {close[0]!r}?' if close else ''} It has {_listed(children)}, and those inside."
            )
    return places


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"


def possible_starts(units: Sequence[Unit]) -> list[int]:
    """Numbers of the units with which a block may begin if nobody says where: those that multiply, and the first."""
    fit = [n for n, unit in enumerate(units) if n == 0 or (unit.multiplications and not unit.changes_input)]
    if len(fit) > 1 and not any(unit.multiplications for unit in units[: fit[1]]):
        del fit[1]  # what comes before the first multiplication is no block of its own
    return fit


def balanced_starts(
    network: nn.Module, units: Sequence[Unit], number: int | None, whole: Mapping[str, str]
) -> list[int]:
    """Numbers of the units with which each of so many blocks begins.

    Args:
        network: whose units they are.
        units: in order, without those of the head.
        number: of blocks; if None, as many as there can be, at most :data:`CUTS`.
        whole: modules that were not followed, each with the reason.

    Raises:
        ValueError: if there cannot be so many.
    """
    fit = possible_starts(units)
    number = min(CUTS, len(fit)) if number is None else number
    if not 1 <= number <= len(fit):
        stay = "".join(f" {name} stays whole: {reason}" for name, reason in whole.items() if reason)
        raise ValueError(
            f"Expected `cuts` to be in 1..{len(fit)}, because {type(network).__name__} has so many parts that can be "
            f"blocks, but got {number}. They begin with {_listed([units[n].name for n in fit])}.{stay}"
        )
    costs = [sum(unit.multiplications for unit in units[a:b]) for a, b in pairwise([*fit, len(units)])]
    return [fit[group.start] for group in balance(costs, number)]


def chosen_starts(network: nn.Module, units: Sequence[Unit], end: int, places: Sequence[str]) -> list[int]:
    """Numbers of the units with which blocks begin that were asked for by name."""
    name = type(network).__name__
    firsts = [unit.name for unit in units]
    possible = [first for n, first in enumerate(firsts[:end]) if n and not units[n].changes_input]
    starts = [0]
    for place in places:
        found = next((n for n, first in enumerate(firsts) if first == place or first.startswith(f"{place}.")), None)
        if found is None:
            obstacle = "stands inside a part that stays whole, or where more than one tensor goes on"
        elif found == 0:
            obstacle = "is where the first block begins"
        else:
            obstacle = "is in the head, behind all blocks"
        if found is None or not 0 < found < end:
            raise ValueError(
                f"Expected `cuts` to name where a block of {name} can begin, but {place!r} {obstacle}. Blocks can "
                f"begin with {_listed(possible)}."
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
