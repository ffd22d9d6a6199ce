"""Read TOML into pydantic models; a mistake becomes one line naming the file, the key and what
would be right.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spikesam.common.errors import InputError
from spikesam.common.files import read_file, similar_file
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.config.mistakes import explanation

ModelT = TypeVar("ModelT", bound=BaseModel)
LARGEST_FILE = 1 << 20  # bytes; those in configs/ have up to 3,000
MOST_DOTS = (
    100  # in a line: the parser's time and memory grow with the square of the names that dots join
)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; a mistake is an InputError with line and column."""
    try:
        text = read_file(path, LARGEST_FILE).decode("utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if line.count(".") > MOST_DOTS:
                raise InputError(
                    f"{path}: line {number} holds more than {MOST_DOTS} dots, expected a setting"
                )
        return tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{similar_file(path)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8, expected a TOML text file"
        ) from error
    except RecursionError:
        raise InputError(
            f"{path}: tables or arrays are nested too deep, expected the sections of configs/"
        ) from None
    except InputError:
        raise
    except ValueError as error:  # TOMLDecodeError, and Python's own limit on the digits of a number
        reason = str(error).partition("; use sys")[0]
        raise InputError(f"{path}: not valid TOML: {reason}") from error


def validated(model: type[ModelT], values: dict[str, Any]) -> ModelT:
    """Build `model` from parsed TOML; an InputError if it does not fit.

    Validation goes through JSON, in which even a strict model takes an array for a tuple and a
    string for a path.
    """
    try:
        _check_texts(values)
        return model.model_validate_json(json.dumps(values, default=str))
    except RecursionError:
        raise InputError(
            "tables or arrays are nested too deep, expected the sections of configs/"
        ) from None
    except ValidationError as error:
        raise InputError(explanation(error, model)) from error


def _check_texts(values: Any) -> None:
    """Refuse texts that no path, name or other setting can be."""
    if isinstance(values, str) and "\0" in values:
        raise InputError(
            f"got {printable(repr(values), LONGEST_NAME)}, expected no null characters"
        )
    if isinstance(values, (dict, list)):
        for value in [*values, *values.values()] if isinstance(values, dict) else values:
            _check_texts(value)
