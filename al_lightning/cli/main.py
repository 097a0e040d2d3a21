"""The command line: ``al-lightning COMMAND``, with one line per command in :data:`COMMANDS`."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lightning.fabric.utilities.exceptions import MisconfigurationException

from al_lightning._version import __version__
from al_lightning.cli import export, inspect, reproduce, trainer_commands
from al_lightning.cli.messages import sentence


class Command(NamedTuple):
    """What a command does, in a line for ``--help``, and the function that gets the arguments behind its name."""

    help: str
    run: Callable[[Sequence[str]], Any]


COMMANDS: dict[str, Command] = {
    "fit": Command("train a model on data", functools.partial(trainer_commands.run, "fit")),
    "validate": Command("evaluate on the validation split", functools.partial(trainer_commands.run, "validate")),
    "test": Command("evaluate on the test split", functools.partial(trainer_commands.run, "test")),
    "predict": Command("write predictions to a csv file", functools.partial(trainer_commands.run, "predict")),
    "inspect": Command("show what each layer does; choose thresholds for early exits", inspect.main),
    "export": Command("write a network to a file that is served without this package", export.main),
    "reproduce": Command("train all runs of an experiment and print its table", reproduce.main),
}


def main(args: Sequence[str] | None = None) -> Any:
    """Run one command.

    Args:
        args: what follows ``al-lightning`` on the command line; ``sys.argv[1:]`` if None.

    Returns:
        The finished CLI with its ``trainer``, ``model`` and ``datamodule``; of ``reproduce``, the results.

    Raises:
        ValueError: for arguments that cannot be; other errors of the command as they come.
    """
    given = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a user's `mynet.py`; console scripts do not look here
    if not given or given[0].startswith("-"):
        _overview().parse_args(given or ["--help"])
        raise SystemExit(0)
    if given[0] not in COMMANDS:
        raise ValueError(
            f"Expected a command, but got {given[0]!r}. There are: {', '.join(COMMANDS)}; "
            "`al-lightning --help` says what they do."
        )
    return COMMANDS[given[0]].run(given[1:])


def _overview() -> argparse.ArgumentParser:
    """What ``al-lightning --help`` prints."""
    parser = argparse.ArgumentParser(
        prog="al-lightning",
        description="Train deep networks without end-to-end backpropagation, by Associated Learning.",
        epilog="`al-lightning COMMAND --help` lists the arguments of a command.",
    )
    parser.add_argument("--version", action="version", version=f"al-lightning {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, add_help=False)
    return parser


def console() -> None:
    """Entry point of the console script: a user's mistake is answered by a sentence, not by a traceback."""
    try:
        main()
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError, MisconfigurationException) as error:
        if os.environ.get("AL_LIGHTNING_TRACEBACK"):
            raise
        print(f"al-lightning: {sentence(error)}\n(AL_LIGHTNING_TRACEBACK=1 shows where.)", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
