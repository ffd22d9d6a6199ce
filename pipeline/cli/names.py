"""NAME on a command line: one of those known, or all; and the list of them in the help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recordings.errors import InputError

from .config_errors import nearest


def listing(about: Mapping[str, str]) -> str:
    """One line per name, for the help: the name, and what it is."""
    width = max(map(len, about)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in about.items())


def one_or_all(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names that a name stands for.

    Raises
    ------
    InputError : if there is none of that name
    """
    names = tuple(known)
    if name == "all":
        return names
    if name not in names:
        close = nearest(name, [*names, "all"])
        hint = f"; did you mean {close!r}?" if close else ""
        raise InputError(f"NAME: got {name!r}, expected one of {', '.join(names)} or all{hint}")
    return (name,)
