"""A decorator for public functions that a later version takes away."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(
    since: str, removed: str, replacement: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function warn at every call that it will go; it does its work as before.

    It also decorates methods. For a class, decorate its `__init__`.

    Parameters
    ----------
    since : version that first warns, such as "0.2.0"
    removed : version that will not have the function
    replacement : what to call instead, as a user types it: "spikesam.explain(raster)"

    Examples
    --------
    >>> @deprecated("0.2.0", "0.4.0", "new()")
    ... def old():
    ...     return 1
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        message = (
            f"{function.__qualname__} is deprecated since spikesam {since}, and {removed} will not "
            f"have it: use {replacement}"
        )

        @functools.wraps(function)
        def wrapper(*arguments: P.args, **options: P.kwargs) -> R:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return function(*arguments, **options)

        return wrapper

    return decorate
