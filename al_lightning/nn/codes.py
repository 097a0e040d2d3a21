"""Where the codes of classes start: as far from each other as they can be.

A contrast tells classes apart by the directions of their codes. What target encoders with random weights make of
classes lies in random directions, some of them close; the vertices of a simplex are equally far from each other, and
no K unit vectors are further apart. Target encoders that start there go on learning as all others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

#: ``"random"``: by the weights that target encoders usually start from. ``"simplex"``: near the vertices of a simplex.
CodeStart: TypeAlias = Literal["random", "simplex"]


def simplex(num_classes: int, width: int) -> Tensor:
    """Vertices of a simplex whose centre is zero, in random position.

    Args:
        num_classes: K, at least 2.
        width: N, at least K.

    Returns:
        (K, N) float; the cosine of any two rows is -1 / (K - 1), and the mean square of the entries is 1.

    Example:
        >>> vertices = simplex(3, 8)
        >>> (vertices @ vertices.T / 8).round(decimals=4).tolist()
        [[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    orthonormal: Tensor = torch.linalg.qr(torch.randn(width, num_classes)).Q
    vertices = orthonormal - orthonormal.mean(1, keepdim=True)
    return vertices.T.mul((width / (1 - 1 / num_classes)) ** 0.5)


def start_at_simplex(encoders: Sequence[nn.Module]) -> None:
    """Set the weights of target encoders, linear maps with tanh, so that the codes of classes start near a simplex.

    The first maps one-hot classes to the vertices. The others are orthogonal, which keeps angles, with tanh's gain,
    which keeps the spread; tanh itself moves angles by a little.

    Args:
        encoders: ``g_1 .. g_L``, changed in place.
    """
    maps = [part for g in encoders for part in g.modules() if isinstance(part, nn.Linear)]
    for number, linear in enumerate(maps):
        nn.init.zeros_(linear.bias)
        if number:
            nn.init.orthogonal_(linear.weight, nn.init.calculate_gain("tanh"))
        else:
            with torch.no_grad():
                linear.weight.copy_(simplex(linear.in_features, linear.out_features).T)
