"""Mistakes in settings, in one line each: which key, what was found, what would be right."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]
ALIKE = 0.6  # similarity from which on one name probably means the other


def explanation(
    error: ValidationError, model: type[BaseModel], spell: Callable[[KeyPath], str] = ".".join
) -> str:
    """Say in one line what the first problem is, and how many more there are; `spell` is how the
    user writes a key.
    """
    first, *further_errors = error.errors(include_url=False)
    keys = tuple(part for part in first["loc"] if isinstance(part, str))
    name = spell(keys) + "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
    text = first["msg"]
    if first["type"] == "extra_forbidden":
        paths = list(leaves(model))
        close = nearest(
            name, [".".join(path[:end]) for path in paths for end in range(1, len(path) + 1)]
        )
        siblings = dict.fromkeys(
            path[len(keys) - 1] for path in paths if path[: len(keys) - 1] == keys[:-1]
        )
        line = f"unknown key {name}; "
        line += f"did you mean {close}?" if close else f"expected one of {', '.join(siblings)}"
    elif first["type"] == "missing":
        field = leaves(model).get(keys)  # none of what stands in a list
        line = f"missing {name}" + (
            f" ({field.description})" if field and field.description else ""
        )
    elif text.startswith("Input should be "):
        expected = text.removeprefix("Input should be ").partition(", unable")[0]
        is_number = first["type"].startswith(
            ("greater", "less")
        )  # an option's text, too, if it was read as a number
        value = str(first["input"]) if is_number else reprlib.repr(first["input"])
        line = (
            f"{name} is {value}, expected "
            f"{'a table' if first['type'] == 'model_type' else expected}"
        )
        if first["type"] == "literal_error" and isinstance(first["input"], str):
            close = nearest(
                first["input"],
                first["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "),
            )
            line += f"; did you mean {close!r}?" if close else ""
    else:
        line = (
            f"{name}: {text.removeprefix('Value error, ')}"
            if name
            else text.removeprefix("Value error, ")
        )
    return line + (f" (and {len(further_errors)} more)" if further_errors else "")


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The known name that `word` most likely misspells; of names with parts the last decides, then
    the whole.
    """

    def alike(first: str, second: str) -> float:
        return difflib.SequenceMatcher(None, first, second).ratio()

    def last(name: str) -> str:
        return name.lstrip("-").rpartition(".")[2]

    scores = {name: (alike(last(word), last(name)), alike(word, name)) for name in candidates}
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best][0] >= ALIKE else None


def is_section(field: FieldInfo) -> bool:
    """True of a field that is itself a model."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def leaves(model: type[BaseModel], prefix: KeyPath = ()) -> dict[KeyPath, FieldInfo]:
    """Every field of a model that is not itself a model, by its path."""
    fields: dict[KeyPath, FieldInfo] = {}
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        fields |= leaves(field.annotation, path) if is_section(field) else {path: field}  # type: ignore[arg-type]
    return fields
