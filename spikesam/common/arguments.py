"""Arguments of the functions that users call: one of another type is refused in a line, before
anything is done.

A parameter says by its annotation what it may be, see :mod:`spikesam.common.constraints`. What no
function can read, whatever its annotation, is in `unreadable`.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial, wraps
from inspect import Parameter, signature, unwrap
from itertools import islice
from os import PathLike
from types import NoneType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import numpy as np

from spikesam.common.constraints import KINDS, Constraint, constraint_of, decides, is_tensor, shown
from spikesam.common.errors import InputError, at, did_you_mean, finding, lacks_memory
from spikesam.common.extras import missing

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
MOST_MEMBERS = 10**8  # of a list; arrays may have more
DEEPEST = 4  # lists in lists whose members are looked at
NAMED = 10_000  # names that a list may have
PLAIN = frozenset({bool, int, float, complex, NoneType, slice, np.float32, np.float64, np.int64})


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


@overload
def checked_arguments(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def checked_arguments(**expected: str) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def checked_arguments(function: Any = None, /, **expected: str) -> Any:
    """Have a function refuse arguments of other types, see `refuse_other_types`, and name extras
    that it lacks.

    Parameters
    ----------
    expected : what people call the values of a parameter, where its type says too little, by its
        name: `checked_arguments(dt="seconds in a step")`
    """
    if function is None:
        return partial(_checked, expected=expected)
    return _checked(function, {})


def _checked(function: Callable[P, R], expected: Mapping[str, str]) -> Callable[P, R]:
    name = function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")
    parameters = signature(function).parameters
    by_position = [
        parameter.name
        for parameter in parameters.values()
        if parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    ]
    bound = by_position[:1] in (["self"], ["cls"])
    kinds = {parameter.kind for parameter in parameters.values()}
    any_option, any_number = Parameter.VAR_KEYWORD in kinds, Parameter.VAR_POSITIONAL in kinds
    variable = {Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL}
    needed = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is Parameter.empty and parameter.kind not in variable
    ][bound:]
    constraints = cache(lambda: constraints_of(function, expected))

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not any_option:
            _refuse_unknown(name, parameters, kwargs)
        if len(args) > len(by_position) and not any_number:
            raise InputError(_too_many(name, by_position[bound:], len(args) - bound))
        positional = dict(zip(by_position[bound:], args[bound:], strict=False))
        for parameter in needed:
            if parameter not in positional and parameter not in kwargs:
                constraint = constraints().get(parameter)
                expected_values = f", expected {constraint.one}" if constraint else ""
                raise InputError(f"{name}: {parameter} is missing{expected_values}")
        with at(name):
            refuse_other_types(constraints(), {**positional, **kwargs})
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if error.filename is None:
                raise
            raise InputError(f"{name}: {finding(error)}") from error
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise InputError(
                f"{name}: needs more memory than there is; give less at once"
            ) from None
        except ImportError as error:
            if lacks := missing(error, name):
                raise ImportError(f"{name}: {lacks}", name=error.name) from None
            raise

    return checked


def checked_fields(cls: type[C]) -> type[C]:
    """Have a class refuse arguments of its constructor, as `checked_arguments` does."""
    cls.__init__ = checked_arguments(cls.__init__)  # type: ignore[method-assign]
    return cls


def _refuse_unknown(
    function_name: str, parameters: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Refuse options that a function does not have."""
    for name in names:
        if name not in parameters:
            near = did_you_mean(name, [*parameters])
            raise InputError(
                f"{function_name}: got the option {name!r}, expected some of "
                f"help(spikesam.{function_name}){near}"
            )


def _too_many(function_name: str, by_position: Sequence[str], count: int) -> str:
    """The refusal of so many arguments without names."""
    names = ", ".join(by_position)
    most = f"at most {len(by_position)}, {names}" if by_position else "none"
    return (
        f"{function_name}: got {count} arguments without a name, expected {most}; name the others, "
        f"see help(spikesam.{function_name})"
    )


class _Unknown(type):
    """A class, or a module with classes, of which only the name is known."""

    def __getattr__(cls, name: str) -> _Unknown:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unknown(name, (), {})

    def __getitem__(cls, parts: object) -> _Unknown:
        return cls


