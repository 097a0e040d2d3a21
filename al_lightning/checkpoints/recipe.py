"""How a module or a data module was built, in plain types, so that a checkpoint can rebuild it.

A recipe is ``{"class_path": "package.Class", "init_args": {...}}``, jsonargparse's own form. Constructors called
from Python are recorded here; the command line puts its parsed configuration in place of the record.
"""

from __future__ import annotations

import inspect
import warnings
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, ClassVar, TypeAlias

import numpy as np
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import register_type
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only
from torch import nn
from typing_extensions import Self

from al_lightning.checkpoints.plain import NotPlainError, import_path, local_path, plain, plain_part
from al_lightning.nn.vocabulary import Vocabulary

# As ``list[str]``, jsonargparse would copy the whole list for every word in it: minutes for 30,000 words.
register_type(Vocabulary, list, list, type_check=lambda value, _: isinstance(value, list))

Recipe: TypeAlias = "dict[str, Any]"


class Recorded:
    """Remembers the arguments of the outermost constructor.

    ``__new__`` sees what the user wrote, whichever subclass is built; no subclass has anything to do.
    """

    #: Arguments that say how to run, not what to build: never compared with a checkpoint's.
    run_time_arguments: ClassVar[frozenset[str]] = frozenset()
    #: Lists of which a checkpoint's and a module's must be the same, such as a vocabulary.
    matching_arguments: ClassVar[frozenset[str]] = frozenset()
    #: Arguments that the constructor finds out if they are None: None never contradicts what a checkpoint keeps.
    found_arguments: ClassVar[frozenset[str]] = frozenset()
    #: Arguments that a checkpoint does not even keep.
    unrecorded_arguments: ClassVar[frozenset[str]] = frozenset()

    _arguments: dict[str, Any]
    _recipe: Recipe | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Record the arguments before any constructor runs."""
        self = super().__new__(cls)
        # `bind_partial`, because copying and unpickling call this without arguments.
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        bound.apply_defaults()  # a later version may have other defaults
        arguments = dict(list(bound.arguments.items())[1:])
        for name, parameter in inspect.signature(cls.__init__).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(name, {}))
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL and not arguments.get(name):
                arguments.pop(name, None)
        declared = inspect.signature(cls.__init__).parameters
        for name, value in arguments.items():
            if (
                isinstance(value, Enum)
                and isinstance(value, (str, int))
                and not _names(declared.get(name), type(value))
            ):
                arguments[name] = value.value  # for a constructor that wants a string or a number
        object.__setattr__(self, "_arguments", arguments)
        object.__setattr__(self, "_recipe", None)
        return self

    def record(self, **arguments: Any) -> None:
        """Add what the constructor found out itself and what rebuilding must not look for again."""
        self._arguments.update(arguments)
        if self._recipe is not None:
            self.set_recipe(self._recipe)

    def set_recipe(self, recipe: Recipe) -> None:
        """Replace the record by a parsed configuration; recorded arguments that it lacks are kept."""
        init_args = dict(recipe.get("init_args", {}))
        init_args |= {n: v for n, v in plain_part(self._arguments).items() if init_args.get(n) is None}
        object.__setattr__(self, "_recipe", {"class_path": recipe["class_path"], "init_args": init_args})

    def remember(self, recipe: Recipe, overrides: dict[str, Any]) -> None:
        """Let checkpoints of what was rebuilt say again how: parsers make local functions of optimizers' classes.

        Args:
            recipe: that this object was built by.
            overrides: arguments that replaced the recipe's; where they have no plain form, nothing is remembered.
        """
        if len(simple := plain_part(overrides)) == len(overrides):
            self.set_recipe({**recipe, "init_args": {**recipe.get("init_args", {}), **simple}})

    def plain_arguments(self) -> dict[str, Any]:
        """The arguments that have a plain form; of a parsed configuration, all of them."""
        return plain_part(self._arguments) if self._recipe is None else dict(self._recipe["init_args"])

    def recipe(self) -> Recipe | None:
        """The class path and arguments in plain types.

        Returns:
            The recipe, or None if an argument (a module, a lambda) or the class has no plain form.
        """
        recipe = self._recipe
        if recipe is None:
            if self._unplain() is not None:
                return None
            recipe = {"class_path": import_path(type(self)), "init_args": plain(self._kept())}
        kept = {k: v for k, v in recipe["init_args"].items() if k not in self.unrecorded_arguments}
        return {"class_path": recipe["class_path"], "init_args": kept}

    def _unplain(self) -> str | None:
        """What has no plain form, and why; None if everything has."""
        try:
            import_path(type(self))
        except NotPlainError as error:
            return f"{error}. Put the class into a file that can be imported"
        parameters = inspect.signature(type(self).__init__).parameters
        found = (_obstacle(name, value, parameters.get(name)) for name, value in self._kept().items())
        return next((reason for reason in found if reason is not None), None)

    def _kept(self) -> dict[str, Any]:
        """The arguments, without defaults that are functions or have no plain form, which nobody has to pass."""
        parameters = inspect.signature(type(self).__init__).parameters
        return {
            name: value
            for name, value in self._arguments.items()
            if name not in parameters
            or value is not parameters[name].default
            or (
                _obstacle(name, value, parameters[name]) is None
                and not isinstance(value, (FunctionType, BuiltinFunctionType))
            )
        }

    @rank_zero_only
    def tell_what_is_lost(self) -> None:
        """Warn if checkpoints cannot rebuild this object; what is made of modules or lambdas is merely mentioned.

        Raises:
            UserWarning: naming the argument or the class, where warnings are errors.
        """
        if self._recipe is not None:
            return
        name = type(self).__name__
        reason = self._unplain()
        recipe = self.recipe()
        if recipe is not None:
            try:
                _parse(type(self), recipe, {})
            except ValueError as error:
                reason = str(error)
            if recipe["class_path"].startswith("__main__."):
                reason = "it was typed into a notebook, which other processes cannot import. Put it into a file"
        if reason is None:
            return
        message = (
            f"Checkpoints of this run will not rebuild the {name} by themselves: {reason}. They keep all weights; "
            f"`load_from_checkpoint` will want the constructor's arguments, commands with `--ckpt_path` its class."
        )
        if any(_made_by_hand(value) for value in self._arguments.values()):
            rank_zero_info(message)
        else:
            warnings.warn(message, stacklevel=2)


def _obstacle(name: str, value: object, parameter: inspect.Parameter | None) -> str | None:
    """Why a constructor cannot be given an argument again out of plain types; None if it can."""
    if parameter is not None and parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"what comes as `*{name}` has no names. Pass it by name" if value else None
    try:
        simple = plain(value)
    except NotPlainError as error:
        return f"its argument `{name}` is not made of plain types ({error})"
    same = type(simple) is type(value) or isinstance(value, (np.generic, Path, list, tuple))
    untyped = parameter is not None and parameter.annotation in (parameter.empty, Any, "Any")
    if untyped and not same:
        return f"its argument `{name}` has no type, so that nobody knows what to make of {simple!r}. Annotate it"
    return None


def _names(parameter: inspect.Parameter | None, kind: type) -> bool:
    """Whether a parameter's annotation names a class."""
    return parameter is not None and kind.__name__ in str(parameter.annotation)


