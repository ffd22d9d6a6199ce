"""Open an HDF5 file of unknown origin first in a process that may hang, crash or fill its memory
without harm.

HDF5 itself can be led into endless loops, crashes and huge allocations by a damaged file, and no
check in this process could stop it: it holds Python's lock meanwhile and hears no signal. So one
child process opens every such file before this one does, with the same checks, under limits on
processor time and memory. What passed there is then opened here.

The child starts with the first file (a quarter of a second), then takes some milliseconds for each,
and ends with this process, however that ends: its input closes; the kernel ends it on Linux; and
its limit on time is its own. On Windows it has no limits: the clock alone ends a child that hangs.
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
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

from spikesam.common.child import die_with_parent, python
from spikesam.common.disk import WINDOWS, readable
from spikesam.common.errors import InputError
from spikesam.recordings.errors import OtherFormatError, RasterError

# of processor time to open any file, and more for a large one, which has many chunks to look at
SECONDS = 2.0
BYTES_PER_SECOND = 100e6
MEMORY = 1 << 30  # beyond the size of the file
# seconds by the clock without an answer: somebody has stopped the child, or the machine stands
# still
PATIENCE = 20.0

KILLED, OUT_OF_TIME = (
    -getattr(signal, name, 1000) for name in ("SIGKILL", "SIGPROF")
)  # Windows has neither

_Ended = tuple[
    dict[str, Any] | None, int | None
]  # an answer, or the code of a child that ended without
_in_child = False


def inspect(source: Path | bytes, opener: str, file_name: str) -> None:
    """Open a file, or its content, by an `opener` such as "module:RasterReader" in the child
    process.

    What is found there, or its end, is raised as a RasterError that begins with `file_name`.
    """
    if _in_child:
        return
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    path = None if isinstance(source, bytes) else str(source)
    order = {"opener": opener, "path": path, "folder": os.getcwd(), "size": size, "file": file_name}
    for last_try in (False, True):
        answer, code = _inspector().ask(order, source if isinstance(source, bytes) else b"")
        if answer is not None:
            if answer["refused"] is not None:
                raise RasterError(answer["refused"])
            return
        if code == KILLED and not last_try:
            continue  # it was stopped, or somebody has killed it
        raise RasterError(
            f"{file_name}: opening it {_ending(code, size)}, expected an intact file; get another "
            "copy"
        )


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


class _Inspector(threading.Thread):
    """Asks the child process one question at a time, whichever thread has it.

    The kernel ends the child with the thread that started it: this one, which lives as long as this
    process.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.pid = os.getpid()
        self._questions: SimpleQueue[tuple[dict[str, Any], bytes, Future[_Ended]]] = SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except RuntimeError as error:  # Python's word for a system without room for a thread
            raise MemoryError(str(error)) from error
        atexit.register(self._close)

    def ask(self, order: dict[str, Any], content: bytes) -> _Ended:
        """The child's answer; None if it died of the question, and then the code with which it
        ended.
        """
        answer = Future[_Ended]()  # after Ctrl-C nobody waits for it
        self._questions.put((order, content, answer))
        return answer.result()

    def run(self) -> None:
        """Answer, until this process ends."""
        while True:
            order, content, answer = self._questions.get()
            try:
                if self._process is None or self._process.poll() is not None:
                    self._process = subprocess.Popen(
                        python("from spikesam.recordings.inspection import serve; serve()"),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                    )
                answer.set_result(_answer(self._process, order, content))
            except BaseException as error:
                answer.set_exception(error)
            del order, content, answer  # before the next question, which may be long in coming

    def _close(self) -> None:
        if (
            self.pid == os.getpid() and self._process is not None
        ):  # a process that was forked has no part in it
            self._process.kill()
            self._process.wait()


def _answer(process: subprocess.Popen[bytes], order: dict[str, Any], content: bytes) -> _Ended:
    assert process.stdin is not None
    assert process.stdout is not None
    answer = b""
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.write(content)
        process.stdin.flush()
        with _killed_after(PATIENCE + 10 * order["size"] / BYTES_PER_SECOND, process):
            answer = process.stdout.readline()
    if answer:
        return json.loads(answer), None
    with suppress(BrokenPipeError):  # of what it had not read yet
        process.communicate()
    return None, process.returncode


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
    waiting = select.poll()  # select() takes no number from 1024 on
    waiting.register(process.stdout, select.POLLIN)
    if not waiting.poll(seconds * 1000):
        process.kill()
    yield


_current: _Inspector | None = None
_starting = threading.Lock()


def _inspector() -> _Inspector:
    global _current
    with _starting:
        if (
            _current is None or _current.pid != os.getpid()
        ):  # a process that was forked has no thread but one
            _current = _Inspector()
        return _current


def serve() -> NoReturn:
    """Be the child: open what is asked for, one file after the other, until the input ends."""
    global _in_child
    _in_child = True
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the parent, whose end is the end of the input
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
            refused = (
                f"{order['file']}: needs more than {readable(MEMORY)} of memory to be opened, "
                "expected less"
            )
        if limited:
            signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps({"refused": refused}).encode() + b"\n")
        answers.flush()
    sys.exit()


def _limit_memory(size: int) -> None:
    """Let this process have `size` bytes more than it has, where the system counts them."""
    with suppress(
        ModuleNotFoundError, FileNotFoundError
    ):  # neither resource on Windows, nor /proc on macOS
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + size
        ceiling = hard if hard != resource.RLIM_INFINITY else wanted  # "infinity" is -1
        resource.setrlimit(resource.RLIMIT_AS, (min(wanted, ceiling), hard))
