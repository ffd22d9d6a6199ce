"""Arguments of the functions that users call: one of another type is refused in a line, before
anything is done.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, wraps
from inspect import signature
from numbers import Integral, Real
from os import PathLike
from typing import (
    Annotated,
    Any,
    NamedTuple,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from spikesam.common.errors import InputError
from spikesam.common.extras import missing

P = ParamSpec("P")
R = TypeVar("R")
TYPES: Mapping[
    str, tuple[Any, str]
] = {  # as annotations name them -> what a value must be, and its name for people
    "None": (type(None), "None"),
    "bool": ((bool, np.bool_), "True or False"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "a text"),
    "PathLike": (PathLike, "a path"),
    "Mapping": (Mapping, "a dictionary"),
    "Iterable": (Iterable, "a list"),
    "Sequence": (Sized, "a list"),  # an array or a tensor, too
}
CLASSES = frozenset({"Checkpoint", "Layer", "Network", "Tracker"})


@dataclass(frozen=True)
class Option:
    """The annotation of an option of a map method or backend: `gamma: Annotated[float,
    Option("decay")] = 0.5`.
    """

    about: str  # one line of help
    at_least: int | None = None  # limits of a number
    below: int | None = None
    above: int | None = None
    python: str = (
        ""  # the annotation of what Python may give, where that is more than a command line can
    )


class Declared(NamedTuple):
    """An option as its owner declares it."""

    kind: Any
    limits: Option
    default: Any


def options_of(owner: Callable[..., Any]) -> dict[str, Declared]:
    """The options of a class, which are arguments of its constructor, or of a function, by name."""
    kinds, parameters = get_type_hints(owner, include_extras=True), signature(owner).parameters
    options = dict[str, Declared]()
    for name, parameter in parameters.items():
        if get_origin(kinds.get(name)) is Annotated:
            kind, limits = get_args(kinds[name])
            options[name] = Declared(kind, limits, parameter.default)
    return options


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function refuse arguments of other types, see `refuse_other_types`, and name extras
    that it lacks.
    """
    parameters = signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        with suppress(
            TypeError
        ):  # where arguments are missing or too many, the function says so itself
            bound = parameters.bind(*args, **kwargs)
            refuse_other_types(function.__name__, function.__annotations__, bound.arguments)
        try:
            return function(*args, **kwargs)
        except ImportError as error:
            if lacks := missing(error, function.__name__):
                raise ImportError(f"{function.__name__}: {lacks}", name=error.name) from None
            raise

    return checked


def refuse_other_types(
    where: str, annotations: Mapping[str, str], values: Mapping[str, Any]
) -> None:
    """Refuse values that are of no type of their annotation, a text, if that names simple types, or
    one class, alone.

    Where an annotation names a class among others, the function itself knows better what to say.
    """
    for name, value in values.items():
        expected = alternatives(annotations.get(name, "Any"))
        simple = all(word in TYPES for word in expected)
        one_class = len({*expected} - {"None"}) == 1 and any(word in CLASSES for word in expected)
        if not (simple or one_class) or any(_is(value, word) for word in expected):
            continue
        *words, last = dict.fromkeys(
            TYPES[word][1] if word in TYPES else f"a {word}" for word in expected
        )
        wanted = f"{', '.join(words)} or {last}" if words else last
        raise InputError(f"{where}: {name} is {_shown(value)}, expected {wanted}")


@lru_cache(maxsize=256)
def alternatives(annotation: str) -> tuple[str, ...]:
    """The names of the types that are joined by "|"; of one with parameters its own name."""
    return tuple(_names(ast.parse(annotation, mode="eval").body))


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BinOp):
        yield from _names(node.left)
        yield from _names(node.right)
    else:
        yield ast.unparse(node.value if isinstance(node, ast.Subscript) else node)


def _is(value: Any, name: str) -> bool:
    if name in CLASSES:
        return any(kind.__name__ == name for kind in type(value).__mro__)
    return isinstance(value, TYPES[name][0]) and (name == "bool" or not isinstance(value, bool))


def _shown(value: Any) -> str:
    """A short value as it is written, of any other its type."""
    return (
        repr(value)
        if isinstance(value, (str, int, float, type(None)))
        else f"of type {type(value).__name__}"
    )
