"""Checks of the numbers of a network: each returns a value of the expected type, or raises one
error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import unreadable
from spikesam.common.constraints import is_number, is_whole
from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable


class NetworkError(InputError):
    """The parts of a network do not fit together, or could overflow."""


Sides = int | tuple[int, int]  # one number for rows and columns, or (y, x)

LARGEST = (
    (1 << 31) - 1
)  # of an integer constant of a network: no product of four overflows what Python writes quickly


LARGEST_ARRAY = 1 << 36  # bytes: far beyond any weights


def whole(value: object, what: str, where: str, least: int, most: int = LARGEST) -> int:
    """An integer ≥ `least`, at most `most`."""
    if not is_whole(value) or not least <= int(value) <= most:
        raise NetworkError(
            f"{where}: {what} is {_shown(value)}, expected an integer ≥ {least}, at most {most:,}"
        )
    return int(value)


def one_or_pair(value: object, what: str, where: str, least: int) -> Sides:
    """An integer ≥ `least`, or (y, x) where rows and columns differ; a pair of equal integers is
    one integer.
    """
    if not isinstance(value, (tuple, list)):
        return whole(value, what, where, least)
    if len(value) != 2:
        raise NetworkError(
            f"{where}: {what} is {_shown(value)}, expected an integer ≥ {least}, or a pair (y, x)"
        )
    y, x = (whole(each, what, where, least) for each in value)
    return y if y == x else (y, x)


def pair(sides: Sides) -> tuple[int, int]:
    """(y, x) of what :func:`one_or_pair` gives."""
    return sides if isinstance(sides, tuple) else (sides, sides)


def real(value: object, what: str, where: str) -> float:
    """A finite real number."""
    if not is_number(value):
        raise NetworkError(f"{where}: {what} is {_shown(value)}, expected a finite number")
    return float(value)


def plain_list(value: Any, most: int, what: str, where: str) -> Any:
    """The list that an array or a tensor of at most so many numbers holds; anything else as it is."""
    if problem := unreadable(value):
        raise NetworkError(f"{where}: {what} {problem}")
    if hasattr(value, "tolist") and math.prod(np.shape(value)) <= most:
        return value.tolist()
    return value


def chosen(value: object, choices: Sequence[str], what: str) -> None:
    """Refuse a value that is none of these texts."""
    if not isinstance(value, str) or value not in choices:
        *first, last = map(repr, choices)
        expected = f"{', '.join(first)} or {last}"
        raise NetworkError(f"{what} is {_shown(value)}, expected {expected}")


def yes_or_no(value: object, what: str, where: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise NetworkError(f"{where}: {what} is {_shown(value)}, expected True or False")
    return bool(value)


def array(value: Any, dtype: Any, what: str, where: str) -> NDArray[Any]:
    """A read-only copy in C-order of `dtype`, or what is one already; no number may lose its
    meaning.
    """
    if problem := unreadable(value):
        raise NetworkError(f"{where}: {what} {problem}")
    try:
        given = np.asarray(value)
    except (MemoryError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise NetworkError(
            f"{where}: {what} cannot be made an array of numbers: {reason}"
        ) from None
    integers = np.issubdtype(dtype, np.integer)
    if integers and not np.issubdtype(given.dtype, np.integer):
        raise NetworkError(
            f"{where}: {what} has dtype {given.dtype}, expected integers in fixed point"
        )
    if given.nbytes > LARGEST_ARRAY:
        raise NetworkError(f"{where}: {what} has {given.size:,} numbers, expected fewer")
    if given.dtype.kind not in "fiu" or not np.isfinite(given).all():
        raise NetworkError(f"{where}: {what} must be finite numbers, got dtype {given.dtype}")
    if (
        given.dtype == dtype
        and given.base is None
        and given.flags.c_contiguous
        and not given.flags.writeable
    ):
        return given
    with np.errstate(over="ignore"):
        converted = np.array(given, dtype=dtype, order="C")
    if not np.isfinite(converted).all():
        raise NetworkError(f"{where}: {what} holds numbers too large for {np.dtype(dtype)}")
    if integers and not np.array_equal(converted, given):
        raise NetworkError(f"{where}: {what} does not fit {np.dtype(dtype)}")
    converted.setflags(write=False)
    return converted


def constant(
    value: Any,
    channels: int,
    dtype: Any,
    what: str,
    where: str,
    least: float = 0,
    most: float = math.inf,
) -> Any:
    """A constant of neurons within limits: one number of `dtype` for all, or (C,) where channels
    differ.
    """
    found: Any
    if problem := unreadable(value):
        raise NetworkError(f"{where}: {what} {problem}")
    if not isinstance(value, (list, tuple)) and np.ndim(value) == 0:
        number = value.item() if hasattr(value, "item") else value
        integer = np.issubdtype(dtype, np.integer)
        found = (
            whole(number, what, where, min(0, int(least))) if integer else real(number, what, where)
        )
    else:
        found = array(value, dtype, what, where)
        if found.shape != (channels,):
            raise NetworkError(
                f"{where}: {what} has shape {found.shape}, expected one number or ({channels},)"
            )
        found = found[0].item() if (found == found[0]).all() else found
    if np.min(found) < least or np.max(found) > most:
        raise NetworkError(f"{where}: {what} is {found}, expected {least:,} … {most:,}")
    return found


def by_channel(value: Any, channels: int, dtype: Any, what: str, where: str) -> NDArray[Any]:
    """(1, C) or (T, C) of a scalar, (C,), (1, C) or (T, C)."""
    rows = array(value, dtype, what, where)
    if rows.ndim == 0 or rows.shape == (channels,):
        rows = np.broadcast_to(rows, (1, channels)).copy()
        rows.setflags(write=False)
    if rows.ndim != 2 or rows.shape[1] != channels or not len(rows):
        raise NetworkError(
            f"{where}: {what} has shape {rows.shape}, expected one number, ({channels},), (1, "
            f"{channels}) "
            f"or (T, {channels})"
        )
    return rows


def _shown(value: object) -> str:
    """A value in a message, however large it is."""
    try:
        return printable(repr(value), LONGEST_NAME)
    except ValueError:  # Python writes no integer of thousands of digits
        return "an integer of thousands of digits"
