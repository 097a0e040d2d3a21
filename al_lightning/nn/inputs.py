"""What a network can read, and sentences about what it cannot."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from al_lightning.nn.sequence import Tokens
from al_lightning.nn.vocabulary import PAD, UNK


class InputCheck(Protocol):
    """Refuses inputs that a network was not built for."""

    def __call__(self, x: Tensor | Tokens) -> None:
        """Raise a ValueError if ``x`` cannot be read."""


@runtime_checkable
class ExampleInputs(Protocol):
    """Makes inputs that a network can read, such as those by which an exported one is checked."""

    def example(self, samples: int, length: int, generator: torch.Generator) -> Tensor:
        """Random inputs on the CPU.

        Args:
            samples: B.
            length: T of texts; means nothing for others.
            generator: of the random numbers.

        Returns:
            Inputs (B, ...), float32 or tokens int64.
        """


def _check_type(x: Tensor, what: str) -> None:
    if not x.is_floating_point():
        raise ValueError(
            f"Expected {what} of a floating-point type, but got {x.dtype}. Scale and normalise them where the data are "
            "made: `x.float() / 255`, minus the mean, by the standard deviation."
        )


class ImageCheck:
    """Images of one shape.

    Args:
        in_channels: C.
        image_size: H = W.
    """

    def __init__(self, in_channels: int, image_size: int) -> None:
        self.shape = (in_channels, image_size, image_size)

    def __call__(self, x: Tensor | Tokens) -> None:
        """Refuse images of another shape, and whole numbers, of which nobody knows how they are scaled.

        Raises:
            ValueError: naming both shapes and the arguments that set them, or the type.
        """
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        if isinstance(x, Tensor) and tuple(x.shape[1:]) == self.shape:
            _check_type(x, "images")
            return
        channels, size, _ = self.shape
        raise ValueError(
            f"Expected images of shape (B, {channels}, {size}, {size}), because in_channels={channels} and "
            f"image_size={size}, but got {got}. Set `in_channels` and `image_size` of the model to "
            "the data's, or `image_size` of the data to the model's."
        )

    def example(self, samples: int, length: int, generator: torch.Generator) -> Tensor:
        """Normalised noise, (B, C, H, W) float32."""
        return torch.randn((samples, *self.shape), generator=generator, dtype=torch.float32)


class VectorCheck:
    """Vectors of one width.

    Args:
        in_features: D.
    """

    def __init__(self, in_features: int) -> None:
        self.in_features = in_features

    def __call__(self, x: Tensor | Tokens) -> None:
        """Refuse what are no vectors of that width.

        Raises:
            ValueError: naming both shapes and the argument that sets them.
        """
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        if isinstance(x, Tensor) and tuple(x.shape[1:]) == (self.in_features,):
            _check_type(x, "vectors")
            return
        raise ValueError(
            f"Expected vectors of shape (B, {self.in_features}), because in_features={self.in_features}, but got "
            f"{got}. Set `in_features` of the model to the data's, or leave it out for images."
        )

    def example(self, samples: int, length: int, generator: torch.Generator) -> Tensor:
        """Normalised noise, (B, D) float32."""
        return torch.randn((samples, self.in_features), generator=generator, dtype=torch.float32)


class TokenCheck:
    """Tokens of one vocabulary.

    Args:
        vocab_size: V, padding and unknown included.
        longest: how many tokens a text may have; any number if None.
    """

    def __init__(self, vocab_size: int, longest: int | None = None) -> None:
        self.vocab_size = vocab_size
        self.longest = longest

    def __call__(self, x: Tensor | Tokens) -> None:
        """Refuse what cannot be tokens.

        Raises:
            ValueError: if shape or type are others; on the CPU, where looking is free, also if a token is
                outside ``0..vocab_size-1`` or a text is not right-padded.
        """
        tokens = x.tokens if isinstance(x, Tokens) else x
        if tokens.ndim != 2 or tokens.dtype != torch.long or tokens.shape[1] == 0:
            raise ValueError(
                f"Expected tokens of shape (B, T) and type int64, T at least 1, but got {tuple(tokens.shape)} of "
                f"{tokens.dtype}. Use a text data module, or `predict_text` for raw text."
            )
        if tokens.device.type != "cpu" or tokens.numel() == 0:
            return
        low, high = (int(v) for v in tokens.aminmax())
        if low < 0 or high >= self.vocab_size:
            raise ValueError(
                f"Expected tokens in 0..{self.vocab_size - 1}, because vocab_size={self.vocab_size}, but got "
                f"{low if low < 0 else high}. Encode the text with the vocabulary that the network was built for."
            )
        if isinstance(x, Tokens):  # whoever knows the lengths has padded
            return
        padded = tokens == PAD
        if bool((padded[:, :-1] & ~padded[:, 1:]).any()):
            raise ValueError(
                "Expected texts padded with 0 on the right, but got a 0 before another token. "
                "Move the padding to the end."
            )

    def example(self, samples: int, length: int, generator: torch.Generator) -> Tensor:
        """Words, (B, T) int64: the first text fills its row, others are shorter; with several, the last is empty."""
        # A recorded graph holds one position in reserve.
        length = length if self.longest is None else min(length, self.longest - 1)
        tokens = torch.randint(UNK, self.vocab_size, (samples, length), generator=generator)
        lengths = torch.randint(1, length + 1, (samples,), generator=generator)
        lengths[0] = length
        if samples > 1:
            lengths[-1] = 0
        return tokens * (torch.arange(length) < lengths.unsqueeze(1))
