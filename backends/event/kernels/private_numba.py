"""The names of numba that it does not document, all of them here: a release may change them, so
`pyproject.toml` names the newest that is tested, and no other file imports from inside numba.

* `JITCodeLibrary` and `Compiler`: :mod:`.compiled` links code as parts, and optimises it once.
  Without, all kernels compile five times as long.
* `caching`: :mod:`.cache` keeps code in private folders alone, and checks it before it runs.
* `cgutils`: loops, and room on the stack, in instructions written by hand.
* `populate_array`: arrays at an address. Numba's own `carray` counts references.
* `cpu_target`: what code is compiled for, and how large a value is there.

Beside these names, :mod:`.compiled` gives the options `_nrt`, `no_cfunc_wrapper` and
`no_cpython_wrapper`, and :mod:`.cache` sets the attribute `_cache` of compiled functions.
"""

from __future__ import annotations

from typing import Any

from numba.core import caching, cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target
from numba.np.arrayobj import populate_array

__all__ = [
    "Compiler",
    "JITCodeLibrary",
    "caching",
    "cgutils",
    "populate_array",
    "processor",
    "stored_size",
]


def processor() -> Any:
    """The processor that code is compiled for: triple, name and features, "+avx2,…"."""
    return cpu_target.target_context.codegen().magic_tuple()


def stored_size(kind: Any) -> int:
    """The number of bytes that a value of one of numba's types takes."""
    context = cpu_target.target_context
    size: int = context.get_abi_sizeof(context.get_value_type(kind))
    return size
