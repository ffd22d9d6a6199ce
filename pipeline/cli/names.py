"""NAME … on a command line: some of those known, or all; and the list of them in the help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spikesam.pipeline.config.mistakes import nearest
from spikesam.recordings.errors import InputError


def listing(about: Mapping[str, str]) -> str:
    """One line per name, for the help: the name, and what it is."""
    width = max(map(len, about)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in about.items())


def some_or_all(names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The known names that these stand for, each once, in the order in which they were asked for."""
    every = tuple(known)
    found: list[str] = []
    for name in names:
        if name not in (*every, "all"):
            close = nearest(name, [*every, "all"])
            hint = f"; did you mean {close!r}?" if close else ""
            raise InputError(f"NAME: got {name!r}, expected one of {', '.join(every)} or all{hint}")
        found += every if name == "all" else [name]
    return tuple(dict.fromkeys(found))
