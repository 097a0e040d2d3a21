"""What travels from one layer to the next: a tensor, or a NamedTuple of tensors such as (features, lengths)."""

from __future__ import annotations

from typing import Protocol, TypeVar, cast, runtime_checkable

from torch import Tensor

#: A tensor, or a NamedTuple of tensors.
State = TypeVar("State", bound="Tensor | tuple[Tensor, ...]")


@runtime_checkable
class Compactable(Protocol):
    """A state that can leave out more than the samples that leave, such as padding that only they needed."""

    def compact(self) -> tuple[Tensor, ...]:
        """The same samples in less memory; of the same type."""


def parts(state: object) -> tuple[type, tuple[Tensor, ...]]:
    """The type of a NamedTuple of tensors, and the tensors; anything else is refused with a sentence."""
    if isinstance(state, tuple) and "_fields" in vars(type(state)):
        return type(state), tuple(state)
    raise TypeError(
        "Expected the state between two layers to be a tensor or a NamedTuple of tensors, "
        f"but got {type(state).__name__}. Return one of the two from the layer's encoder f."
    )


def batch_size(state: object) -> int:
    """How many samples a state is of.

    Raises:
        TypeError: if ``state`` is neither a tensor nor a NamedTuple of tensors.
    """
    return len(state) if isinstance(state, Tensor) else len(parts(state)[1][0])


def detach(state: State) -> State:
    """Cut a state from the graph that computed it.

    Args:
        state: a tensor, or a NamedTuple of tensors, any shape and dtype.

    Returns:
        The same kind of state, sharing storage, without history.

    Raises:
        TypeError: if ``state`` is neither.
    """
    if isinstance(state, Tensor):
        return cast(State, state.detach())
    kind, own = parts(state)
    return kind(*(detach(part) for part in own))  # type: ignore[no-any-return]


def select(state: State, keep: Tensor) -> State:
    """Keep some samples of a state, so that the rest costs nothing any more.

    Args:
        state: a tensor (B, ...) or a NamedTuple of such tensors.
        keep: (B,) bool.

    Returns:
        The same kind of state with ``keep.sum()`` samples.

    Raises:
        TypeError: if ``state`` is neither.

    Example:
        >>> import torch
        >>> select(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([True, False, True]))
        tensor([[1.],
                [3.]])
    """
    if isinstance(state, Tensor):
        return cast(State, state[keep])
    kind, own = parts(state)
    selected = kind(*(select(part, keep) for part in own))
    return cast(State, selected.compact() if isinstance(selected, Compactable) else selected)
