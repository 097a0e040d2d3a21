"""What batch norm cannot do, said so that a user knows what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explain_single_sample() -> Iterator[None]:
    """Explain torch's refusal to normalise a batch of a single vector, which has no variance.

    Whether a batch is too small depends on what enters a batch norm (a map of one image has many values per channel),
    so it is found where it happens, not beforehand.

    Raises:
        ValueError: in place of torch's.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "Expected at least two samples in every training batch of a network with batch norm, but got one, which "
            "has no variance. If it is the last batch of an epoch, leave it out (`drop_last=True` of the loader; data "
            "modules of this package do so); else choose a larger `batch_size`, or `norm=None` and `bridge='lean'` "
            "where the network has these arguments."
        ) from error
