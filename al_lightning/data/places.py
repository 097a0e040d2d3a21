"""Where a user's tables and texts are: a path, or the name of a set on the Hub, and what to say if nothing is there."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

#: Endings of files that can be read, in lower case.
READABLE = (".parquet", ".csv")

#: What stands at the end of a file's name, and not of a set's on the Hub.
_FILE_ENDINGS = {
    *(".csv", ".tsv", ".tab", ".txt", ".text", ".json", ".jsonl", ".ndjson", ".xml", ".html", ".yaml", ".yml"),
    *(".parquet", ".pq", ".arrow", ".feather", ".pkl", ".pickle", ".data", ".xls", ".xlsx"),
    *(".zip", ".gz", ".bz2", ".xz", ".zst", ".tar"),
}


def find_source(root: str, source: str) -> tuple[Path, bool]:
    """Where a source is: below ``root``, at its own path, or else on the Hub.

    Args:
        root: folder that is searched first.
        source: a path, or ``owner/name``.

    Returns:
        The path, and whether the source can only be on the Hub: nothing is at the path, and it is not written like one.
        A path ends like a file, is of another form than ``name`` or ``owner/name``, or is in a folder that exists.

    Raises:
        ValueError: if the source is empty.

    Example:
        >>> [find_source("data", s)[1] for s in ("none.csv", "~/none", "a/b/c", "./none", "fancyzhx/ag_news")]
        [False, False, False, False, True]
    """
    if not source:
        raise ValueError("Expected `source` to name a file, a folder or a set of the Hub, but it is empty. Name one.")
    written = Path(source).expanduser()
    below = Path(root) / written
    path = below if below.exists() else written
    name = re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", source, re.ASCII) is not None
    in_folder = "/" in source and (below.parent.is_dir() or written.parent.is_dir())
    return path, name and not (path.exists() or in_folder or written.suffix.lower() in _FILE_ENDINGS)


def split_files(folder: Path, split: str) -> tuple[Path, ...]:
    """The files ``<split>.csv``, ``<split>-*.parquet`` and so on, in order."""
    if not folder.is_dir():
        return ()
    found = [p for p in folder.iterdir() if p.suffix.lower() in READABLE and p.stem.split("-")[0] == split]
    return tuple(sorted(found))


def missing(root: str, source: str, argument: str = "source", hub: bool = True) -> str:
    """What to say about a source that is written like a path at which nothing is.

    Args:
        root: folder that was searched first.
        source: what was asked for.
        argument: that asked for it.
        hub: whether it might have been on the Hub.
    """
    written = Path(source).expanduser()
    looked = list(dict.fromkeys([written, Path(root) / written]))
    return (
        f"Expected `{argument}` to be a file or folder, but there is none at {' or '.join(map(str, looked[::-1]))}."
        f"{closest(looked)} Name one{', or a set of the Hugging Face Hub as `owner/name`' if hub else ''}."
    )


def closest(paths: Sequence[Path]) -> str:
    """A sentence that names what exists beside paths that do not: the most similar name, or what can be read there.

    Returns:
        The sentence with a space before it; empty if there is nothing to name.
    """
    for path in paths:
        folder, name = path.parent, path.name
        while not folder.is_dir() and folder != folder.parent:
            folder, name = folder.parent, folder.name
        names = {p.name.lower(): p for p in _visible(folder)}
        similar = difflib.get_close_matches(name.lower(), names, 1)
        if similar:
            return f" Did you mean {str(names[similar[0]])!r}?"
    return next(filter(None, (_tables(path.parent) for path in paths)), "")


def _visible(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # a folder that is missing or may not be listed has nothing to name
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    return []


def _tables(folder: Path) -> str:
    names = [p.name for p in _visible(folder) if p.suffix.lower() in READABLE]
    where = "The current folder" if folder == Path() else str(folder)
    return f" {where} holds {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}." if names else ""


def how_to_fill(split: str, folder: Path, hub: str | None, reason: str) -> str:
    """What to say about a split without files.

    Args:
        split: its name.
        folder: where files were looked for.
        hub: the set's name on the Hub, which did not give the split either; None if the folder is a user's own.
        reason: what the Hub said.

    Returns:
        What was expected, what is there, and what to do.
    """
    wanted = f"Expected {split}-*.parquet or {split}.csv in {folder}, but there is none"
    if hub is None:
        test = "" if split == "train" else " To test on a share of the training rows, set `test_split` to None."
        return f"{wanted}.{_tables(folder)} Name the file of this split so, or name one file as the source.{test}"
    if "Unknown split" in reason:
        return (
            f"{wanted}, and {hub} on the Hub has other splits ({reason}). Set `test_split` to one of these, or to None "
            "to test on a share of the training rows."
        )
    return (
        f"{wanted}, and the Hub did not answer ({reason}). Fetch the files of {hub} from "
        f"https://huggingface.co/datasets/{hub} there, or set `root`.{'' if folder.exists() else closest([folder])}"
    )
