"""Names that do not collide: a layer may have the name of a coordinate."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Hands out every name once; one that is taken gets underscores behind it.

    Parameters
    ----------
    taken : names that are never handed out
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, name: str) -> str:
        """The name, with underscores behind it until it is free."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