class _Names(dict[str, Any]):
    """The names of a module; a class of that name for what only type checkers import."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return _Unknown(name, (), {})


def constraints_of(
    function: Callable[..., Any], expected: Mapping[str, str]
) -> dict[str, Constraint]:
    """The constraints by which arguments of a function are refused, by name of the parameter."""
    names = _Names(vars(sys.modules[unwrap(function).__module__]))
    constraints = deciding(get_type_hints(function, localns=names, include_extras=True))
    words = {name: replace(constraints[name], one=words) for name, words in expected.items()}
    return {**constraints, **words}


def deciding(hints: Mapping[str, Any]) -> dict[str, Constraint]:
    """The constraints of those annotations that say enough to refuse a value."""
    types = {name: _given_in_python(hint) for name, hint in hints.items()}
    constraints = {name: constraint_of(kind) for name, kind in types.items()}
    return {
        name: constraint
        for name, constraint in constraints.items()
        if decides(constraint, types[name])
    }


def _given_in_python(hint: Any) -> Any:
    """The type of what Python may give, which an `Option` may say beside the type of what is
    kept.
    """
    if get_origin(hint) is not Annotated:
        return hint
    kind, option, *_ = get_args(hint)
    annotation = option.python if isinstance(option, Option) else ""
    return eval(annotation, {}, _Names(PathLike=PathLike)) if annotation else kind


def refuse_other_types(constraints: Mapping[str, Constraint], values: Mapping[str, Any]) -> None:
    """Refuse values that their parameter does not allow, and what cannot be read."""
    for name, value in values.items():
        if problem := unreadable(value):
            raise InputError(f"{name} {problem}")
        constraint = constraints.get(name)
        if constraint is not None and not constraint.allows(value):
            raise InputError(f"{name} {constraint.finding(value)}, expected {constraint.one}")


def unreadable(value: Any, depth: int = 0) -> str | None:
    """The reason why no function can take a value, or a member of a list; None if it can."""
    if type(value) in PLAIN:
        return None
    if isinstance(value, (str, PathLike)):
        text = value if isinstance(value, str) else os.fspath(value)
        null = b"\0" if isinstance(text, bytes) else "\0"
        return "has a null character, expected none" if null in text else None
    if isinstance(value, np.ma.MaskedArray):
        return "has a mask, which would be lost; give an array without one, such as a.filled(0)"
    if isinstance(value, np.ndarray):
        return "has an array with named fields, expected numbers" if value.dtype.names else None
    if is_tensor(value):
        return _unreadable_tensor(value)
    if hasattr(value, "tocsr") and hasattr(value, "toarray"):
        return "is a sparse matrix, expected an array: give its toarray()"
    if isinstance(value, (Sequence, Mapping)) and not isinstance(value, (bytes, bytearray)):
        return _unreadable_list(value, depth)
    return None


def _unreadable_tensor(value: Any) -> str | None:
    if value.is_meta:
        return "is a tensor without numbers, on the device 'meta', expected one with numbers"
    if value.is_quantized:
        return "is a quantised tensor, expected numbers: give its dequantize()"
    if value.is_nested:
        return "is a nested tensor, expected one shape: give its to_padded_tensor(0)"
    if "strided" not in str(value.layout):
        return "is a sparse tensor, expected a dense one: give its to_dense()"
    return None


def _unreadable_list(values: Sequence[Any] | Mapping[Any, Any], depth: int) -> str | None:
    if len(values) > MOST_MEMBERS:
        return f"has {len(values):,} members, expected at most {MOST_MEMBERS:,}"
    if depth == DEEPEST or isinstance(values, range):
        return None
    members = values.values() if isinstance(values, Mapping) else values
    if {*map(type, members)} <= PLAIN:
        return None
    return next(filter(None, (unreadable(member, depth + 1) for member in members)), None)


def listed(values: Iterable[Any], argument: str, most: int = NAMED) -> list[Any]:
    """The members of a list, or of what gives them one by one, which may not end; `argument` is
    what messages call it.
    """
    if not KINDS[Iterable].allows(values):
        raise InputError(f"{argument} is {shown(values)}, expected a list")
    members = [*islice(values, most + 1)]
    if len(members) > most:
        raise InputError(f"{argument} has more than {most:,} members, expected at most so many")
    return members
