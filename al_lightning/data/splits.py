"""Which samples train, validate and test, and whose labels are redrawn: drawn from seeds, not from what ran before."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from al_lightning.training.randomness import Purpose, derive_seed

#: Seed of a test split that a set does not bring along: apart from the user's ``seed``, so that every run is tested on
#: the same samples.
TEST_SEED = 0


def are_class_numbers(labels: Tensor) -> bool:
    """Whether labels are one integer per sample."""
    return labels.ndim == 1 and not labels.is_floating_point() and labels.dtype != torch.bool


def split_samples(
    purpose: Purpose, count: int, strata: Tensor | None, fraction: float, seed: int, argument: str
) -> tuple[Tensor, Tensor]:
    """Split samples at random into two parts.

    Args:
        purpose: what the split is for; splits for different purposes are independent of each other.
        count: N, the number of samples.
        strata: (N,) integers; each value gets the same share of both parts. None pays no attention to what the samples
            are.
        fraction: share of the second part, in [0, 1).
        seed: seed of the split.
        argument: name of the argument that asked for the split, for error messages.

    Returns:
        Sample numbers of the first and of the second part, both sorted.

    Raises:
        ValueError: if a part would be empty, or lack one of the strata.
    """
    everything = torch.arange(count)
    if fraction == 0:
        return everything, everything[:0]
    stratify = None if strata is None else strata.numpy()
    # Of a generator: scikit-learn's own seeds have 32 bits only.
    drawn = np.random.RandomState(np.random.MT19937(derive_seed(purpose, seed)))
    try:
        first, second = train_test_split(everything.numpy(), test_size=fraction, random_state=drawn, stratify=stratify)
    except ValueError as error:
        of_each = "" if strata is None else " of every class"
        raise ValueError(
            f"Expected enough samples{of_each} to split off {argument}={fraction}, but got {count} samples ({error}). "
            f"Use a larger set, or another {argument}."
        ) from None
    return torch.as_tensor(first).sort().values, torch.as_tensor(second).sort().values


def hold_out(
    count: int, strata: Tensor | None, wholes: Tensor | None, fraction: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Hold a validation split out of the training samples.

    Args:
        count: N, the number of samples.
        strata: (N,) integers, or None; see :func:`split_samples`.
        wholes: (N,) int64, for each sample the number of the sample that it is a part of, its own if it is a whole;
            None if no sample is a part of another. Only wholes validate, and no part of these trains.
        fraction: share of the wholes that validate.
        seed: seed of the split.

    Returns:
        Sample numbers for training and for validation, both sorted.
    """
    if wholes is None:
        return split_samples(Purpose.VALIDATION_SPLIT, count, strata, fraction, seed, "val_fraction")
    everything = torch.arange(count)
    own = everything[wholes == everything]
    of_own = None if strata is None else strata[own]
    _, chosen = split_samples(Purpose.VALIDATION_SPLIT, len(own), of_own, fraction, seed, "val_fraction")
    val = own[chosen]
    return everything[~torch.isin(wholes, val)], val


def redraw_labels(labels: Tensor, num_classes: int | None, share: float, seed: int) -> Tensor:
    """Replace a share of the labels by labels drawn uniformly from all classes, the true one included.

    Args:
        labels: (N,) int64, class numbers.
        num_classes: K.
        share: in [0, 1].
        seed: seed of the choice and of the new labels.

    Returns:
        (N,) int64, a copy.

    Raises:
        ValueError: if the labels are no class numbers, or the number of classes is not known.
    """
    if num_classes is None or not are_class_numbers(labels):
        raise ValueError(
            f"Expected labels that are class numbers, because label_noise={share} redraws them from all classes, but "
            f"got num_classes={num_classes} and labels of shape {tuple(labels.shape)} and type {labels.dtype}. "
            "Set `label_noise` to 0."
        )
    generator = torch.Generator().manual_seed(derive_seed(Purpose.LABEL_NOISE, seed))
    chosen = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
    noisy = labels.clone()
    noisy[chosen] = torch.randint(num_classes, (len(chosen),), generator=generator)
    return noisy
