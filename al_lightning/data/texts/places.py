"""Whether a user's source of texts is a path or the name of a set on the Hugging Face Hub."""

from __future__ import annotations

import difflib
from pathlib import Path

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
        The path, and whether the source can only be on the Hub.

    Raises:
        FileNotFoundError: if it is written like a path, and nothing is there.
    """
    written = Path(source).expanduser()
    below = Path(root) / written
    path = below if below.exists() else written
    if path.exists():
        return path, False
    like_a_path = source.count("/") > 1 or source[:1] in ("/", ".", "~") or "\\" in source
    if not like_a_path and written.suffix.lower() not in _FILE_ENDINGS:
        return path, True
    near = [p.name for folder in {below.parent, written.parent} if folder.is_dir() for p in folder.iterdir()]
    close = difflib.get_close_matches(written.name, near, 1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise FileNotFoundError(
        f"Expected `source` to be a file or folder, but there is none at {below} or {written}.{guess} "
        "Name one, or a set of the Hugging Face Hub as `owner/name`."
    )
