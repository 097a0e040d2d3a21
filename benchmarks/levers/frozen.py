"""Backpropagation behind encoders that learned by Associated Learning and then hold still."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

import al_lightning as al
from al_lightning.modules.options import BPOptions
from al_lightning.nn.image_units import dense_head
from al_lightning.nn.inputs import ImageCheck
from levers.images import CHANNELS, cnn_blocks


class Frozen(nn.Module):
    """Encoders in evaluation mode, whose weights and statistics nothing changes.

    Args:
        encoders: in order.
    """

    def __init__(self, encoders: nn.Sequential) -> None:
        super().__init__()
        self.encoders = encoders.requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        """Batch norm keeps its running statistics in training too."""
        super().train(mode)
        self.encoders.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Features without a gradient."""
        features: Tensor = self.encoders(x)
        return features


class FrozenCNNBP(al.BPModule):
    """The CNN of :class:`~levers.images.LeverCNNBP` whose lowest encoders come from a :class:`~levers.images.LeverCNN`.

    What BP reaches behind f_1 .. f_k, beside what it reaches alone, says what isolation has lost in them.

    Args:
        weights: file of the trained module's state dict.
        frozen: k, how many encoders it gives.
        num_classes: K.
        in_channels: channels of the images.
        image_size: height and width of the images.
        width: factor of all channels.
        cuts: AL layers of the module that was trained.
        head: widths of the hidden layers behind the convolutions.
        options: see :class:`~al_lightning.BPModule`.
    """

    def __init__(
        self,
        weights: str,
        frozen: int,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        *,
        width: float = 1.0,
        cuts: int = 4,
        head: tuple[int, ...] = (1280, 256, 256, 256, 256),
        **options: Unpack[BPOptions],
    ) -> None:
        blocks = cnn_blocks(in_channels, width, cuts)
        state = torch.load(weights, weights_only=True)
        for number, block in enumerate(blocks[:frozen]):
            prefix = f"layers.{number}.f."
            block.load_state_dict({n.removeprefix(prefix): w for n, w in state.items() if n.startswith(prefix)})
        dims = [int(width * CHANNELS[-1][0]) * (image_size // 4) ** 2, *head]
        rest = [*blocks[frozen:], dense_head(dims, num_classes, norm="batch", activation="elu")]
        super().__init__(nn.Sequential(Frozen(nn.Sequential(*blocks[:frozen])), *rest), num_classes, **options)
        self.input_check = ImageCheck(in_channels, image_size)
