"""How kernels are compiled: once, and again when any of their sources changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from .cache import cached
from .tiles import HOW

HERE = Path(__file__).parent


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` without Python's lock, cached on disk under a name that changes with the kernels' sources.

    Numba itself looks at the file of a function alone, not at those of the functions it calls. After a change to one of
    these it would go on running the old machine code, on data that may be laid out anew.
    """
    function.__qualname__ += f"-{sources_digest()}"
    return cached(nogil=True)(function)


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """SHA-256, shortened, of every file of this package and of the network, whose constants are compiled in.

    And of what the kernel of the system allows, which numba does not see as it does what the CPU has.
    """
    digest = hashlib.sha256(repr(HOW).encode())
    network = HERE.parents[1] / "network"
    for path in (*sorted(HERE.glob("*.py")), network / "inputs.py", network / "neurons.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
