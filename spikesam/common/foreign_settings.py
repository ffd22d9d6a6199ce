"""Keeps libraries from taking settings or code out of the current folder, which may be a download.

Numba would read `.numba_config.yaml` there, which names a folder of compiled code to be run;
matplotlib `matplotlibrc`, which can have it run LaTeX. A file that cannot be parsed would end the
program, and a pipe of that name stop it. Settings in the user's own folders and in the environment
count as ever.

With torch's wheels for Linux comes cuSPARSELt. When it is loaded it opens the library
`libcuda.so.1`, which it looks for in the current folder before the system's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from threading import Thread
from types import ModuleType

from spikesam.common.surroundings import REFUSALS

FILES = {
    "numba.core.config": ".numba_config.yaml",
    "matplotlib": "matplotlibrc",
}  # that a module reads when imported
# where torch looks for it in each folder of sys.path
CUSPARSELT = "nvidia/cusparselt/lib/libcusparseLt.so.*[0-9]"
CLONE_FS = 0x200  # linux/sched.h: what threads share, the current folder among it


def ignore_foreign_settings() -> None:
    """From now on, import these modules and torch as if nothing of theirs were in the current
    folder.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds these modules as Python does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in REFUSALS:
            REFUSALS[name]()
        if name not in (*FILES, "torch"):
            return None
        if (spec := PathFinder.find_spec(name, path, target)) is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_without(module: ModuleType) -> None:
            with _without(FILES[name]) if name in FILES else _cusparselt_loaded():
                execute(module)
            if name == "numba.core.config":
                vars(module)["_config_fname"] = ""  # it looks for its file time and again

        spec.loader.exec_module = execute_without  # type: ignore[method-assign]
        return spec


@contextmanager
def _without(file: str) -> Iterator[None]:
    exists = os.path.exists
    os.path.exists = lambda path: path != file and exists(path)
    try:
        yield
    finally:
        os.path.exists = exists


@contextmanager
def _cusparselt_loaded() -> Iterator[None]:
    folders = [Path(folder) for folder in sys.path if os.path.isabs(folder)]
    if library := next((path for folder in folders for path in folder.glob(CUSPARSELT)), None):
        thread = Thread(target=_load_elsewhere, args=(str(library),))
        thread.start()
        thread.join()
    yield


def _load_elsewhere(library: str) -> None:
    """Load a library while "/" is the current folder, of this new thread alone where the system
    allows that.
    """
    import ctypes

    with suppress(OSError):  # torch will say the same of the library
        ctypes.CDLL(None).unshare(CLONE_FS)
        here = os.open(".", os.O_PATH)
        try:
            os.chdir("/")
            ctypes.CDLL(library)
        finally:
            os.fchdir(here)
            os.close(here)
