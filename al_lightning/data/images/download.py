"""Opens torchvision's data sets: the local folder first, then a download, then an error that says what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from torchvision.datasets import VisionDataset

Loaded = TypeVar("Loaded", bound=VisionDataset)

# What torchvision raises for files that are missing, truncated or altered.
_UNREADABLE = (RuntimeError, OSError, ValueError, AssertionError, EOFError, KeyError, pickle.UnpicklingError)


def open_or_download(make: Callable[[bool], Loaded], root: str, folder: str, page: str) -> Loaded:
    """Open a torchvision data set, downloading it only if it cannot be opened.

    Of several processes that miss it, one downloads while the others wait.

    Args:
        make: builds the data set; its argument says whether to download.
        root: folder that the user named.
        folder: what torchvision looks for under ``root``.
        page: address where the user can get the files by hand.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: if it is missing or damaged, and cannot be downloaded.
    """
    try:
        return make(False)
    except _UNREADABLE as local:
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
            with FileLock(Path(root) / f"{Path(folder).parts[0]}.lock"):
                return _open_again(make)
        except _UNREADABLE as remote:
            raise FileNotFoundError(
                f"Expected the data set under {root}/{folder}, but it is missing or damaged there "
                f"({_line(local)}) and could not be downloaded ({_line(remote)}). "
                f"Get it from {page} and unpack it under {root!r}, delete what is damaged, or name another `root`."
            ) from remote


def _open_again(make: Callable[[bool], Loaded]) -> Loaded:
    """Open what another process has downloaded meanwhile, or else download it."""
    try:
        return make(False)
    except _UNREADABLE:
        return make(True)


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
