"""Building blocks that the image networks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import nn

from al_lightning.nn.elu import ELU

Activation: TypeAlias = Literal["relu", "elu", "gelu", "tanh", "sigmoid"]
Norm: TypeAlias = Literal["batch"]

# In place where torch can: after a convolution or batch norm nobody reads what is overwritten, and one map a
# layer less is kept for backward, for AL and BP alike.
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "elu": lambda: ELU(inplace=True),
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activate(name: Activation) -> nn.Module:
    """An activation by name.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"Expected `activation` to be one of {', '.join(_ACTIVATIONS)}, but got {name!r}.")
    return _ACTIVATIONS[name]()


def conv_unit(
    inputs: int, outputs: int, *, stride: int = 1, bias: bool = True, norm: Norm | None, activation: Activation
) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size (divides it by ``stride``), its norm and its activation."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
    return [conv, *([nn.BatchNorm2d(outputs)] if norm else []), activate(activation)]


def dense_unit(inputs: int, outputs: int, *, norm: Norm | None, activation: Activation) -> list[nn.Module]:
    """A Linear, its norm and its activation."""
    return [nn.Linear(inputs, outputs), *([nn.BatchNorm1d(outputs)] if norm else []), activate(activation)]


def dense_head(dims: Sequence[int], width: int, *, norm: Norm | None, activation: Activation) -> nn.Sequential:
    """The head of a BP network, initialised: dense units through ``dims``, then scores (B, width)."""
    units = [m for a, b in pairwise(dims) for m in dense_unit(a, b, norm=norm, activation=activation)]
    head = nn.Sequential(nn.Flatten(), *units, nn.Linear(dims[-1], width))
    initialise(head)
    return head


def linear_head(inputs: int, width: int) -> nn.Linear:
    """The head of a BP network that is one Linear, initialised as its trunk is."""
    head = nn.Linear(inputs, width)
    initialise(head)
    return head


def check_image(in_channels: int, image_size: int, multiple: int) -> None:
    """Refuse sizes that the network's strides cannot divide.

    Raises:
        ValueError: naming the argument.
    """
    if in_channels < 1:
        raise ValueError(f"Expected `in_channels` to be at least 1, but got {in_channels}.")
    if image_size < multiple or image_size % multiple:
        raise ValueError(
            f"Expected `image_size` to be a multiple of {multiple} for this network, but got {image_size}. "
            "Pad or resize the images (`image_size` of the data module)."
        )


def initialise(*modules: nn.Module) -> None:
    """Set He-normal weights and zero biases, as the published image code does.

    Deep networks without batch norm do not start to learn from torch's default.
    """
    for module in modules:
        for part in module.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