def _made_by_hand(value: object) -> bool:
    """Whether a value is a module or a lambda, or holds one: whoever writes that does not expect a plain form."""
    if isinstance(value, (list, tuple)):
        return any(_made_by_hand(item) for item in value)
    return isinstance(value, nn.Module) or (isinstance(value, FunctionType) and "<" in value.__qualname__)


def build(base: type, recipe: Recipe, **overrides: Any) -> Any:
    """Build what a recipe describes.

    Args:
        base: the class that the recipe's class must be or derive from.
        recipe: class path and arguments.
        **overrides: arguments that replace the recipe's.

    Returns:
        The instance.

    Raises:
        ValueError: if the recipe names an unknown class or unknown arguments.
    """
    parser, parsed = _parse(base, recipe, overrides)
    built = parser.instantiate(parsed).object
    if isinstance(built, Recorded):
        built.remember(recipe, overrides)
    return built


def _parse(base: type, recipe: Recipe, overrides: dict[str, Any]) -> tuple[ArgumentParser, Namespace]:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "object", fail_untyped=False)
    init_args = {**recipe.get("init_args", {}), **overrides}
    try:
        described = {"class_path": local_path(recipe["class_path"]), "init_args": init_args}
        return parser, parser.parse_object({"object": described})
    except (ArgumentError, TypeError) as error:
        raise ValueError(f"Expected to rebuild {recipe['class_path']} from its recipe, but: {error}") from error
