"""Networks as users name them: a builder and its arguments, or a network that is built already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

#: Builds a network, or is one.
Network: TypeAlias = Callable[..., nn.Module]


def build_network(network: Network, arguments: Mapping[str, Any] | None, weights: str | None) -> nn.Module:
    """A network, with the weights that it starts from.

    Args:
        network: builds it, such as ``torchvision.models.resnet18``; or the network itself.
        arguments: of the builder.
        weights: what the builder takes as ``weights``, such as ``"DEFAULT"``; or a file, which is not read
            here, see :func:`load_weights`.

    Raises:
        TypeError: if something else was built than a network.
        ValueError: if the builder does not take the arguments.
    """
    if isinstance(network, nn.Module):
        if arguments or (weights is not None and not Path(weights).is_file()):
            raise ValueError(
                "Expected a function or class that builds the network, beside its arguments or the name of weights, "
                f"but got a {type(network).__name__} that is built already. Leave these out, or name its class."
            )
        return network
    name = getattr(network, "__name__", repr(network))
    given = dict(arguments or {})
    if weights is not None and not Path(weights).is_file():
        given["weights"] = weights
    try:
        built: object = network(**given)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected arguments that {name} accepts, but got {given} ({error}). Correct `network_args`, or `weights`, "
            "which is a file or a name that it knows."
        ) from error
    if not isinstance(built, nn.Module):
        raise TypeError(f"Expected {name} to build an nn.Module, but it returned a {type(built).__name__}.")
    return built


def load_weights(network: nn.Module, file: str, new: frozenset[str]) -> None:
    """Read the weights that a network starts from.

    Args:
        network: whose weights are set.
        file: a state dict of this network, as ``torch.save(net.state_dict(), file)`` writes it.
        new: paths of modules whose weights may be missing or of another shape, because others stand in their place.

    Raises:
        ValueError: if the file is none, or other weights are missing or of another shape.
    """
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
        fits = all(isinstance(value, torch.Tensor) for value in loaded.values())
    except Exception as error:  # torch.load raises whatever it stumbles over
        raise ValueError(f"Expected a state dict in {file}, but it cannot be read ({error!s:.200}).") from error
    if not fits:
        raise ValueError(f"Expected a state dict in {file}, tensors by their names, but it holds something else.")
    own = network.state_dict()
    wrong = [name for name in own if name not in loaded or loaded[name].shape != own[name].shape]
    wrong = [name for name in wrong if name.rpartition(".")[0] not in new]
    if wrong:
        raise ValueError(
            f"Expected the weights of a {type(network).__name__} in {file}, but {len(wrong)} are missing or of another "
            f"shape, first {wrong[0]}. Build the network with the arguments that they were trained with."
        )
    network.load_state_dict({name: value for name, value in loaded.items() if name in own and
                             own[name].shape == value.shape}, strict=False)  # fmt: skip
