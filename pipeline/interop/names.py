"""Names that do not collide: a layer may be called like a coordinate."""

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

    def new(self, wanted: str) -> str:
        """The name that is wanted, or the nearest one that is free."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted
