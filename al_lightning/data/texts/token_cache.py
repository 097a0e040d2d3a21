"""Tokenized text as flat arrays: made once, in parallel, kept beside the data and memory-mapped.

The arrays hold a split's own words, not a model's vocabulary, so that one cache serves every vocabulary and length.
Not ``datasets.map``: for IMDB it takes 6.2 s for the first start and 3.6 s for each later one, against 3.8 s and 0.17 s
here; two processes that start together both tokenize; and a killed run leaves partial files behind for ever
(``benchmarks/results/token-cache-cpu.json``).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from filelock import FileLock
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray

from al_lightning.data.texts.rows import Rows, RowSource, read_rows
from al_lightning.nn.vocabulary import tokenize

#: Part of every cache's name: to be raised when the arrays or the tokenizer change.
FORMAT = 3
#: Texts per task of a process that tokenizes.
_CHUNK = 2000
_ARRAYS = ("tokens", "offsets", "labels", "counts", "values")


@dataclass
class TokenArrays:
    """N texts of a split.

    Attributes:
        words: the W different words, in the order in which they first occur.
        counts: (W,) int64, how often each occurs.
        tokens: int32, positions in ``words``, all texts one after the other.
        offsets: (N + 1,) int64; text n is ``tokens[offsets[n]:offsets[n + 1]]``.
        labels: (N,) int64, positions in ``label_values``.
        label_values: the different labels, as they stand in the source, as strings.
        label_names: names of the classes, if the source has them; labels are then their numbers.
        empty: how many texts have no character.
        values: (N, D) float64, the numbers that are learned in place of labels; D is 0 for classes.
    """

    words: list[str]
    counts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    label_values: list[str]
    label_names: list[str] | None
    empty: int
    values: NDArray[np.float64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, (N,) int64."""
        lengths: NDArray[np.int64] = np.diff(self.offsets)
        return lengths


def _tokenize_chunk(texts: list[str]) -> tuple[list[str], NDArray[np.int32], list[int]]:
    """Words of some texts, their positions in that list, and how many each text has."""
    index: dict[str, int] = {}
    rows = [[index.setdefault(word, len(index)) for word in tokenize(text)] for text in texts]
    flat = np.fromiter(chain.from_iterable(rows), np.int32)
    return list(index), flat, [len(row) for row in rows]


def tokenize_rows(rows: Rows, processes: int | None = None) -> TokenArrays:
    """Tokenize all texts of a split.

    Args:
        rows: texts and labels.
        processes: how many to use; as many as cores if None. Few texts are tokenized in this process.

    Returns:
        The arrays, the same for any number of processes.
    """
    chunks = [rows.texts[start : start + _CHUNK] for start in range(0, len(rows.texts), _CHUNK)]
    workers = min(processes or os.cpu_count() or 1, len(chunks))
    if workers > 1 and len(chunks) > 2 and "fork" in multiprocessing.get_all_start_methods():
        # Forked, because spawned processes would run a user's script a second time.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
            parts = list(pool.map(_tokenize_chunk, chunks))
    else:
        parts = [_tokenize_chunk(chunk) for chunk in chunks]
    index: dict[str, int] = {}
    flat: list[NDArray[np.int32]] = []
    for words, positions, _ in parts:
        table = np.array([index.setdefault(word, len(index)) for word in words], np.int32)
        flat.append(table[positions])
    tokens = np.concatenate(flat) if flat else np.zeros(0, np.int32)
    values: dict[str, int] = {}
    labels = np.array([values.setdefault(label, len(values)) for label in rows.labels], np.int64)
    offsets = np.cumsum([0, *chain.from_iterable(lengths for _, _, lengths in parts)], dtype=np.int64)
    counts = np.bincount(tokens, minlength=len(index)).astype(np.int64)
    learned = np.zeros((len(rows.texts), 0)) if rows.values is None else rows.values
    names = rows.label_names
    return TokenArrays(list(index), counts, tokens, offsets, labels, list(values), names, rows.empty, learned)


def cached_tokens(source: RowSource, folder: Path) -> TokenArrays:
    """The arrays of a split: from the cache, or tokenized now and kept.

    A file lock makes other processes wait while one builds the cache. A cache gets its name only when it is complete,
    so that a killed process leaves nothing that could be taken for one. A damaged cache is built again.

    Args:
        source: the split.
        folder: where the caches are.

    Returns:
        The arrays, memory-mapped.

    Raises:
        OSError: if the folder cannot be written.
        ValueError: if the source cannot be read; see :func:`~al_lightning.data.texts.rows.read_rows`.
    """
    key = hashlib.sha256(json.dumps([FORMAT, *source.key()]).encode()).hexdigest()[:16]
    path = folder / f"{source.name}-{source.split}-{key}"
    arrays = _open(path)
    if arrays is not None:
        return arrays
    lock = FileLock(folder / f"{path.name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise OSError(
            f"Expected a folder for tokenized text that can be written, but {folder} cannot ({error}). "
            "Set `cache_dir` to another folder."
        ) from None
    try:
        arrays = _open(path)  # another process may have built it meanwhile
        if arrays is None:
            rank_zero_info(f"Tokenizing the {source.split} split of {source.name} (once; kept in {folder}) ...")
            _save(tokenize_rows(read_rows(source)), path)
            arrays = _open(path)
    finally:
        lock.release()  # also after an error: else a second try in the same notebook would wait for ever
    assert arrays is not None
    return arrays


def _save(arrays: TokenArrays, path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)  # of killed runs: nobody else writes, as we hold the lock
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.mkdir()
    for name in _ARRAYS:
        np.save(partial / f"{name}.npy", getattr(arrays, name))
    described = {"words": arrays.words, "label_values": arrays.label_values, "label_names": arrays.label_names}
    text = json.dumps({**described, "empty": arrays.empty, "sizes": [len(getattr(arrays, n)) for n in _ARRAYS]})
    (partial / "description.json").write_text(text, encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)


def _open(path: Path) -> TokenArrays | None:
    """The arrays at a path, or None if they are missing or damaged."""
    try:
        described = json.loads((path / "description.json").read_text(encoding="utf-8"))
        sizes = described.pop("sizes")
        loaded = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    except (OSError, ValueError, KeyError):
        return None
    if [len(loaded[name]) for name in _ARRAYS] != sizes:
        return None
    return TokenArrays(**loaded, **described)
