"""Child processes: they import what this process does, but nothing from the current folder, and end
with it.

The current folder holds data. A file in it that is called json.py must not run because a raster
beside it is opened. Yet `python -c` and `python -m` put the current folder first on the path of
imports, before Python's own library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Where the package spikesam lies.
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_LAUNCH = """
import sys
code, count = sys.argv[1], int(sys.argv[2])
path, sys.argv[1:] = sys.argv[3 : 3 + count], sys.argv[3 + count :]
sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
exec(code)
"""


def python(code: str, *arguments: str) -> list[str]:
    """The command that runs `code` in a new Python, for :mod:`subprocess`; `arguments` become
    ``sys.argv[1:]``.

    The child takes this process's path of imports, without the current folder; but where this
    project itself is from there, as with `python -m` in a clone, it stays.
    """
    _look_for_no_library_here()
    absolute = dict.fromkeys(os.path.abspath(folder) for folder in (*sys.path, SOURCE))
    path = [folder for folder in absolute if folder == SOURCE or not is_current(folder)]
    return [sys.executable, *_isolated(), "-c", _LAUNCH, code, str(len(path)), *path, *arguments]


@contextmanager
def isolated_spawning() -> Iterator[None]:
    """While the block runs, what `multiprocessing` spawns imports nothing of the current folder
    before it works.
    """
    from multiprocessing import util

    _look_for_no_library_here()
    original = util._args_from_interpreter_flags  # type: ignore[attr-defined]
    util._args_from_interpreter_flags = lambda: [*original(), *_isolated()]  # type: ignore[attr-defined]
    try:
        yield
    finally:
        util._args_from_interpreter_flags = original  # type: ignore[attr-defined]


def start_resource_tracker() -> None:
    """Start the process that removes what `multiprocessing` leaves behind, if it does not run yet.

    It writes nothing: after a worker was killed it would tell of each semaphore, with a traceback
    where that is gone already, behind the one line that says what became of the worker.
    """
    from multiprocessing import resource_tracker

    error_stream, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # a child takes the stream of this number
    try:
        resource_tracker.ensure_running()
    finally:
        os.dup2(error_stream, 2)
        os.close(error_stream)
        os.close(nowhere)


def die_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process as soon as the thread that started it ends, even while this
    process is stopped.

    Only Linux can; elsewhere, only `parent` matters: if the process that started this one ended
    already, so does this.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def _look_for_no_library_here() -> None:
    """Take out of LD_LIBRARY_PATH what stands for the current folder: OpenCV, once imported, ends
    it with a colon.
    """
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if absolute := ":".join(filter(os.path.isabs, folders)):
        os.environ["LD_LIBRARY_PATH"] = absolute
    else:
        os.environ.pop("LD_LIBRARY_PATH", None)


def _isolated() -> list[str]:
    """Options for a path without the current folder and PYTHONPATH."""
    return ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]


def is_current(folder: str) -> bool:
    """True of the current folder, if it is there."""
    with suppress(OSError):  # there is no python313.zip
        return os.path.samefile(folder, os.curdir)
    return False
