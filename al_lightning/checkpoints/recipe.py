"""How a module or a data module was built, in plain types, so that a checkpoint can rebuild it.

A recipe is ``{"class_path": "package.Class", "init_args": {...}}``, jsonargparse's own form. Constructors called
from Python are recorded here; the command line puts its parsed configuration in place of the record.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from typing import Any, ClassVar, TypeAlias

from jsonargparse import ArgumentError, ArgumentParser
from jsonargparse.typing import register_type
from typing_extensions import Self

from al_lightning.nn.vocabulary import Vocabulary
from al_lightning.targets.base import Target

# As ``list[str]``, jsonargparse would copy the whole list for every word in it: minutes for 30,000 words.
register_type(Vocabulary, list, list, type_check=lambda value, _: isinstance(value, list))

Recipe: TypeAlias = "dict[str, Any]"


class NotPlainError(TypeError):
    """A value that no checkpoint of plain types can hold."""


def _class_path(item: type) -> str:
    """The path by which users import a class: files may move between versions, the names that a package offers stay."""
    package, *rooms = item.__module__.split(".")
    if package == __name__.split(".", maxsplit=1)[0]:
        for depth in range(len(rooms)):
            front = ".".join([package, *rooms[:depth]])
            if vars(sys.modules[front]).get(item.__name__) is item:
                return f"{front}.{item.__name__}"
    return f"{item.__module__}.{item.__qualname__}"


def _plain(value: object) -> Any:
    """A value as plain types: what is a class or a partial of one becomes a recipe of its own."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, type):
        return {"class_path": _class_path(value)}
    if isinstance(value, Target):
        names = list(inspect.signature(type(value)).parameters)
        return {"class_path": _class_path(type(value)), "init_args": {n: _plain(getattr(value, n)) for n in names}}
    if isinstance(value, functools.partial) and isinstance(value.func, type) and not value.args:
        return {"class_path": _class_path(value.func), "init_args": _plain(value.keywords)}
    raise NotPlainError(f"{value!r} is not made of plain types")


class Recorded:
    """Remembers the arguments of the outermost constructor.

    ``__new__`` sees what the user wrote, whichever subclass is built; no subclass has anything to do.
    """

    #: Arguments that say how to run, not what to build: never compared with a checkpoint's.
    run_time_arguments: ClassVar[frozenset[str]] = frozenset()
    #: Lists of which a checkpoint's and a module's must be the same, such as a vocabulary.
    matching_arguments: ClassVar[frozenset[str]] = frozenset()
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
        object.__setattr__(self, "_arguments", arguments)
        object.__setattr__(self, "_recipe", None)
        return self

    def record(self, **arguments: Any) -> None:
        """Add what the constructor found out itself and what rebuilding must not look for again."""
        self._arguments.update(arguments)

    def set_recipe(self, recipe: Recipe) -> None:
        """Replace the record by a parsed configuration; recorded arguments that it lacks are kept."""
        init_args = dict(recipe.get("init_args", {}))
        for name, value in self._arguments.items():
            if init_args.get(name) is None:
                try:
                    init_args[name] = _plain(value)
                except NotPlainError:
                    continue
        object.__setattr__(self, "_recipe", {"class_path": recipe["class_path"], "init_args": init_args})

    def plain_arguments(self) -> dict[str, Any]:
        """The arguments that have a plain form; of a parsed configuration, all of them."""
        if self._recipe is not None:
            return dict(self._recipe["init_args"])
        arguments: dict[str, Any] = {}
        for name, value in self._arguments.items():
            with contextlib.suppress(NotPlainError):
                arguments[name] = _plain(value)
        return arguments

    def recipe(self) -> Recipe | None:
        """The class path and arguments in plain types.

        Returns:
            The recipe, or None if an argument (a module, a lambda) has no plain form.
        """
        if self._recipe is None:
            try:
                init_args = _plain(self._arguments)
            except NotPlainError:
                return None
            recipe = {"class_path": _class_path(type(self)), "init_args": init_args}
        else:
            recipe = self._recipe
        kept = {k: v for k, v in recipe["init_args"].items() if k not in self.unrecorded_arguments}
        return {"class_path": recipe["class_path"], "init_args": kept}


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
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "object", fail_untyped=False)
    init_args = {**recipe.get("init_args", {}), **overrides}
    try:
        parsed = parser.parse_object({"object": {"class_path": recipe["class_path"], "init_args": init_args}})
    except (ArgumentError, TypeError) as error:
        raise ValueError(f"Expected to rebuild {recipe['class_path']} from its recipe, but: {error}") from error
    return parser.instantiate(parsed).object
