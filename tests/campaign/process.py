"""Commands of this project in forked child processes, as a user would type them; and processes seen
from outside.
"""

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
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeVar

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
CLONE_NEWNS, MS_REMOUNT, MS_PRIVATE_REC = (
    0x20000,
    32,
    0x44000,
)  # linux/sched.h, linux/mount.h: MS_PRIVATE | MS_REC
GRACE = 10.0  # seconds in which what a command started must end after it
SHARED_MEMORY = Path("/dev/shm")
T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the number of a signal; and what it wrote."""

    code: int
    error: str
    seconds: float = 0.0
    output: str = ""

    @property
    def line(self) -> str:
        """Its last line on standard error."""
        return self.error.strip().rpartition("\n")[2]

    def check(self, reports: bool = False) -> None:
        """It must be done, or refused in one clean line; a command that `reports` may write lines
        before that one.
        """
        if self.code:
            assert self.code > 0, f"crash: {signal.Signals(-self.code).name}: {self.line[:200]}"
            alone = self.error.count("\n") == 1 or (reports and "Traceback" not in self.error)
            fine = self.code == 2 and alone and self.line.startswith("error: ")
            assert fine, f"exit code {self.code}: {self.error.strip()[-300:]!r}"
            assert self.line.isprintable() and len(self.line) <= 2000, (
                f"not one clean line: {self.line!r:.300}"
            )


class Command:
    """A command, as a line or its words, in `folder`; `prepare` is called in its process before it
    begins.
    """

    def __init__(
        self, line: str | Sequence[str], folder: Path, prepare: Callable[[], object] = lambda: None
    ) -> None:
        words = line.split() if isinstance(line, str) else line
        pipes = os.pipe(), os.pipe()  # no files: there may be a limit on these
        self._written = {reads: b"" for reads, _ in pipes}  # standard output, standard error
        for reads in self._written:
            os.set_blocking(reads, False)
        self._began = time.monotonic()
        self._ended: Ended | None = None
        self.pid = forked(lambda: _run(words, folder, [writes for _, writes in pipes], prepare))
        for _, writes in pipes:
            os.close(writes)

    def poll(self) -> Ended | None:
        """How it ended, if it has."""
        if self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            for reads in self._written:
                with contextlib.suppress(BlockingIOError):
                    while more := os.read(reads, 1 << 16):
                        self._written[reads] += more
            if pid:
                output, error = (
                    written.decode(errors="replace") for written in self._written.values()
                )
                self._ended = Ended(
                    os.waitstatus_to_exitcode(status), error, time.monotonic() - self._began, output
                )
                for reads in self._written:
                    os.close(reads)
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


def run(
    line: str | Sequence[str], folder: Path, prepare: Callable[[], object] = lambda: None
) -> Ended:
    """Run a command to its end."""
    return Command(line, folder, prepare).wait()


def forked(function: Callable[[], int | None]) -> int:
    """Call a function in a child process, which ends with what it returns as its exit code."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            code = function() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def aside(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a child process of its own, so that what it starts is not taken for what a
    command left.
    """
    here, there = multiprocessing.Pipe(duplex=False)

    def answer() -> None:
        try:
            there.send((function(*arguments), ""))
        except BaseException as error:
            there.send((None, repr(error)))

    pid = forked(answer)
    there.close()
    result, error = here.recv()
    os.waitpid(pid, 0)
    assert not error, error
    return result


def main_of(command: str) -> Callable[[Sequence[str]], Any]:
    """What runs a command; a public function of Python is one, too."""
    from tests.campaign.calls import CALLS

    if command in CALLS:
        return CALLS[command]
    return import_module(
        "paper.__main__" if command == "paper" else f"spikesam.pipeline.{command}"
    ).main


def _run(
    words: Sequence[str], folder: Path, writes: Sequence[int], prepare: Callable[[], object]
) -> int:
    """The child's side of a command."""
    os.chdir(folder)
    for number, target in enumerate(writes, start=1):
        os.dup2(target, number)
    atexit._clear()  # what the parent wanted done when it exits is not for this process to do
    weakref.finalize._registry.clear()
    atexit.register(weakref.finalize._exitfunc)
    atexit.register(multiprocessing.util._exit_function)
    tracker = resource_tracker._resource_tracker  # that of the fork server outlives the command
    tracker._fd = tracker._pid = None
    multiprocessing.set_start_method(
        None, force=True
    )  # that of the fork server is not the one that a command has
    sys.argv = ["spikesam", *words]
    main = main_of(words[0])
    prepare()
    try:
        code = main(list(words[1:]))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that :func:`descendants`
    still finds it.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on; those that ended are left out."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return [
        process for child in found for process in (child, *descendants(child)) if not _over(process)
    ]


def started(pid: int) -> list[int]:
    """The descendants of a process that run a program by now: until then, a child is a copy of the
    process.
    """
    return [
        child
        for child in descendants(pid)
        if describe(child).split()[1:] != describe(pid).split()[1:]
    ]


def _over(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
            in "ZX"
        )
    return True


def end_tree(pid: int) -> None:
    """Kill a process and all its descendants; the process itself is stopped first, so that it
    starts no more.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for process in (*descendants(pid), pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def describe(pid: int) -> str:
    """Its command line, shortened."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return f"{pid} {' '.join(b' '.join(words).decode(errors='replace').split())[:300]}"
    return str(pid)


def nothing_runs() -> None:
    """All that this process started must have ended, after some grace;
    needs :func:`adopt_orphans`.
    """
    end = time.monotonic() + GRACE
    while found := _alive():
        names = ", ".join(map(describe, found))
        assert time.monotonic() < end, f"{len(found)} processes still run: {names}"
        time.sleep(0.01)


def _alive() -> list[int]:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return descendants(os.getpid())


def own_mounts() -> bool:
    """Give this process mounts of its own, and an empty /dev/shm; False where that is not allowed
    (it takes root).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_PRIVATE_REC, None):
        return False
    return not SHARED_MEMORY.is_dir() or mount_memory(SHARED_MEMORY, 2 << 30)


def mount_memory(folder: Path, size: int, again: bool = False) -> bool:
    """Mount a disk of so many bytes in memory, or change its size."""
    options = f"size={size}".encode()
    flags = MS_REMOUNT if again else 0
    return not ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options)
