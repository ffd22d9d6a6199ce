"""Texts of unknown origin, made fit to be shown: names are data, and must not steer a terminal or
fill a screen.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

LONGEST_MESSAGE = (
    900  # characters of one line for people: enough for two long paths and what is wrong with them
)
LISTED = 4  # members of a sequence that a line still names
LONGEST_NAME = 80  # of the name of a class, of an image or of a data set among other words
LONGEST_WORD = 400  # of a command that people type: two of them fit in one line


def printable(text: object, max_length: int = LONGEST_MESSAGE) -> str:
    """A text in one line of at most `max_length` ≥ 3 characters, as it can be shown anywhere.

    Every white space becomes a space. "?" stands for what cannot be printed: control characters
    such as ESC, marks that turn the direction of writing, halves of surrogate pairs (bytes of a
    file name that are not UTF-8). Of what is too long the middle is left out, because where
    something is stands first, and what would be right stands last.
    """
    text = str(text)
    if len(text) > 2 * max_length:  # before looking at each character of what could be megabytes
        text = f"{text[:max_length]}…{text[-max_length:]}"
    cleaned = "".join(
        character if character.isprintable() else " " if character.isspace() else "?"
        for character in text
    )
    if len(cleaned) <= max_length:
        return cleaned
    head = max_length // 2
    return f"{cleaned[:head]}…{cleaned[head + 1 - max_length :]}"


def shell_command(*words: object) -> str:
    """A command for people to type: each word, a path for instance, is quoted for the shell.

    A word with characters that no line shows is written as `$'a\\x1bb'`, which bash, zsh and POSIX
    2024 know. A word too long for a line loses its middle; whatever it is, it stays one word.
    """
    return " ".join(map(_shell_word, map(str, words)))


def _shell_word(word: str) -> str:
    import shlex  # with what opens a file in xarray nothing else is imported

    quoted = shlex.quote(word)
    if not word.isprintable():
        quoted = f"$'{''.join(map(_shell_byte, os.fsencode(word)))}'"
    if len(quoted) > LONGEST_WORD:
        return shlex.quote(printable(word, LONGEST_NAME))
    return quoted


def _shell_byte(byte: int) -> str:
    character = chr(byte)
    plain = character.isascii() and character.isprintable() and character not in "\\'"
    return character if plain else f"\\x{byte:02x}"


def told_apart(names: Iterable[str]) -> list[str]:
    """Names as people see them, each another one: those that would look alike get their number,
    "crane (2)".
    """
    shown = [printable(name) for name in names]
    numbered = [f"{name} ({number})" for number, name in enumerate(shown)]
    count = Counter(map(_short, shown))
    names_told_apart = [
        with_number if count[_short(name)] > 1 else name
        for name, with_number in zip(shown, numbered, strict=True)
    ]
    return (
        names_told_apart
        if len(set(map(_short, names_told_apart))) == len(names_told_apart)
        else numbered
    )  # one was called "crane (2)" already


def _short(name: str) -> str:
    return printable(name, LONGEST_NAME)


def shorten(names: Sequence[str], max_names: int = 5) -> str:
    """The first few names as text: "a, b, c, … (20 in all)"."""
    if not names:
        return "none"
    return ", ".join(names[:max_names]) + (
        f", … ({len(names)} in all)" if len(names) > max_names else ""
    )


def brief(thing: Any) -> str:
    """One line for a dataclass, as its `repr`: what is as by default is left out, and large arrays
    are their shape.
    """
    values = {
        field.name: (_brief(getattr(thing, field.name)), _brief(field.default))
        for field in fields(thing)
    }
    parts = [f"{name}={value}" for name, (value, default) in values.items() if value != default]
    return f"{type(thing).__name__}({', '.join(parts)})"


def _brief(value: Any) -> str:
    if hasattr(value, "dtype") and value.ndim < 2 and value.size <= LISTED:
        value = value.tolist()
    if hasattr(value, "shape"):
        return f"({' × '.join(map(str, value.shape))})"
    if isinstance(value, tuple):
        return (
            f"({', '.join(map(_brief, value)) if len(value) <= LISTED else f'{len(value)} in all'})"
        )
    return f"{value:g}" if isinstance(value, float) else printable(repr(value), 2 * LONGEST_NAME)
