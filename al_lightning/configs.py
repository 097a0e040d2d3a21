"""Where the shipped configurations are: in the wheel beside the code, in a checkout beside the package."""

from __future__ import annotations

from pathlib import Path


def configs_folder() -> Path:
    """The folder that holds ``<dataset>/<arch>_<al|bp>.yaml``, ``paper/`` and ``experiments/``."""
    shipped = Path(__file__).parent / "configs"
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "configs"


def find_config(name: str) -> str:
    """Find a configuration by the path a user typed.

    Args:
        name: a path that exists, or one below ``configs/`` as the documentation writes it.

    Returns:
        The path to read; ``name`` itself if nothing is found, for the parser to refuse.
    """
    if Path(name).exists():
        return name
    parts = Path(name).parts
    inside = configs_folder().joinpath(*(parts[1:] if parts and parts[0] == "configs" else parts))
    return str(inside) if inside.is_file() else name
