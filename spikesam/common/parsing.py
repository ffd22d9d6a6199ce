"""JSON of unknown origin: one clear error, or plain values that nobody can stumble over.

A short text can hold many values, and each takes some 100 bytes of memory, whatever it is. So they
are counted in the text, before any is made.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable

DEEPEST = 32  # lists and objects inside each other; what this project writes needs 6
MOST_MARKS = 1 << 20  # in one text; the metadata of large networks need a hundredth of it
MOST_KEYS = 1 << 13  # of one object, such as layers by name
TOO_DEEP = f"lists and objects are nested deeper than {DEEPEST}, expected fewer inside each other"


def parse_json(text: str | bytes, max_marks: int = MOST_MARKS, *, finite: bool = True) -> Any:
    """The value of a JSON text; an InputError if it is none, nests deep, or has huge numbers,
    objects of many keys, more than `max_marks` marks (a value needs one at least), or NaN and its
    like, unless numbers need not be `finite`.
    """
    content = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    marks = sum(content.count(mark) for mark in b",:[{")
    if marks > max_marks:
        raise InputError(
            f"holds {marks:,} commas, colons and brackets, expected at most {max_marks:,}"
        )
    try:
        value = json.loads(text, parse_constant=_refuse_constant if finite else None)
    except RecursionError:
        raise InputError(TOO_DEEP) from None
    except ValueError as error:  # Python's own limit on digits raises it, and so do JSON and UTF-8
        reason = str(error).partition(";")[0]  # without advice to raise Python's limit
        raise InputError(f"not valid JSON: {printable(reason, 2 * LONGEST_NAME)}") from None
    _check_containers(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"got {name}, expected a finite number")


def _check_containers(value: Any) -> None:
    """Refuse lists and objects that nest deep, and objects of many keys."""
    level = [value]
    for _ in range(DEEPEST + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = []
        for container in containers:
            if isinstance(container, dict) and len(container) > MOST_KEYS:
                raise InputError(
                    f"an object has {len(container):,} keys, expected at most {MOST_KEYS:,}"
                )
            level += container.values() if isinstance(container, dict) else container
    if level:
        raise InputError(TOO_DEEP)
