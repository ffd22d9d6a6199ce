"""NAME on a command line: one of those known, or all."""

from __future__ import annotations

from collections.abc import Iterable

from recordings.errors import InputError

from .config_errors import nearest


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
