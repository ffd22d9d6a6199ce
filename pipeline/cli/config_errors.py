"""Read TOML into pydantic models; a mistake becomes one line naming the file, the key and what would be right."""

from __future__ import annotations

import difflib
import json
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from recordings.errors import InputError
from recordings.files import read_file
from recordings.text import LONGEST_NAME, printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ModelT = TypeVar("ModelT", bound=BaseModel)
KeyPath = tuple[str, ...]
LARGEST_FILE = 1 << 20  # bytes; those in configs/ have up to 3,000
MOST_DOTS = 100  # in a line: the parser's time and memory grow with the square of the names that dots join
ALIKE = 0.6  # similarity from which on one name probably means the other


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    InputError : if it is missing, unreadable, not UTF-8 or not TOML (with line and column)
    """
    try:
        text = read_file(path, LARGEST_FILE).decode("utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if line.count(".") > MOST_DOTS:
                raise InputError(f"{path}: line {number} holds more than {MOST_DOTS} dots, expected a setting")
        return tomllib.loads(text)
    except FileNotFoundError:
        close = nearest(path.stem, sorted(file.stem for file in path.parent.glob("*.toml")))
        hint = f"; did you mean {path.with_name(close + '.toml')}?" if close else ""
        raise InputError(f"{path}: no such file{hint}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8, expected a TOML text file") from error
    except RecursionError:
        raise InputError(f"{path}: tables or arrays are nested too deep, expected the sections of configs/") from None
    except InputError:
        raise
    except ValueError as error:  # TOMLDecodeError, and Python's own limit on the digits of a number
        reason = str(error).partition("; use sys")[0]
        raise InputError(f"{path}: not valid TOML: {reason}") from error


def validated(model: type[ModelT], values: dict[str, Any], where: object) -> ModelT:
    """Build `model` from parsed TOML; `where` opens the message if it does not fit.

    Validation goes through JSON, in which even a strict model takes an array for a tuple and a string for a path.

    Raises
    ------
    InputError : ``where: unknown key training.epcohs; did you mean training.epochs?`` and the like
    """
    try:
        _check_texts(values, where)
        return model.model_validate_json(json.dumps(values, default=str))
    except RecursionError:
        raise InputError(f"{where}: tables or arrays are nested too deep, expected the sections of configs/") from None
    except ValidationError as error:
        raise InputError(f"{where}: {explanation(error, model)}") from error


def _check_texts(values: Any, where: object) -> None:
    """Refuse texts that no path, name or other setting can be."""
    if isinstance(values, str) and "\0" in values:
        raise InputError(f"{where}: got {printable(repr(values), LONGEST_NAME)}, expected no null characters")
    if isinstance(values, (dict, list)):
        for value in [*values, *values.values()] if isinstance(values, dict) else values:
            _check_texts(value, where)


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not text: bytes that are not UTF-8, as Python passes them on, and null characters.

    Raises
    ------
    InputError : naming the first
    """
    for argument in arguments:
        if "\0" in argument or (not argument.isascii() and any("\ud800" <= letter <= "\udfff" for letter in argument)):
            shown = printable(argument, LONGEST_NAME)
            raise InputError(f"argument {shown!r}: expected UTF-8 without null characters; rename what is called so")


def explanation(error: ValidationError, model: type[BaseModel], spell: Callable[[KeyPath], str] = ".".join) -> str:
    """Say in one line what the first problem is, and how many more there are.

    Parameters
    ----------
    model : the model at the root of the names in `error`
    spell : how the user writes a key: ("training", "lr") -> "training.lr" in TOML, "--training.lr" on a command line
    """
    first, *others = error.errors(include_url=False)
    keys = tuple(part for part in first["loc"] if isinstance(part, str))
    name = spell(keys) + "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
    text = first["msg"]
    if first["type"] == "extra_forbidden":
        paths = [path for path, _ in leaves(model)]
        close = nearest(name, [".".join(path[:end]) for path in paths for end in range(1, len(path) + 1)])
        siblings = dict.fromkeys(path[len(keys) - 1] for path in paths if path[: len(keys) - 1] == keys[:-1])
        line = f"unknown key {name}; "
        line += f"did you mean {close}?" if close else f"expected one of {', '.join(siblings)}"
    elif first["type"] == "missing":
        line = f"missing {name} ({dict(leaves(model))[keys].description})"
    elif text.startswith("Input should be "):
        expected = text.removeprefix("Input should be ").partition(", unable")[0]
        is_number = first["type"].startswith(("greater", "less"))  # an option's text, too, if it was read as a number
        value = str(first["input"]) if is_number else reprlib.repr(first["input"])
        line = f"{name} is {value}, expected {'a table' if first['type'] == 'model_type' else expected}"
        if first["type"] == "literal_error" and isinstance(first["input"], str):
            close = nearest(first["input"], first["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
            line += f"; did you mean {close!r}?" if close else ""
    else:
        line = f"{name}: {text.removeprefix('Value error, ')}" if name else text.removeprefix("Value error, ")
    return line + (f" (and {len(others)} more)" if others else "")


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that `given` most likely misspells, or None if none is close.

    Of names with parts ("training.epochs", "--training.epochs") the last part decides, then the whole.
    """

    def alike(first: str, second: str) -> float:
        return difflib.SequenceMatcher(None, first, second).ratio()

    def last(name: str) -> str:
        return name.lstrip("-").rpartition(".")[2]

    scores = {name: (alike(last(given), last(name)), alike(given, name)) for name in known}
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best][0] >= ALIKE else None


def leaves(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every field of a model that is not itself a model, by its path."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field
