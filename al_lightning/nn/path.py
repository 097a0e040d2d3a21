"""Inference along the paths of a stack of AL layers (paper, Algorithm 3), and how it is read out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from al_lightning.nn.association import class_scores
from al_lightning.nn.layer import ALLayer
from al_lightning.nn.state import State

#: How path k becomes scores. ``"decoder"``: by ``h_k .. h_1`` (Algorithm 3). ``"codes"``: by the similarities of
#: ``b_k(s_k)`` with the codes of all classes, which are constants at inference. ``"mean"``: the log of the mean
#: probability that the codes of paths 1..k give.
Readout: TypeAlias = Literal["decoder", "codes", "mean"]

READOUTS: tuple[Readout, ...] = ("decoder", "codes", "mean")


def decode(layers: Sequence[ALLayer], association: Tensor) -> Tensor:
    """``h_k .. h_1``: from ``b_k(s_k)``, (B, target_dim), to scores (B, width)."""
    for layer in reversed(layers):
        association = layer.h(association)
    return association


@runtime_checkable
class BridgedEncoder(Protocol):
    """An encoder that some bridges need not wait for, where a path ends at it."""

    def bridged(self, s: State, bridge: nn.Module) -> Tensor | None:
        """``bridge(f(s))``, (B, target_dim); None if it has no faster way than that."""


def bridged(f: nn.Module, bridge: nn.Module, s: State) -> Tensor | None:
    """``bridge(f(s))``, (B, target_dim), if there is a faster way to it than by ``f(s)``."""
    return f.bridged(s, bridge) if isinstance(f, BridgedEncoder) else None


def end_path(f: nn.Module, bridge: nn.Module, s: State) -> Tensor:
    """``bridge(f(s))``, (B, target_dim), of the layer at which a path ends, so that nobody else reads ``f(s)``."""
    faster = bridged(f, bridge, s)
    if faster is not None:
        return faster
    association: Tensor = bridge(f(s))
    return association


def encode_classes(layers: Sequence[ALLayer], classes: Tensor) -> list[Tensor]:
    """The code of every class at every layer, constants at inference.

    Args:
        layers: the AL layers, from the input upwards.
        classes: ``t_0`` of each class, (K, width).

    Returns:
        ``g_k(.. g_1(t_0))`` for each layer k, (K, target_dim), without gradients.
    """
    codes = []
    with torch.no_grad():
        for layer in layers:
            classes = layer.g(classes)
            codes.append(classes)
    return codes


def mean_scores(scores: Sequence[Tensor]) -> Tensor:
    """Scores (B, K) whose softmax is the mean of the softmax of each of several scores (B, K)."""
    if len(scores) == 1:
        return scores[0]
    return torch.stack([one.log_softmax(-1) for one in scores]).logsumexp(0) - math.log(len(scores))


class InferencePath(nn.Module):
    """What inference of path length k computes: ``x -> f_1 .. f_k -> b_k -> h_k .. h_1 -> scores``.

    It holds the modules that it uses and no others: no g, and one bridge. So its parameters are those of inference.

    Args:
        layers: the first k AL layers, from the input upwards; at least one.

    Example:
        >>> layer = ALLayer(f=nn.Linear(6, 8), b=nn.Linear(8, 5), g=nn.Linear(4, 5), h=nn.Linear(5, 4))
        >>> path = InferencePath([layer])
        >>> path(torch.zeros(3, 6)).shape, path.parameter_count()
        (torch.Size([3, 4]), 125)
    """

    def __init__(self, layers: Sequence[ALLayer]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(layer.f for layer in layers)
        self.bridge = layers[-1].b
        self.decoders = nn.ModuleList(layer.h for layer in reversed(layers))

    def forward(self, x: State) -> Tensor:
        """Scores (B, width) of an input (B, ...)."""
        *below, last = self.encoders
        s = x
        for f in below:
            s = f(s)
        t = end_path(last, self.bridge, s)
        for h in self.decoders:
            t = h(t)
        return t

    def parameter_count(self) -> int:
        """Number of parameters that inference uses."""
        return sum(p.numel() for p in self.parameters())


class CodePath(nn.Module):
    """Inference of path length k, read out by class codes: ``x -> f_1 .. f_k -> b_k -> similarities -> scores``.

    It holds no g and no h, but one code per class.

    Args:
        layers: the first k AL layers, from the input upwards; at least one.
        classes: ``t_0`` of each class, (num_classes, width).
        mean: average the probabilities of paths 1..k, each by its own bridge.

    Example:
        >>> layer = ALLayer(f=nn.Linear(6, 8), b=nn.Linear(8, 5), g=nn.Linear(4, 5), h=nn.Linear(5, 4))
        >>> path = CodePath([layer], torch.eye(4))
        >>> path(torch.zeros(3, 6)).shape, path.parameter_count()  # 4 codes of 5 numbers among them
        (torch.Size([3, 4]), 121)
    """

    def __init__(self, layers: Sequence[ALLayer], classes: Tensor, *, mean: bool = False) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(layer.f for layer in layers)
        self.first = 0 if mean else len(layers) - 1
        self.bridges = nn.ModuleList(layer.b for layer in layers[self.first :])
        self.temperatures = [layer.temperature for layer in layers[self.first :]]
        for number, codes in enumerate(encode_classes(layers, classes)[self.first :]):
            self.register_buffer(f"codes{number}", codes)

    def forward(self, x: State) -> Tensor:
        """Scores (B, num_classes) of an input (B, ...)."""
        *below, last = self.encoders
        s, scores = x, []
        for number, f in enumerate(below, -self.first):
            s = f(s)
            if number >= 0:
                scores.append(self._score(number, self.bridges[number](s)))
        scores.append(self._score(len(below) - self.first, end_path(last, self.bridges[-1], s)))
        return mean_scores(scores)

    def _score(self, number: int, association: Tensor) -> Tensor:
        """Similarities of what a bridge says with its codes; numbers are those of ``self.bridges``."""
        return class_scores(association, self.get_buffer(f"codes{number}"), self.temperatures[number])

    def parameter_count(self) -> int:
        """Number of parameters and of constants that inference uses."""
        return sum(p.numel() for p in [*self.parameters(), *map(self.get_buffer, self._code_names())])

    def _code_names(self) -> list[str]:
        return [f"codes{number}" for number in range(len(self.bridges))]


class Reader:
    """Reads path after path of a batch out, from the input upwards.

    Args:
        layers: all AL layers.
        readout: how.
        codes: of all classes at every layer, as :func:`encode_classes` returns them; not needed by ``"decoder"``.
    """

    def __init__(self, layers: Sequence[ALLayer], readout: Readout, codes: Sequence[Tensor] = ()) -> None:
        self.layers, self.readout, self.codes = layers, readout, codes
        self._below: list[Tensor] = []

    @property
    def accumulates(self) -> bool:
        """Whether a path's scores need those of all paths below it."""
        return self.readout == "mean"

    def __call__(self, k: int, association: Tensor) -> Tensor:
        """Scores (B, width) of path k, which follows path k - 1; ``association`` is ``b_k(s_k)``, (B, target_dim)."""
        if self.readout == "decoder":
            return decode(self.layers[:k], association)
        scores = class_scores(association, self.codes[k - 1], self.layers[k - 1].temperature)
        if self.readout == "codes":
            return scores
        self._below.append(scores)
        return mean_scores(self._below)

    def select(self, keep: Tensor) -> None:
        """Go on with some samples of the batch only; ``keep`` is (B,) bool."""
        self._below = [scores[keep] for scores in self._below]


def all_paths(layers: Sequence[ALLayer], x: State, read: Reader | None = None) -> Iterator[tuple[State, Tensor]]:
    """Walk up the layers once and read every path on the way.

    Args:
        layers: all AL layers, from the input upwards.
        x: the input, (B, ...).
        read: reads them out; by their decoders if None.

    Yields:
        The state ``s_k`` and the scores (B, width) of path k.
    """
    s, read = x, read or Reader(layers, "decoder")
    for k, layer in enumerate(layers, 1):
        s = layer.f(s)
        yield s, read(k, layer.b(s))
