"""How kernels are compiled: once, and again when any of their sources changes.

What Python calls is `compiled`, and what kernels call mostly `inlined`. A function that is compiled by itself is linked
into those that call it, and LLVM optimises all of it again in each of them, and in those that call them: with
everything compiled by itself, it took twice as long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cache import cached

HERE = Path(__file__).parent


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` without Python's lock, cached on disk under a name that changes with the kernels' sources.

    Numba itself looks at the file of a function alone, not at those of the functions it calls. After a change to one of
    these it would go on running the old machine code, on data that may be laid out anew.
    """
    return _cached(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Like :func:`compiled`, and numba copies it into whatever compiled function calls it."""
    return _cached(function, inline="always")


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    function.__qualname__ += f"-{sources_digest()}"
    return cached(nogil=True, **options)(function)


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """SHA-256, shortened, of every file of this package and of the network, whose constants are compiled in."""
    digest = hashlib.sha256()
    network = HERE.parents[1] / "network"
    for path in (*sorted(HERE.glob("*.py")), network / "layers.py", network / "neurons.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
