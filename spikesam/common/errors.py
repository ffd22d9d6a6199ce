"""Errors that mean "what you gave is wrong", shared by every package and command.

Arguments stand in braces in the advice of an error, as Python writes them; a command puts its own
flags in their place.
"""

from __future__ import annotations

import difflib
import os
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from spikesam.common.text import printable

# Words by which the loader of libraries, Python and torch say that memory was refused.
NO_MEMORY = (
    "failed to map segment",
    "can't start new thread",
    "can't allocate memory",
    "bad_alloc",
)

DEBUG_VARIABLE = "SPIKESAM_DEBUG"  # a variable of the environment, for those who look for a bug


def debugging() -> bool:
    """True where whole tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


# Ends of messages that several parts use: how a file that is in the way can be avoided.
OTHER_OUT = "; choose another {out}"
OVERWRITE = "; choose another {out}, or replace it with {overwrite=True}"


class InputError(ValueError):
    """Something given by the user is missing, malformed or does not fit.

    The message is a single line: where, what was found, what would be right. Commands print it and
    exit with code 2; anything else that escapes a command is an internal failure (exit code 70).
    Names and values in a message come from files and command lines: whatever they are, the line can
    be printed and is not long.

    Parameters
    ----------
    finding : where, what was found, what would be right; names neither an option of a command nor
        an argument
    advice : end of the line, what would help; arguments in braces, as Python writes them: "; go on
        with {resume=True}"
    argument : the argument that is wrong, if it is one; opens the line
    details : texts for other braces of the advice, by the words inside
    """

    def __init__(
        self,
        finding: object,
        advice: str = "",
        *,
        argument: str | None = None,
        **details: object,
    ) -> None:
        super().__init__(finding, advice)
        self.finding = printable(finding)
        self.advice = advice
        self.argument = argument
        self.details = details

    def __str__(self) -> str:
        return self.worded(lambda argument: argument)

    def _render_traceback_(self) -> list[str]:
        """The text that a notebook shows: the line alone, or the whole traceback where that is
        wanted.
        """
        if debugging():
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self}"]

    def worded(self, spell: Callable[[str], str]) -> str:
        """The whole line; `spell` says how the user writes an argument, such as "out" or
        "overwrite=True".
        """
        begin = f"{spell(self.argument)}: " if self.argument else ""
        end = re.sub(
            r"\{([^{}]+)\}",
            lambda braces: str(self.details.get(braces[1]) or spell(braces[1])),
            self.advice,
        )
        return printable(begin + self.finding + end)


class ExistsError(InputError):
    """A file is there already, and may not be replaced."""


@contextmanager
def at(place: object) -> Iterator[None]:
    """Begin the line of an InputError with the place where it arises; an outer place comes
    first.
    """
    try:
        yield
    except InputError as error:
        error.finding = printable(f"{place}: {error.finding}")
        raise


def finding(error: Exception) -> str:
    """The finding of an error, in one line without advice, to be told in another one."""
    if isinstance(error, InputError):
        return error.finding
    text = printable(error) or type(error).__name__
    if isinstance(error, OSError):
        files = " -> ".join(
            str(name) for name in (error.filename, error.filename2) if name is not None
        )
        text = error.strerror or text
        return printable(f"{files}: {text}" if files else text)
    return text


def lacks_memory(error: BaseException) -> bool:
    """True of an error that says that memory was refused."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def did_you_mean(name: str, valid: Sequence[str]) -> str:
    """ "; did you mean 'x'?" with the nearest valid name, whatever its case, or nothing if none is
    near.
    """
    by_lower_case = {option.lower(): option for option in valid}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[near[0]]!r}?" if near else ""
