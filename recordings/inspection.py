"""Open an HDF5 file of unknown origin first in a process that may hang, crash or fill its memory without harm.

HDF5 itself can be led into endless loops, crashes and huge allocations by a damaged file, and no check in this process
could stop it: it holds Python's lock meanwhile and hears no signal. So one child process opens every such file before
this one does, with the same checks, under limits on processor time and memory. What passed there is then opened here.

The child starts with the first file (a quarter of a second), then takes some milliseconds for each, and ends with this
process, however that ends: its input closes; the kernel ends it on Linux; and its limit on time is its own. On
Windows it has no limits: the clock alone ends a child that hangs.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from spikesam.recordings.child import die_with_parent, python
from spikesam.recordings.disk import WINDOWS, readable
from spikesam.recordings.errors import InputError, OtherFormatError, RasterError

SECONDS = 2.0  # of processor time to open any file, and more for a large one, which has many chunks to look at
BYTES_PER_SECOND = 100e6
MEMORY = 1 << 30  # beyond the size of the file
PATIENCE = 20.0  # seconds by the clock without an answer: somebody has stopped the child, or the machine stands still

KILLED, OUT_OF_TIME = (-getattr(signal, name, 1000) for name in ("SIGKILL", "SIGPROF"))  # Windows has neither

_in_child = False


def inspect(source: Path | bytes, opener: str, where: str) -> None:
    """Open a file, or its content, in the child process; raise there found, or the child's end, as a RasterError.

    Parameters
    ----------
    opener : module and name of what opens it, such as "spikesam.recordings.raster.reader:RasterReader"
    where : what an error message begins with
    """
    if _in_child:
        return
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    path = None if isinstance(source, bytes) else str(source)
    order = {"opener": opener, "path": path, "folder": os.getcwd(), "size": size, "where": where}
    for last_try in (False, True):
        answer, code = _inspector().ask(order, source if isinstance(source, bytes) else b"")
        if answer is not None:
            if answer["refused"] is not None:
                raise RasterError(answer["refused"])
            return
        if code == KILLED and not last_try:
            continue  # it was stopped, or its parent thread has ended, which ends the child, too
        raise RasterError(f"{where}: opening it {_ending(code, size)}, expected an intact file; get another copy")


def allowed_seconds(size: int) -> float:
    """Processor time that opening a file of `size` bytes may take."""
    return SECONDS + size / BYTES_PER_SECOND


def _ending(code: int | None, size: int) -> str:
    if code == OUT_OF_TIME:
        return f"took more than {allowed_seconds(size):.0f} s of processor time"
    if code == KILLED:
        return "ended without an answer (is the machine out of memory?)"
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return f"crashed the library that reads it ({how})"


class _Inspector:
    """The child process seen from outside; one question at a time, whichever thread asks."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            python("from spikesam.recordings.inspection import serve; serve()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @property
    def alive(self) -> bool:
        """Whether it belongs to this process, and can be asked."""
        return self.pid == os.getpid() and self._process.poll() is None

    def ask(self, order: dict[str, Any], content: bytes) -> tuple[dict[str, Any] | None, int | None]:
        """The child's answer; None if it died of the question, and then the code with which it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.write(content)
                self._process.stdin.flush()
                with _killed_after(PATIENCE + 10 * order["size"] / BYTES_PER_SECOND, self._process):
                    answer = self._process.stdout.readline()
            except BrokenPipeError:
                answer = b""
            except BaseException:  # Ctrl-C: an answer that nobody read must not be taken for the next one's
                self.close()
                raise
            if not answer:
                code = self._process.wait()
                self.close()
                return None, code
            return json.loads(answer), None

    def close(self) -> None:
        """End the child; in a process that was forked from its parent, which has it still, do nothing."""
        if self.pid != os.getpid():
            return
        self._process.kill()
        with suppress(BrokenPipeError):  # of what it had not read yet
            self._process.communicate()


@contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process that answers nothing for so long; the block reads its answer."""
    if WINDOWS:  # where no pipe can be waited for
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        return
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        process.kill()
    yield


_current: _Inspector | None = None
_starting = threading.Lock()


def _inspector() -> _Inspector:
    global _current
    with _starting:
        if _current is None or not _current.alive:
            _current = _Inspector()
            atexit.register(_current.close)
        return _current


def serve() -> NoReturn:
    """What the child does: open what is asked for, one file after the other, until the input ends."""
    global _in_child
    _in_child = True
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is the end of the input
    if limited := hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
    die_with_parent()
    while line := orders.readline():
        order = json.loads(line)
        size, refused = order["size"], None
        content = orders.read(size) if order["path"] is None else Path(order["path"])
        module, _, name = order["opener"].partition(":")
        opener = getattr(import_module(module), name)
        os.chdir(order["folder"])
        _limit_memory(MEMORY + size)
        if limited:
            signal.setitimer(signal.ITIMER_PROF, allowed_seconds(size))
        try:
            opener(content)
        except OtherFormatError:
            pass  # HDF5 could open it; this process's parent will say the same
        except InputError as error:
            refused = str(error)
        except MemoryError:
            refused = f"{order['where']}: needs more than {readable(MEMORY)} of memory to be opened, expected less"
        if limited:
            signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps({"refused": refused}).encode() + b"\n")
        answers.flush()
    sys.exit()


def _limit_memory(size: int) -> None:
    """Let this process have `size` bytes more than it has, where the system counts them."""
    with suppress(ModuleNotFoundError, FileNotFoundError):  # neither resource on Windows, nor /proc on macOS
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, hard))
