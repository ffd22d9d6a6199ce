"""Texts of unknown origin, made fit to be shown: names are data, and must not steer a terminal or fill a screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

LONGEST_MESSAGE = 900  # characters of one line for people: enough for two long paths and what is wrong with them
LONGEST_NAME = 80  # of the name of a class, of an image or of a data set among other words


def printable(text: object, most: int = LONGEST_MESSAGE) -> str:
    """A text in one line of at most `most` characters, as it can be shown anywhere.

    Every white space becomes a space. "?" stands for what cannot be printed: control characters such as ESC, marks that
    turn the direction of writing, halves of surrogate pairs (bytes of a file name that are not UTF-8). Of what is too
    long the middle is left out, because where something is stands first, and what would be right stands last.

    Parameters
    ----------
    text : anything; its `str` is taken
    most : at least 3

    Examples
    --------
    >>> printable("\\x1b[31mred\\nrose")
    '?[31mred rose'
    >>> printable("abcdefghij", most=5)
    'ab…ij'
    """
    text = str(text)
    if len(text) > 2 * most:  # before looking at each character of what could be megabytes
        text = f"{text[:most]}…{text[-most:]}"
    cleaned = "".join(
        character if character.isprintable() else " " if character.isspace() else "?" for character in text
    )
    if len(cleaned) <= most:
        return cleaned
    head = most // 2
    return f"{cleaned[:head]}…{cleaned[head + 1 - most :]}"


def told_apart(names: Iterable[str]) -> list[str]:
    """Names as people see them, each another one: those that would look alike get their number.

    Names look alike that are equal once they are printable and no longer than :data:`LONGEST_NAME`.

    Examples
    --------
    >>> told_apart(["crane", "goldfish", "crane"])
    ['crane (0)', 'goldfish', 'crane (2)']
    """
    shown = [printable(name) for name in names]
    numbered = [f"{name} ({number})" for number, name in enumerate(shown)]
    count = Counter(map(_short, shown))
    found = [other if count[_short(name)] > 1 else name for name, other in zip(shown, numbered, strict=True)]
    return found if len(set(map(_short, found))) == len(found) else numbered  # one was called "crane (2)" already


def _short(name: str) -> str:
    return printable(name, LONGEST_NAME)
