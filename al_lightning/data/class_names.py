"""Names of classes as users give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias

from jsonargparse.typing import register_type

if TYPE_CHECKING:
    ClassNames: TypeAlias = Sequence[str | int]
else:

    class ClassNames(list):
        """What ``class_names`` accepts: strings, or integers that become strings.

        It has a name so that the command line passes on what YAML made of names without quotation marks, and
        :func:`checked_names` can say what to do: as a list of strings or integers, jsonargparse would refuse
        ``[no, yes]`` as false and true without a word about quotation marks.
        """


def _given(names: Any) -> Any:
    if names is None:
        raise ValueError("jsonargparse then tries None, the argument's other type")
    return names


register_type(ClassNames, list, _given, type_check=lambda names, _: names is not None)


def checked_names(names: object) -> list[str]:
    """Class names as strings, in their order.

    Args:
        names: a sequence of strings or integers.

    Returns:
        K different strings.

    Raises:
        TypeError: if it has no order, or holds something else.
        ValueError: if there are fewer than two names, one is empty, or one stands there twice.

    Example:
        >>> checked_names([1, 2, "other"])
        ['1', '2', 'other']
    """
    # Sets have no order. Strings are sequences, but of letters.
    is_list = isinstance(names, Iterable) and not isinstance(names, (str, bytes, Set, Mapping))
    given = list(names) if is_list and isinstance(names, Iterable) else []
    if not is_list or any(isinstance(n, bool) or not isinstance(n, (str, Integral)) for n in given):
        raise TypeError(
            f"Expected `class_names` to be a list of names, but got {names!r}. Write names in quotation marks that "
            "YAML would read as something else, such as 'yes', 'null', '1.5' or '010'."
        )
    checked = [str(name) for name in given]
    if len(checked) < 2 or len(set(checked)) < len(checked) or "" in checked:
        raise ValueError(f"Expected `class_names` to be at least two different names, but got {checked}. Name each.")
    return checked
