"""Compilation of kernels: once, and again when any of their sources changes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit

from spikesam.backends.event.kernels._tiles import HOW
from spikesam.backends.event.kernels.cache import cached
from spikesam.backends.event.kernels.private_numba import Compiler, JITCodeLibrary

HERE = Path(__file__).parent

# Numba counts the references to every array that a function gets, takes a part of, or gives back.
# That takes as long as a small layer does, threads that use the same weights wait for each other at
# it, and LLVM moves nothing across it. A function that makes no array needs none of it, but cannot
# give one back either. One that makes arrays must say so, since a function that says nothing is
# compiled as its caller is.
LEAN: Any = {"nogil": True, "_nrt": False, "no_cfunc_wrapper": True}
MAKING_ARRAYS: Any = LEAN | {"_nrt": True}


class _Part(JITCodeLibrary):
    """Code that becomes a part of other functions, which optimise it as their own, and no machine
    code by itself.
    """

    def _optimize_functions(self, module: Any) -> None:
        """Not yet: the functions that they become parts of are optimised."""
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._finalized = True

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, *_: Any) -> None:
        """Nothing: what numba calls an environment is Python's side of a function."""

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class _Whole(JITCodeLibrary):
    """Machine code of a function with all of its parts, each of which is linked once."""

    def add_linking_library(self, library: Any) -> None:
        if library not in self._linking_libraries:
            super().add_linking_library(library)  # type: ignore[no-untyped-call]
            for part in library._linking_libraries if isinstance(library, _Part) else ():
                self.add_linking_library(part)

    def _optimize_final_module(self) -> None:
        """Once, where numba does it twice for the sake of references that it counts:
        here are few.
        """
        passes, builder = self._codegen._module_pass_manager()  # type: ignore[no-untyped-call]
        passes.run(self._final_module, builder)


def _compiler(library_of: Callable[[Any, str], Any]) -> Any:
    """Numba's compiler, to whose code this gives the library."""

    class Into(Compiler):
        def __init__(self, typing: Any, target: Any, library: Any, *arguments: Any) -> None:
            library = library or library_of(target.codegen(), "code")
            super().__init__(typing, target, library, *arguments)  # type: ignore[no-untyped-call]

    return Into


def _whole(codegen: Any, name: str) -> _Whole:
    library = _Whole(codegen, name)  # type: ignore[no-untyped-call]
    library.enable_object_caching()  # type: ignore[no-untyped-call]
    return library


PART: Any = {"pipeline_class": _compiler(_Part), "no_cpython_wrapper": True}
WHOLE: Any = {"pipeline_class": _compiler(_whole)}
_times_named: Counter[tuple[str, str]] = Counter()


def _part(options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator for what only compiled functions call: Python must not.

    Functions that a function makes, one for each size, get names of their own. Numba tells them
    apart by a number that it counts anew in each process, and code that two processes cached would
    take one for another, and write anywhere.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        name = function.__module__, function.__qualname__
        _times_named[name] += 1
        function.__qualname__ += f"-{_times_named[name]}"
        return njit(**options | PART)(function)

    return decorate


internal, internal_making_arrays, inlined = (
    _part(LEAN),
    _part(MAKING_ARRAYS),
    _part(LEAN | {"forceinline": True}),
)


def compiled(function: Callable[..., Any]) -> Any:
    """`numba.njit` without Python's lock, cached on disk under a name that changes with the
    kernels' sources.

    Numba itself looks at the file of a function alone, not at those of the functions it calls.
    After a change to one of these it would go on running the old machine code, on data that may be
    laid out anew.
    """
    return _cached(function, LEAN | WHOLE)


def compiled_making_arrays(function: Callable[..., Any]) -> Any:
    """:func:`compiled`, for a function that makes arrays."""
    return _cached(function, MAKING_ARRAYS | WHOLE)


def compiled_in_parallel(function: Callable[..., Any]) -> Any:
    """:func:`compiled`, for a function whose `numba.prange` calls such that are."""
    return _cached(function, {"parallel": True})


def entry(part: Any) -> Any:
    """:func:`compiled`, of the function of an :data:`internal` one, for Python."""
    return compiled(part.py_func)


def _cached(function: Callable[..., Any], options: Any) -> Any:
    function.__qualname__ = f"{function.__qualname__.partition('-')[0]}-{sources_digest()}"
    return cached(**options)(function)


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """SHA-256, shortened, of every file of this package and of the network, whose constants are
    compiled in.

    And of what the kernel of the system allows, which numba does not see as it does what the CPU
    has.
    """
    digest = hashlib.sha256(repr(HOW).encode())
    network = HERE.parents[1] / "network"
    for path in (*sorted(HERE.glob("*.py")), network / "inputs.py", network / "neurons.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
