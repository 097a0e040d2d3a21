"""Files get their names when they are whole and checked, as what they replace may be in use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from al_lightning.serving.blame import find_block, reason_of
from al_lightning.serving.check import TOLERANCE
from al_lightning.serving.formats import Format
from al_lightning.serving.served import Unit

#: End of the name of ONNX weights beside their file.
WEIGHTS = ".data"


class OtherAnswersError(ValueError):
    """A file computes something else than its network."""


@contextmanager
def staged(targets: Sequence[Path], force: bool) -> Iterator[Path]:
    """A folder for files that get their names at the end.

    Args:
        targets: where they shall stand, in one folder.
        force: whether to replace what is there.

    Yields:
        The folder, in which they have the same names; other files in it, such as weights, go with them.

    Raises:
        FileExistsError: if one is there.
    """
    there = [target for target in targets if target.exists()]
    if there and not force:
        raise FileExistsError(
            f"Expected to write an exported network to new files, but {there[0]} exists. Move it away, or pass "
            "`--force` (`force=True`)."
        )
    final = targets[0].parent
    folder = final / f".{targets[0].name}.{os.getpid()}.tmp"
    if folder.is_dir():  # of an export by this process that answered otherwise
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    except OtherAnswersError:
        raise  # the file stays, to be looked at
    except BaseException:
        shutil.rmtree(folder)
        raise
    for target in targets:
        target.with_name(target.name + WEIGHTS).unlink(missing_ok=True)  # of a larger network that was there
    for file in folder.iterdir():
        os.replace(file, final / file.name)
    folder.rmdir()


def write(form: Format, unit: Unit, file: Path) -> None:
    """Write a unit.

    Raises:
        ValueError: if it cannot be exported, with torch's reason and the block's name if one is the reason.
    """
    try:
        form.write(unit, file)
    except Exception as error:  # of many types, none of which torch promises
        block = find_block(unit.network, unit.example, form.attempt)
        where = "the way in which its parts are put together" if block is None else f"its part {block}"
        raise ValueError(
            f"Expected a network that can be exported to the format {form.name!r}, but {where} cannot: "
            f"{reason_of(error)}"
        ) from error


def refuse_difference(difference: float, file: Path) -> None:
    """Stop before a file that computes something else gets its name.

    Raises:
        OtherAnswersError: if the difference is above :data:`~al_lightning.serving.check.TOLERANCE`.
    """
    if not difference <= TOLERANCE:
        raise OtherAnswersError(
            f"Expected the exported network to answer as the module does, to {TOLERANCE}, but it is off by "
            f"{difference:.2g}. It did not get its name: look into {file}, or try the other format."
        )


def size(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())
