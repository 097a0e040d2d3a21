"""Algorithm 1 of the paper: from the blocks of a network to AL layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

from torch import Tensor, nn
from typing_extensions import Unpack

from al_lightning.nn.association import TEMPERATURE, Association, ReconstructionLoss
from al_lightning.nn.bridges import (
    BRIDGE_DIM,
    LEAN_POOL,
    SQUASHING,
    BridgeKind,
    SquashingActivation,
    check_bridge,
    make_bridge,
)
from al_lightning.nn.codes import CodeStart, start_at_simplex
from al_lightning.nn.examine import examine
from al_lightning.nn.layer import ALLayer

TargetActivation: TypeAlias = SquashingActivation
#: Encoders, in order.
Blocks: TypeAlias = Sequence[nn.Module] | nn.Sequential


class AssociationOptions(TypedDict, total=False):
    """Arguments of :func:`associate` that say how targets are encoded and compared."""

    target_activation: TargetActivation
    score_activation: TargetActivation | None
    detach_target: bool
    reconstruction_loss: ReconstructionLoss
    association: Association
    temperature: float
    code_start: CodeStart


def _target_function(inputs: int, outputs: int, activation: TargetActivation | None) -> nn.Module:
    """A linear map and its activation: the form of every g and h (section 2.1)."""
    linear = nn.Linear(inputs, outputs)
    return linear if activation is None else nn.Sequential(linear, SQUASHING[activation]())


def code_width(target_dim: int, width: int, association: Association) -> int:
    """Width of every ``t_i``: ``target_dim``, or that of the target itself where bridges are classifiers.

    Args:
        target_dim: N, as it was asked for.
        width: of the target ``t_0``; K for classes.
        association: how layers compare samples with their targets.
    """
    return width if association == "cross_entropy" else target_dim


def _check_target_dim(target_dim: int) -> None:
    if target_dim < 1:
        raise ValueError(f"Expected `target_dim` to be at least 1, but got {target_dim}.")


def to_al_layers(
    blocks: Blocks,
    num_classes: int,
    example_input: Tensor,
    target_dim: int = 128,
    *,
    bridge: BridgeKind = "lean",
    bridge_activation: SquashingActivation | None = None,
    bridge_pool: int = LEAN_POOL,
    bridge_dim: int = BRIDGE_DIM,
    last_bridge_dims: Sequence[int] = (),
    **association: Unpack[AssociationOptions],
) -> list[ALLayer]:
    """Give every block a bridge, a target encoder and a target decoder (Algorithm 1).

    ``g_i`` and ``h_i`` are Linear + activation; ``h_1`` returns to ``t_0`` and is linear unless
    ``score_activation`` says otherwise. Shapes are found by running the example through the blocks, of which nothing
    is left: statistics and random numbers stay as they were. :func:`~al_lightning.split_network` makes blocks of a
    network.

    Args:
        blocks: the encoders ``f_1 .. f_L`` in order; each must return features (B, C, H, W), (B, T, D) or (B, D), leave
            what it reads as it is, and have weights of its own.
        num_classes: K, or the ``width`` of another target kind.
        example_input: a batch of any size, with the shape and dtype that training will use.
        target_dim: N, the width of every ``t_i`` (the autoencoders are overcomplete, section 6.9); means nothing
            without autoencoders.
        bridge: ``"lean"``, ``"dense"``, ``"conv"`` or ``"paper"``, see :func:`~al_lightning.nn.bridges.make_bridge`.
        bridge_activation: what follows the last Linear of any bridge but the published: ``"tanh"``, ``"sigmoid"`` or
            nothing.
        bridge_pool: rows and columns of a map that such a bridge reads at most.
        bridge_dim: width of the hidden layer of a dense or convolutional bridge.
        last_bridge_dims: widths of the hidden layers of the last bridge, which then is dense and reads its whole map,
            as the head of a BP network does; the last bridge is as all others if empty.
        association: see :func:`associate`.

    Returns:
        L layers, ready for :class:`~al_lightning.ALModule`.

    Raises:
        ValueError: if there is no block, or an argument has no sense, or a block cannot be an AL layer, naming it; see
            :func:`~al_lightning.nn.examine.examine`.

    Example:
        >>> import torch
        >>> blocks = [nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Sequential(nn.Linear(8, 7), nn.Tanh())]
        >>> layers = to_al_layers(blocks, 4, torch.zeros(1, 6), target_dim=5)
        >>> [(layer.b.in_features, layer.b.out_features) for layer in layers]
        [(8, 5), (7, 5)]
    """
    bridges: list[nn.Module] = []
    _check_target_dim(target_dim)
    target_dim = code_width(target_dim, num_classes, association.get("association", "mse"))
    check_bridge(bridge, bridge_activation, bridge_pool, bridge_dim, last_bridge_dims)
    for number, (block, state) in enumerate(zip(blocks, examine(blocks, example_input)), 1):
        if not isinstance(state, Tensor):
            raise ValueError(
                f"Expected block {number} ({type(block).__name__}) to return a tensor, "
                f"but got {type(state).__name__}. Give `associate` a bridge that reads it."
            )
        try:
            shape = tuple(state.shape[1:])
            form: tuple[BridgeKind, int, int | Sequence[int]] = (bridge, bridge_pool, bridge_dim)
            if number == len(blocks) and last_bridge_dims:
                form = ("dense", max(shape), last_bridge_dims)
            kind, pool, hidden = form
            bridges.append(make_bridge(kind, shape, target_dim, bridge_activation, pool, hidden))
        except ValueError as error:
            raise ValueError(f"Block {number} ({type(block).__name__}) cannot be bridged. {error}") from None
    return associate(blocks, bridges, num_classes, target_dim, **association)


def associate(
    blocks: Blocks,
    bridges: Sequence[nn.Module],
    width: int,
    target_dim: int = 128,
    *,
    target_activation: TargetActivation = "tanh",
    score_activation: TargetActivation | None = None,
    detach_target: bool = True,
    reconstruction_loss: ReconstructionLoss = "cross_entropy",
    association: Association = "mse",
    temperature: float = TEMPERATURE,
    code_start: CodeStart = "random",
) -> list[ALLayer]:
    """Give every block, with the bridge that reads its state, a target encoder and a target decoder.

    The second half of Algorithm 1, for blocks whose states only their own bridges understand, such as sequences.

    Args:
        blocks: the encoders ``f_1 .. f_L`` in order.
        bridges: ``b_1 .. b_L``, each from its block's state to (B, target_dim).
        width: of the target ``t_0`` and of the scores; K for classes.
        target_dim: N, the width of every ``t_i``.
        target_activation: of g and h: ``"tanh"``, or the published image recipe's ``"sigmoid"``.
        score_activation: of ``h_1``; linear if None; the published image code uses ``"sigmoid"``.
        detach_target: stop the associated loss at g; the paper lets it through.
        reconstruction_loss: the first layer's, ``"cross_entropy"``, ``"binary_cross_entropy"`` or ``"mse"``; all others
            use MSE.
        association: ``"mse"``, the paper's, or ``"contrast"``, see :class:`~al_lightning.ALLayer`; or
            ``"cross_entropy"`` for no autoencoders at all: each bridge classifies, g and h do nothing, and ``t_i`` is
            the target itself (Table 6, "w/o AE").
        temperature: of a contrast, see :class:`~al_lightning.ALLayer`.
        code_start: ``"random"``; or ``"simplex"`` for codes of classes that start equally far from each other, see
            :mod:`al_lightning.nn.codes`.

    Returns:
        L layers, ready for :class:`~al_lightning.ALModule`.

    Raises:
        ValueError: if there is no block, or an argument has no sense, naming it.
    """
    if len(blocks) == 0:
        raise ValueError("Expected at least one block to convert, but got none.")
    _check_target_dim(target_dim)
    for name, value in (("target_activation", target_activation), ("score_activation", score_activation)):
        if value not in SQUASHING and not (value is None and name == "score_activation"):
            raise ValueError(f"Expected `{name}` to be 'tanh' or 'sigmoid', but got {value!r}.")
    if len(bridges) != len(blocks):
        raise ValueError(f"Expected one bridge for each of the {len(blocks)} blocks, but got {len(bridges)}.")
    target_dim = code_width(target_dim, width, association)
    _check_code_start(code_start, association, target_activation, width, target_dim)
    layers: list[ALLayer] = []
    previous = width
    for number, (block, bridge) in enumerate(zip(blocks, bridges), 1):
        first = number == 1
        g: nn.Module = _target_function(previous, target_dim, target_activation)
        h: nn.Module = _target_function(target_dim, previous, score_activation if first else target_activation)
        if association == "cross_entropy":
            g, h = nn.Identity(), nn.Identity()
        layers.append(
            ALLayer(
                f=block,
                b=bridge,
                g=g,
                h=h,
                reconstruction_loss=reconstruction_loss if first and association != "cross_entropy" else "mse",
                detach_target=detach_target,
                association=association,
                temperature=temperature,
            )
        )
        previous = target_dim
    if code_start == "simplex":
        start_at_simplex([layer.g for layer in layers])
    return layers


def _check_code_start(
    start: CodeStart, association: Association, activation: TargetActivation, width: int, target_dim: int
) -> None:
    if start not in ("random", "simplex"):
        raise ValueError(f"Expected `code_start` to be 'random' or 'simplex', but got {start!r}.")
    if start == "random":
        return
    if association == "cross_entropy" or activation != "tanh":
        what = "association='cross_entropy', which has no codes" if activation == "tanh" else "codes by sigmoid"
        raise ValueError(f"Expected `code_start` to be 'random' beside {what}, but got 'simplex'. Leave it out.")
    if width < 2:
        raise ValueError(
            "Expected at least 2 classes for code_start='simplex', but got a target of width 1. Leave it out."
        )
    if target_dim < width:
        raise ValueError(
            f"Expected `target_dim` to be at least {width}, the number of classes, for code_start='simplex', but got "
            f"{target_dim}. Raise it, or leave `code_start` out."
        )
