"""Constraints of arguments, as data: which values an annotation stands for, and what people call
them.

`KINDS` says what the names of simple types mean here; `constraint_of` puts them together. A class
is known by its name, so that nothing is imported to look at an argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

import numpy as np
from numpy.typing import ArrayLike

from spikesam.common.text import printable

BITS = 64  # of a whole number
NO_NUMBERS = (bool, np.timedelta64)  # though Python and NumPy count them among the whole numbers
CHECKED = 1_000_000  # members of a list whose types are looked at; it may not have more
UNIONS = (Union, UnionType)


@dataclass(frozen=True)
class Constraint:
    """Values that an annotation stands for.

    Parameters
    ----------
    allows : True of such a value
    one : what people call one of them, such as "a text"
    several : what people call several, such as "texts"
    simple : no class of this project or of a library is among them
    member : the constraint of each member of a list, if there is one
    """

    allows: Callable[[Any], bool]
    one: str
    several: str = ""
    simple: bool = True
    member: Constraint | None = None

    def finding(self, value: Any) -> str:
        """The fault of a value: a member of a list, how many it has, or the value itself."""
        if isinstance(value, Integral) and not -(1 << BITS - 1) <= int(value) < 1 << BITS - 1:
            return f"is {shown(value)}, of more than {BITS} bits"
        if self.member is None or not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return f"is {shown(value)}"
        if len(value) <= CHECKED:
            for member in value:
                if not self.member.allows(member):
                    return f"has the member {shown(member)}"
        return f"has {len(value):,} members"


def shown(value: Any) -> str:
    """A short value as it is written, of any other its type."""
    if isinstance(value, str | int | float | NoneType):
        return printable(repr(value), 100)
    return f"of type {type(value).__name__}"


def is_whole(value: object) -> TypeGuard[int]:
    """A whole number of at most 64 bits, and not True."""
    if not isinstance(value, Integral) or isinstance(value, NO_NUMBERS):
        return False
    return -(1 << BITS - 1) <= int(value) < 1 << BITS - 1


def is_number(value: object) -> TypeGuard[float]:
    """A finite number that float64 can hold, and not True."""
    if not isinstance(value, Real) or isinstance(value, NO_NUMBERS):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_tensor(value: object) -> bool:
    """A tensor of torch, which is not imported to see it."""
    return hasattr(value, "is_meta") and hasattr(value, "layout")


def _is_point(value: object) -> bool:
    """An array or a tensor of no axis, which is one number."""
    return getattr(value, "shape", None) == ()


def _is_list(value: object) -> bool:
    """A list, a tuple, an array or a tensor, and neither a text nor a number."""
    ordered = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return ordered and not isinstance(value, str | bytes | Mapping) and not _is_point(value)


def _gives_members(value: object) -> bool:
    """A list, or what gives members one by one."""
    listable = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return listable and not _is_point(value)


def _becomes_numbers(value: Any) -> bool:
    """True if NumPy makes an array of numbers of a value; nothing that lies in a file is read."""
    try:
        kind = getattr(value, "dtype", None)
        array = value if hasattr(kind, "kind") or is_tensor(value) else np.asarray(value)
    except (MemoryError, OverflowError, RecursionError, RuntimeError, TypeError, ValueError):
        return False
    return getattr(array.dtype, "kind", "f") in "biuf" or not np.prod(array.shape)


def _instance(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


KINDS: Mapping[Any, Constraint] = {
    NoneType: Constraint(_instance(NoneType), "None", "None"),
    bool: Constraint(_instance(bool, np.bool_), "True or False", "True or False"),
    int: Constraint(is_whole, "a whole number", "whole numbers"),
    float: Constraint(is_number, "a number", "finite numbers"),
    str: Constraint(_instance(str), "a text", "texts"),
    bytes: Constraint(_instance(bytes), "bytes", "bytes"),
    slice: Constraint(_instance(slice), "a slice", "slices"),
    Path: Constraint(_instance(PathLike), "a path", "paths"),
    np.ndarray: Constraint(_becomes_numbers, "an array of numbers", "arrays of numbers"),
    PathLike: Constraint(_instance(PathLike), "a path", "paths"),
    Callable: Constraint(callable, "a function", "functions"),
    Mapping: Constraint(_instance(Mapping), "a dictionary", "dictionaries"),
    Iterable: Constraint(_gives_members, "a list", "lists"),
    Sequence: Constraint(_is_list, "a list", "lists"),
    tuple: Constraint(_is_list, "a list", "lists"),
}
LISTS = (Iterable, Sequence, tuple)
ANYTHING = Constraint(lambda value: True, "anything", simple=False)
ARRAY_LIKE = frozenset(get_args(ArrayLike) or {ArrayLike})  # a union, with some versions of NumPy


@lru_cache(maxsize=1024)
def constraint_of(hint: Any) -> Constraint:
    """The constraint that a type says; `ANYTHING` of a type that says too little."""
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if hint == ArrayLike:
        return KINDS[np.ndarray]
    if hasattr(origin, "__value__"):  # a name for a type, as NDArray is with some versions of NumPy
        return constraint_of(origin.__value__)
    if origin in UNIONS:
        return _any_of([*dict.fromkeys(constraint_of(part) for part in _alternatives(hint))])
    if origin is Annotated:
        return constraint_of(parts[0])
    if origin is Literal:
        return _one_of(parts)
    if origin in LISTS and parts:
        return _list_of(origin, parts)
    if origin in KINDS:
        return KINDS[origin]
    if isinstance(hint, type) and hint not in (Any, object):
        return _class_called(hint.__name__)
    return ANYTHING


def decides(constraint: Constraint, hint: Any) -> bool:
    """True if an annotation says enough to refuse a value: simple types alone, or one class.

    Where it names a class among others, the function itself knows better what to say.
    """
    classes = [part for part in _alternatives(hint) if part is not NoneType]
    return constraint.simple or (len(classes) == 1 and constraint_of(classes[0]) is not ANYTHING)


def _alternatives(hint: Any) -> Sequence[Any]:
    """The types that are joined by "|"; one for all those that NumPy makes an array of."""
    parts = get_args(hint) if get_origin(hint) in UNIONS else (hint,)
    if not {*parts} >= ARRAY_LIKE:
        return parts
    return [np.ndarray, *(part for part in parts if part not in ARRAY_LIKE)]


def _any_of(constraints: Sequence[Constraint]) -> Constraint:
    """The words for what one of several constraints allows: "a text, a path or None"."""
    if ANYTHING in constraints:
        return ANYTHING
    ordered = sorted(constraints, key=lambda constraint: constraint is KINDS[NoneType])
    *words, last = dict.fromkeys(constraint.one for constraint in ordered)
    members = [constraint.member for constraint in constraints if constraint.member is not None]
    tests = [constraint.allows for constraint in constraints]
    return Constraint(
        lambda value: any(test(value) for test in tests),
        f"{', '.join(words)} or {last}" if words else last,
        simple=all(constraint.simple for constraint in constraints),
        member=_any_of(members) if members else None,
    )


def _one_of(choices: tuple[Any, ...]) -> Constraint:
    def allows(value: Any) -> bool:
        return any(isinstance(value, type(choice)) and value == choice for choice in choices)

    return Constraint(allows, f"one of {', '.join(map(str, choices))}")


def _list_of(origin: Any, parts: tuple[Any, ...]) -> Constraint:
    """A list of members of one type, or, a tuple, of one type each."""
    general, members = KINDS[origin], [constraint_of(part) for part in parts if part is not ...]
    fixed = origin is tuple and parts[-1] is not ...
    count = f"{len(members)} " if fixed else ""
    several = members[0].several
    one = f"a list of {count}{several}" if several else general.one

    def allows(value: Any) -> bool:
        if not general.allows(value) or not isinstance(value, Collection):
            return general.allows(value)
        if fixed:
            tests = [member.allows for member in members]
            return len(value) == len(tests) and all(
                test(member) for test, member in zip(tests, value, strict=True)
            )
        return len(value) <= CHECKED and all(map(members[0].allows, value))

    return replace(general, allows=allows, one=one, member=members[0])


def _class_called(name: str) -> Constraint:
    def allows(value: Any) -> bool:
        return any(kind.__name__ == name for kind in type(value).__mro__)

    return Constraint(allows, f"a{'n' * (name[0] in 'AEIOU')} {name}", simple=False)
