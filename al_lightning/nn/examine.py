"""Whether blocks can be AL layers: what each returns, and what would not survive a cut between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.nn.state import parts
from al_lightning.nn.unchanged import unchanged


def examine(blocks: Sequence[nn.Module] | nn.Sequential, example: Any) -> list[Any]:
    """Run blocks one after the other, and refuse what cannot be AL layers.

    Nothing is left of it: parameters, buffers, modes and the global stream of random numbers stay as they were.

    Args:
        blocks: the encoders ``f_1 .. f_L`` in order.
        example: a batch of any size, at least 1, a tensor or a NamedTuple of tensors.

    Returns:
        The state that each block returns, for two samples, as in evaluation.

    Raises:
        ValueError: naming the block that does not read what it gets, does not return a tensor or a NamedTuple of
            tensors with a row for each sample, returns shapes that depend on values, overwrites what it reads, or
            shares weights with another.
    """
    _refuse_shared(blocks)
    states = []
    state = _mapped(example, lambda x: x[:1].expand(2, *x.shape[1:]).clone())
    with torch.no_grad():
        for number, block in enumerate(blocks, 1):
            name = f"block {number} ({type(block).__name__})"
            with unchanged(block):
                _refuse_overwriting(name, block.train(), state)
            with unchanged(block):
                block.eval()
                returned = _run(name, block, _mapped(state, Tensor.clone))
                _refuse_strange(name, returned)
                other = _run(name, block, _mapped(state, _other))
                if _shapes(other) != [(3, *shape[1:]) for shape in _shapes(returned)]:
                    raise ValueError(
                        f"Expected {name} to return a row of the same shape for each sample, whatever its values, but "
                        f"got {_written(returned)} for 2 samples and {_written(other)} for 3 others. Pool or pad what "
                        "it returns to a fixed shape."
                    )
            states.append(returned)
            state = returned
    return states


def _refuse_shared(blocks: Sequence[nn.Module] | nn.Sequential) -> None:
    """Refuse weights of two blocks: each would step them by its own losses, and a pipeline keep two copies."""
    owners: dict[Tensor, tuple[int, str]] = {}
    for number, block in enumerate(blocks, 1):
        for name, tensor in itertools.chain(block.named_parameters(), block.named_buffers()):
            first, its_name = owners.setdefault(tensor, (number, name))
            if first != number:
                raise ValueError(
                    f"Expected every block to have weights of its own, but {name} of block {number} "
                    f"({type(block).__name__}) is {its_name} of block {first} as well. Copy the module "
                    "(`copy.deepcopy`), or let one block hold both."
                )


def _run(name: str, block: nn.Module, state: Any) -> Any:
    try:
        return block(state)
    except Exception as error:  # a user's own code
        raise ValueError(
            f"Expected {name} to read a state of shape {_written(state)}, but it cannot "
            f"({' '.join(str(error).split()):.300}). Change the block, the one before it, or the example input."
        ) from error


def _refuse_overwriting(name: str, block: nn.Module, state: Any) -> None:
    """Refuse a block that works in place on what it reads, which the bridge of the layer below reads too."""
    given = _mapped(state, Tensor.clone)
    versions = [tensor._version for tensor in _tensors(given)]
    _run(name, block, given)
    if [tensor._version for tensor in _tensors(given)] != versions:
        raise ValueError(
            f"Expected {name} to leave what it reads as it is, because the layer below needs it, but it works in place "
            "on it. Build its first operation with `inplace=False`, or put it at the end of the block before."
        )


def _refuse_strange(name: str, state: Any) -> None:
    try:
        tensors = _tensors(state)
    except TypeError:
        raise ValueError(
            f"Expected {name} to return a tensor, or a NamedTuple of tensors, but got {type(state).__name__}. Wrap it "
            "into a module that returns one of the two."
        ) from None
    if any(tensor.ndim == 0 or len(tensor) != 2 for tensor in tensors):
        raise ValueError(
            f"Expected {name} to return a row for each sample, but got {_written(state)} for 2 samples. Keep the first "
            "dimension."
        )


def _mapped(state: Any, function: Any) -> Any:
    if isinstance(state, Tensor):
        return function(state)
    kind, own = parts(state)
    return kind(*(_mapped(part, function) for part in own))


def _other(x: Tensor) -> Tensor:
    """Three other samples: random numbers, or the same whole numbers, whose meaning nobody knows here."""
    if x.is_floating_point():
        return torch.randn(3, *x.shape[1:], dtype=x.dtype, device=x.device)
    return x[:1].expand(3, *x.shape[1:]).clone()


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in parts(state)[1] for tensor in _tensors(part)]


def _shapes(state: Any) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in _tensors(state)]


def _written(state: Any) -> str:
    shapes = _shapes(state)
    return str(shapes[0]) if len(shapes) == 1 else " and ".join(map(str, shapes))
