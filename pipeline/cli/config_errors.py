"""Read TOML into pydantic models; a mistake becomes one line naming the file, the key and what would be right."""

from __future__ import annotations

import difflib
import json
import reprlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from recordings.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ModelT = TypeVar("ModelT", bound=BaseModel)
KeyPath = tuple[str, ...]
ALIKE = 0.6  # similarity above which one name probably means the other


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    InputError : if it is missing, unreadable, not UTF-8 or not TOML (with line and column)
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        siblings = sorted(file.name for file in path.parent.glob("*.toml"))
        close = nearest(path.name, siblings)
        raise InputError(
            f"{path}: no such file" + (f"; did you mean {path.parent / close}?" if close else "")
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8, expected a TOML text file") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error


def validated(model: type[ModelT], values: dict[str, Any], where: object) -> ModelT:
    """Build `model` from parsed TOML; `where` opens the message if it does not fit.

    Validation goes through JSON, in which even a strict model takes an array for a tuple and a string for a path.

    Raises
    ------
    InputError : ``where: unknown key training.epcohs; did you mean training.epochs?`` and the like
    """
    try:
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise InputError(f"{where}: {explanation(error, model)}") from error


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
        line = f"unknown key {name}{_suggestion(keys, model, spell)}"
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


def nearest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate that `name` most likely misspells, or None if none is close."""
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=ALIKE)), None)


def similarity(first: str, second: str) -> float:
    """How alike two names are, from 0 to 1."""
    return difflib.SequenceMatcher(None, first, second).ratio()


def leaves(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every field of a model that is not itself a model, by its path."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field


def _suggestion(keys: KeyPath, model: type[BaseModel], spell: Callable[[KeyPath], str]) -> str:
    table, name = keys[:-1], keys[-1]
    paths = [path for path, _ in leaves(model)]
    siblings = list(dict.fromkeys(path[len(table)] for path in paths if path[: len(table)] == table))
    close = nearest(name, siblings)
    elsewhere = [path for path in paths if path[-1] == name]
    if close:
        return f"; did you mean {spell((*table, close))}?"
    if elsewhere:
        return f"; did you mean {spell(elsewhere[0])}?"
    return f"; expected one of {', '.join(siblings)}"
