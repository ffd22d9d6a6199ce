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


def whole(value: object, quantity: str, least: int, largest: int = LARGEST) -> int:
    """An integer ≥ `least`, at most `largest`."""
    if not is_whole(value) or not least <= int(value) <= largest:
        raise NetworkError(
            f"{quantity} is {_shown(value)}, expected an integer ≥ {least}, at most {largest:,}"
        )
    return int(value)


def one_or_pair(value: object, quantity: str, least: int) -> Sides:
    """An integer ≥ `least`, or (y, x) where rows and columns differ; a pair of equal integers is
    one integer.
    """
    if not isinstance(value, (tuple, list)):
        return whole(value, quantity, least)
    if len(value) != 2:
        raise NetworkError(
            f"{quantity} is {_shown(value)}, expected an integer ≥ {least}, or a pair (y, x)"
        )
    y, x = (whole(side, quantity, least) for side in value)
    return y if y == x else (y, x)


def pair(sides: Sides) -> tuple[int, int]:
    """(y, x) of what :func:`one_or_pair` gives."""
    return sides if isinstance(sides, tuple) else (sides, sides)


def real(value: object, quantity: str) -> float:
    """A finite real number."""
    if not is_number(value):
        raise NetworkError(f"{quantity} is {_shown(value)}, expected a finite number")
    return float(value)


def plain_list(value: Any, most_numbers: int, quantity: str) -> Any:
    """The list that an array or tensor of at most so many numbers holds; anything else as it is."""
    if problem := unreadable(value):
        raise NetworkError(f"{quantity} {problem}")
    if hasattr(value, "tolist") and math.prod(np.shape(value)) <= most_numbers:
        return value.tolist()
    return value


def chosen(value: object, choices: Sequence[str], quantity: str) -> None:
    """Refuse a value that is none of these texts."""
    if not isinstance(value, str) or value not in choices:
        *first, last = map(repr, choices)
        expected = f"{', '.join(first)} or {last}"
        raise NetworkError(f"{quantity} is {_shown(value)}, expected {expected}")


def yes_or_no(value: object, quantity: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise NetworkError(f"{quantity} is {_shown(value)}, expected True or False")
    return bool(value)


def array(value: Any, dtype: Any, quantity: str) -> NDArray[Any]:
    """A read-only copy in C-order of `dtype`, or what is one already; no number may lose its
    meaning.
    """
    if problem := unreadable(value):
        raise NetworkError(f"{quantity} {problem}")
    try:
        original = np.asarray(value)
    except (MemoryError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise NetworkError(f"{quantity} cannot be made an array of numbers: {reason}") from None
    integers = np.issubdtype(dtype, np.integer)
    if integers and not np.issubdtype(original.dtype, np.integer):
        raise NetworkError(
            f"{quantity} has dtype {original.dtype}, expected integers in fixed point"
        )
    if original.nbytes > LARGEST_ARRAY:
        raise NetworkError(f"{quantity} has {original.size:,} numbers, expected fewer")
    if original.dtype.kind not in "fiu" or not np.isfinite(original).all():
        raise NetworkError(f"{quantity} must be finite numbers, got dtype {original.dtype}")
    if (
        original.dtype == dtype
        and original.base is None
        and original.flags.c_contiguous
        and not original.flags.writeable
    ):
        return original
    with np.errstate(over="ignore"):
        converted = np.array(original, dtype=dtype, order="C")
    if not np.isfinite(converted).all():
        raise NetworkError(f"{quantity} holds numbers too large for {np.dtype(dtype)}")
    if integers and not np.array_equal(converted, original):
        raise NetworkError(f"{quantity} does not fit {np.dtype(dtype)}")
    converted.setflags(write=False)
    return converted


def constant(
    value: Any,
    channels: int,
    dtype: Any,
    quantity: str,
    least: float = 0,
    largest: float = math.inf,
) -> Any:
    """A constant of neurons within limits: one number of `dtype` for all, or (C,) where channels
    differ.
    """
    numbers: Any
    if problem := unreadable(value):
        raise NetworkError(f"{quantity} {problem}")
    if not isinstance(value, (list, tuple)) and np.ndim(value) == 0:
        number = value.item() if hasattr(value, "item") else value
        integer = np.issubdtype(dtype, np.integer)
        numbers = whole(number, quantity, min(0, int(least))) if integer else real(number, quantity)
    else:
        numbers = array(value, dtype, quantity)
        if numbers.shape != (channels,):
            raise NetworkError(
                f"{quantity} has shape {numbers.shape}, expected one number or ({channels},)"
            )
        numbers = numbers[0].item() if (numbers == numbers[0]).all() else numbers
    if np.min(numbers) < least or np.max(numbers) > largest:
        raise NetworkError(f"{quantity} is {numbers}, expected {least:,} … {largest:,}")
    return numbers


def by_channel(value: Any, channels: int, dtype: Any, quantity: str) -> NDArray[Any]:
    """(1, C) or (T, C) of a scalar, (C,), (1, C) or (T, C)."""
    rows = array(value, dtype, quantity)
    if rows.ndim == 0 or rows.shape == (channels,):
        rows = np.broadcast_to(rows, (1, channels)).copy()
        rows.setflags(write=False)
    if rows.ndim != 2 or rows.shape[1] != channels or not len(rows):
        raise NetworkError(
            f"{quantity} has shape {rows.shape}, expected one number, ({channels},), (1, "
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
