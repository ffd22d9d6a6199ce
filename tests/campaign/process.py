"""Commands of this project in forked child processes, as a user would type them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from .outcomes import Outcome
from .subject import Finding
from .watch import descendants, describe, end_tree

CLONE_NEWNS, MS_PRIVATE_REC = 0x20000, 0x44000  # linux/sched.h, linux/mount.h: MS_PRIVATE | MS_REC
T = TypeVar("T")

GRACE = 10.0  # seconds in which what a command started must end after it
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Parameters
    ----------
    code : its exit code, or minus the number of the signal that ended it
    error : what it wrote to standard error
    seconds : how long it ran
    """

    code: int
    error: str
    seconds: float

    @property
    def line(self) -> str:
        """Its last line on standard error."""
        return self.error.strip().rpartition("\n")[2]

    def finding(self, reports: bool = False) -> Finding | None:
        """What is wrong with how it ended; None if it is done, or refused in one clean line.

        Parameters
        ----------
        reports : whether the command writes lines of progress to standard error before
        """
        if self.code == 0:
            return None
        if self.code < 0:
            return Outcome.CRASH, f"ended by {signal.Signals(-self.code).name}: {self.line[:200]}"
        alone = self.error.count("\n") == 1 or (reports and "Traceback" not in self.error)
        if self.code != 2 or not alone or not self.line.startswith("error: "):
            return Outcome.EXCEPTION, f"exit code {self.code}: {self.error.strip()[-300:]!r}"
        if not self.line.isprintable() or len(self.line) > 2000:
            return Outcome.EXCEPTION, f"not one clean line: {self.line!r:.300}"
        return None


class Command:
    """A command that runs.

    Parameters
    ----------
    words : such as ["run", "--out", "a"]
    folder : to run in
    prepare : called in the new process before the command begins
    """

    def __init__(self, words: Sequence[str], folder: Path, prepare: Callable[[], object] = lambda: None) -> None:
        self._errors, writes = os.pipe()  # no file: there may be a limit on these
        os.set_blocking(self._errors, False)
        self._error = b""
        self._began = time.monotonic()
        self._ended: Ended | None = None
        if (pid := os.fork()) == 0:
            code = 1
            try:
                code = _run(words, folder, writes, prepare)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        self.pid = pid
        os.close(writes)

    def poll(self) -> Ended | None:
        """How it ended, if it has."""
        if self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            with contextlib.suppress(BlockingIOError):
                while more := os.read(self._errors, 1 << 16):
                    self._error += more
            if pid:
                code, error = os.waitstatus_to_exitcode(status), self._error.decode(errors="replace")
                self._ended = Ended(code, error, time.monotonic() - self._began)
                os.close(self._errors)
        return self._ended

    def wait(self, seconds: float = 600.0) -> Ended:
        """Wait for its end; one that takes longer is killed, and counts as ended by SIGKILL."""
        end = time.monotonic() + seconds
        while (ended := self.poll()) is None:
            if time.monotonic() > end:
                end_tree(self.pid)
            time.sleep(0.002)
        return ended

    def kill(self, everything: bool = False) -> None:
        """Kill it, or also all that it started."""
        if self.poll() is None:
            end_tree(self.pid) if everything else os.kill(self.pid, signal.SIGKILL)


def run(words: Sequence[str], folder: Path, prepare: Callable[[], object] = lambda: None) -> Ended:
    """Run a command to its end."""
    return Command(words, folder, prepare).wait()


def aside(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a child process of its own, so that what it starts is not taken for what a command left.

    Raises
    ------
    RuntimeError : if it raises
    """
    here, there = multiprocessing.Pipe(duplex=False)
    if (pid := os.fork()) == 0:
        try:
            there.send((function(*arguments), ""))
        except BaseException as error:
            there.send((None, repr(error)))
        finally:
            os._exit(0)
    there.close()
    result, error = here.recv()
    os.waitpid(pid, 0)
    if error:
        raise RuntimeError(error)
    return result


def left_running() -> str:
    """What still runs below this process after some grace, ended now; "" if nothing does. Needs `adopt_orphans`."""
    end = time.monotonic() + GRACE
    while found := _reap():
        if time.monotonic() > end:
            names = ", ".join(describe(pid) for pid in found)
            for pid in found:
                end_tree(pid)
            return f"{len(found)} processes still run: {names}"
        time.sleep(0.01)
    return ""


def _reap() -> list[int]:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return descendants(os.getpid())


def own_mounts() -> bool:
    """Give this process mounts of its own, and an empty /dev/shm; False where that is not allowed (it takes root)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_PRIVATE_REC, None):
        return False
    return not SHARED_MEMORY.is_dir() or mount_memory(SHARED_MEMORY, 2 << 30)


def mount_memory(folder: Path, size: int, again: bool = False) -> bool:
    """Mount a disk of so many bytes in memory, or change its size."""
    flags = 32 if again else 0  # MS_REMOUNT
    options = f"size={size}".encode()
    return not ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options)


def forget_exit_functions() -> None:
    """What the parent wanted done when it exits is not for this process to do."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
    atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]


def _run(words: Sequence[str], folder: Path, errors: int, prepare: Callable[[], object]) -> int:
    """The child's side."""
    from pipeline.cli.main import COMMANDS

    os.chdir(folder)
    for number, target in ((1, os.open(os.devnull, os.O_WRONLY)), (2, errors)):
        os.dup2(target, number)
    forget_exit_functions()
    sys.argv = ["spikesam", *words]
    main = import_module("paper.__main__" if words[0] == "paper" else COMMANDS[words[0]][0]).main
    prepare()
    try:
        code = main(list(words[1:]))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0
