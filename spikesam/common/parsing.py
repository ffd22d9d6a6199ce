"""JSON of unknown origin: one clear error, or plain values that nobody can stumble over."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable

DEEPEST = 32  # lists and objects inside each other; what this project writes needs 6


def parse_json(text: str | bytes, where: object) -> Any:
    """The value of a JSON text; an InputError about `where` if it is none, nests deep, or has NaN
    or huge numbers.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError as error:  # Python's own limit on digits raises it, and so do JSON and UTF-8
        reason = str(error).partition(";")[0]  # without advice to raise Python's limit
        raise InputError(
            f"{where}: not valid JSON: {printable(reason, 2 * LONGEST_NAME)}"
        ) from None
    if _deeper(value, DEEPEST):
        raise _too_deep(where)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"got {name}, expected a finite number")


def _too_deep(where: object) -> InputError:
    return InputError(
        f"{where}: lists and objects are nested deeper than {DEEPEST}, expected fewer inside each "
        "other"
    )


def _deeper(value: Any, depth: int) -> bool:
    """True if a value nests deeper; goes no further than that."""
    if not isinstance(value, (dict, list)):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_deeper(each, depth - 1) for each in inside)
