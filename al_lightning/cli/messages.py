"""What a user reads after a mistake: one sentence out of a parser's report or of a chain of exceptions."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import lightning.pytorch as pl

from al_lightning import data, modules
from al_lightning.callbacks import Checkpoint, PredictionWriter
from al_lightning.cli.signatures import argument_names, required_names
from al_lightning.configs import configs_folder

_SECTIONS = ("model", "data", "trainer", "checkpoint", "predictions", "seed_everything", "ckpt_path", "config")

#: Where the classes are of an argument that names one, and one of them.
_FACTORIES = {
    "optimizer": ("torch.optim", "Adam"),
    "lr_scheduler": ("torch.optim.lr_scheduler", "CosineAnnealingLR"),
    "callbacks": ("lightning.pytorch.callbacks", "EarlyStopping"),
    "logger": ("lightning.pytorch.loggers", "CSVLogger"),
}
#: Sections of a command whose arguments are those of one class.
_CLASSES: dict[str, type] = {"trainer": pl.Trainer, "checkpoint": Checkpoint, "predictions": PredictionWriter}


def sentence(error: BaseException) -> str:
    """The message of the innermost exception that says what was expected, else the outermost one's.

    Building classes from arguments wraps their errors into reports about types; the reason is inside. A sentence that
    repeats the reason behind the file that it stands in is kept whole. Where an argument may be one of several types, a
    report lists what each type said; the reason is what the class that was named said.
    """
    refused = _refused_by_class(str(error))
    if refused is not None:
        return refused
    beyond = re.match(r"You restored a checkpoint with current_epoch=(\d+), but .*max_epochs=(\d+)", str(error))
    if beyond:
        trained, asked = beyond.groups()
        wanted = f"`--trainer.max_epochs` to be {trained}, as many as are trained already, or more"
        return f"Expected {wanted}, but got {asked}."
    found, current = str(error), error.__cause__ or error.__context__
    while current is not None:
        inner = str(current)
        repeated = found.startswith("Expected ") and inner.strip() in found
        if inner.startswith("Expected ") and "Union subtypes" not in inner and not repeated:
            found = inner
        current = current.__cause__ or current.__context__
    return found


def _refused_by_class(report: str) -> str | None:
    """What a class said to its arguments, out of a report on all types that a value might have had."""
    named = re.search(r"class_path='[\w.]*?(\w+)'", report)
    if "Union subtypes" not in report or named is None:
        return None
    listed = re.findall(r"^  - (.+)$", report, re.M)
    types = r"Not a valid subclass|Expected an? (?!.*, but )[^`]*$"  # what a type says; a class says what came, too
    reasons = [said for said in listed if not re.match(types, said)]
    if not reasons:
        return None
    said = str(reasons[-1])
    return said if said.startswith("Expected ") else f"Expected arguments that {named.group(1)} accepts, but: {said}."


def explain(report: str) -> str:
    """Say what a parser's report means.

    Args:
        report: jsonargparse's error message.

    Returns:
        What was expected, what came, and what to do; the report itself if it is of no known kind.
    """
    unknown = re.search(r"class_path '([\w.]+)':\s+Option '([\w.]+)' is not accepted", report)
    if unknown:
        path, option = unknown.groups()
        name = path.rsplit(".", 1)[-1]
        accepted = argument_names(path)
        return (
            f"Expected an argument of {name}, but got `{option}`.{_guess(option, accepted)} "
            f"Accepted are: {', '.join(accepted)}."
        )
    lacking = re.match(r"\s*the following arguments are required: (?:\w+\.)?(data|model)\b", report)
    if lacking:
        return (
            "Expected `--ckpt_path` to name a checkpoint, or `--model` and `--data` to name classes, but some are "
            "missing. Shipped configurations name both: `--config configs/digits/mlp_al.yaml`."
        )
    unset = re.search(r"Namespace\(class_path='([\w.]+)', init_args=Namespace\((.*?)\)\)", report)
    if unset:
        path, given = unset.groups()
        needed = [n for n in required_names(path) if f"{n}=None" in given]
        if needed:
            name = path.rsplit(".", 1)[-1]
            return (
                f"Expected `{needed[0]}` of {name} to be given, but it is not. Pass it behind the argument that names "
                f"{name}, such as `--model.lr_scheduler.{needed[0]}`."
            )
    wrong = re.search(
        r"class_path '([\w.]+)':\s+Parser key \"([\w.]+)\":\s+(.*?)(?:\n\s+- |\n\s+Given|\Z)", report, re.S
    )
    if wrong:
        path, option, reason = wrong.groups()
        name = path.rsplit(".", 1)[-1]
        factory = _explain_factory(name, option, report)
        if factory is not None:
            return factory
        return f"Expected a value that `{option}` of {name} accepts, but got another one. {_shorten(reason, report)}"
    broken = re.search(r"Problem with given class_path '([\w.]+)':\s+(.*?)(?:\n\s+- |\n\s+Given|\Z)", report, re.S)
    if broken:
        path, reason = broken.groups()
        required = re.match(r"the following arguments are required: ([\w, ]+)", reason)
        if required is None:
            wanted = f"{path} to be a class that can be imported from this folder, but: {' '.join(reason.split())}"
        else:
            wanted = f"`{required.group(1).strip()}` of {path.rsplit('.', 1)[-1]} to be given, but it is not. Pass it."
        return f"Expected {wanted}"
    missing = re.search(r'Parser key "(model|data)":.*Expected a dot import path string: (\S+)', report, re.S)
    if missing:
        section, given = missing.groups()
        shipped = _classes(section)
        return (
            f"Expected --{section} to be a class, but there is no {given}.{_guess(given, shipped)} "
            f"Shipped are: {', '.join(shipped)}; name a class of your own as `yourmodule.YourClass`."
        )
    absent = re.search(r"Parser key \"config\":\s+File does not exist: '?(.+?)'?(?:\n|$)", report)
    if absent:
        folder = configs_folder()
        shipped = [f"configs/{path.relative_to(folder).as_posix()}" for path in sorted(folder.rglob("*.yaml"))]
        wanted = re.sub(r".*(?=configs/)", "", absent.group(1))
        return f"Expected `--config` to name a file, but there is no {absent.group(1)}.{_guess(wanted, shipped)}"
    value = re.match(rf"\s*Parser key \"((?:{'|'.join(_CLASSES)}|seed_everything)[\w.]*)\":\s+(.+)", report, re.S)
    if value and re.search("(Given|Got) value", report):
        argument, reason = value.groups()
        unknown_class = _explain_unknown_class(f"`--{argument}`", argument.rpartition(".")[2], report)
        accepts = _shorten(reason, report)
        return unknown_class or f"Expected a value that `--{argument}` accepts, but got another one. {accepts}"
    key = re.search(r"(?:does not accept option|[Uu]nrecognized arguments:) '?-*([\w.]+)", report)
    if key:
        given = key.group(1)
        known = [f"{section}.{n}" for section, kind in _CLASSES.items() for n in inspect.signature(kind).parameters]
        return f"Expected a known key, but got `{given}`.{_guess(given, [*_SECTIONS, *known])}"
    return report


def _explain_factory(owner: str, option: str, report: str) -> str | None:
    """Say what is wrong with an argument that names a class, such as ``optimizer``, or with one of that class's own.

    Args:
        owner: name of the class whose argument it is.
        option: the argument.
        report: jsonargparse's error message.

    Returns:
        The sentence; None if the report is about something else.
    """
    unknown = re.search(rf"Parser key \"{option}\":\s+- Expected a path.*", report, re.S)
    said = _explain_unknown_class(f"`{option}` of {owner}", option, unknown.group()) if unknown else None
    if said is not None:
        return said
    called = re.search(r"expects a function or a callable class: (.+)", report, re.S)
    if called is None:
        return None
    told = called.group(1)
    kind = re.search(r"Got value: Namespace\(class_path='([\w.]+)'", told)
    argument = re.match(r"Option '(\w+)' is not accepted", told)
    if kind and argument and kind.group(1) in ("torch.optim.Optimizer", "typing.Union"):  # what the type hint says
        return (
            f"Expected a class for `{option}` of {owner} before its argument `{argument.group(1)}`, but none is named. "
            f"Name one first, such as `--model.{option} {_FACTORIES.get(option, _FACTORIES['optimizer'])[1]}`."
        )
    if kind and argument:
        name = kind.group(1).rsplit(".", 1)[-1]
        accepted = argument_names(kind.group(1))[1:]  # the first is passed by the module that calls it
        return (
            f"Expected an argument of {name}, but got `{argument.group(1)}`.{_guess(argument.group(1), accepted)} "
            f"Accepted are: {', '.join(accepted)}."
        )
    inner = re.match(r"Parser key \"(\w+)\":", told)
    if kind and inner:
        name = kind.group(1).rsplit(".", 1)[-1]
        accepts = _shorten(told, told)
        return f"Expected a value that `{inner.group(1)}` of {name} accepts, but got another one. {accepts}"
    given = re.search(r"Given value: ([\w.]+)", report)
    return (
        f"Expected `{option}` of {owner} to be a function or class that can be imported here, but got "
        f"{given.group(1) if given else 'something else'}: {told.splitlines()[0]}. Correct its path."
    )


def _explain_unknown_class(argument: str, option: str, report: str) -> str | None:
    """Say that an argument names a class that is not there; None if the report is about something else.

    Args:
        argument: as the sentence calls it.
        option: its last name, which says where such classes are.
        report: jsonargparse's error message, from the argument on.
    """
    unknown = re.search(r"dot import path string: (\w+)", report)
    if unknown is None or option not in _FACTORIES:
        return None
    base = _FACTORIES[option][0]
    known = [name for name, kind in vars(import_module(base)).items() if isinstance(kind, type)]
    return (
        f"Expected {argument} to be a class, but there is no {unknown.group(1)}.{_guess(unknown.group(1), known)} "
        f"Those of {base} need no path; name a class of your own as `yourmodule.YourClass`."
    )


def _shorten(reason: str, report: str) -> str:
    """The types that an argument accepts, and what came, out of a report that may list them twice."""
    accepted = re.search(r"Subtypes: \[(.*?)\]\n", reason, re.S) or re.search(
        r"Expected (?:a|an) (.+?)(?:\. Got value|\n|$)", reason
    )
    came = re.findall(r"Given value: (.+)|Got value: (.+)", report)
    written = accepted.group(1) if accepted else " ".join(reason.split())
    for noise in ("typing.", "<class '", "'>", "collections.abc."):
        written = written.replace(noise, "")
    value = next((a or b for a, b in came if a or b), "").partition(". Got value")[0]
    given = f"; it was given {value.strip()}." if value else "."
    is_list = re.match(r"(Sequence|list|tuple)(\[(str|int|float)|$|,)", written) is not None
    listed = f" Write a list, such as '[{value.strip()}]'." if value and is_list and value[0] != "[" else ""
    return f"It accepts {written.replace('NoneType', 'null')}{given}{listed}"


def _guess(given: str, known: Iterable[str]) -> str:
    section = given.split(".", maxsplit=1)[0]
    names = list(known)
    close = difflib.get_close_matches(given, names, 1) or difflib.get_close_matches(section, names, 1)
    return f" Did you mean `{close[0]}`?" if close else ""


def _classes(section: str) -> list[str]:
    package: Any = modules if section == "model" else data
    return [
        n for n in package.__all__ if not n.endswith(("Options", "DataModule")) and n not in ("ALModule", "BPModule")
    ]
