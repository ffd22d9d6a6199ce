"""Start the worker process, send it samples, receive results, and end it, whatever happens in
between.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any, NoReturn

from spikesam.backends.base import BackendError
from spikesam.common.child import python

START = (
    300.0  # seconds to import Lava, compile the kernels and fork; usually 3, with cold caches 20
)
STOPPED = 10.0  # seconds the worker may stand still meanwhile because somebody stopped it
GRACE = 2.0  # seconds the worker has to end by itself

# What the worker runs first: it ties its life to this process before imports that take a second.
LAUNCH = """
from spikesam.common.child import die_with_parent
die_with_parent()
from runpy import run_module
run_module(sys.argv.pop(), run_name="__main__", alter_sys=True)
"""


class RemoteTracebackError(Exception):
    """Carries the traceback of another process as the cause of an error in this one."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Child:
    """A process, `python -m module`, in a session of its own, that makes nothing with a name in a
    file system.
    """

    def __init__(self, module: str, deadline: float) -> None:
        self.deadline = deadline
        self.log = _anonymous_file()
        self.data, data = socket.socketpair()
        self.control, control = Pipe()
        # The worker ends with the thread that starts it, so this is one that lives as long as this
        # object.
        self.starter = ThreadPoolExecutor(1)
        with data, control:
            self.process: subprocess.Popen[bytes] = self.starter.submit(
                subprocess.Popen,
                python(LAUNCH, str(data.fileno()), str(control.fileno()), module),
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                cwd=os.path.abspath(os.sep),
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                pass_fds=(data.fileno(), control.fileno()),
                start_new_session=True,
            ).result()

    def start(self, *order: Any) -> None:
        """Tell the worker what to do and wait until it does it."""
        try:
            self.control.send(order)
            self._wait_until_it_answers()
            if (answer := self.control.recv()) != "running":
                self._fail(answer)
        except (EOFError, OSError):
            self._fail()

    def _wait_until_it_answers(self) -> None:
        end, went_on = time.monotonic() + START, time.monotonic()
        while not self.control.poll(1.0):
            now = time.monotonic()
            if not is_stopped(self.process.pid):
                went_on = now
            if now - went_on > STOPPED:
                raise BackendError(
                    f"lava: the worker process was stopped for {STOPPED:g} s (SIGSTOP?) and given "
                    "up"
                )
            if now > end:
                raise BackendError(
                    f"lava: the simulation did not start within {START:g} s; is the machine out of "
                    "memory?"
                )

    def send(self, message: bytes | memoryview) -> None:
        """Send all of `message`."""
        self.data.settimeout(self.deadline)
        try:
            self.data.sendall(message)
        except TimeoutError:
            raise self._late("took no input") from None
        except OSError:
            self._fail()

    def receive(self, size: int) -> bytearray:
        """Receive exactly `size` bytes."""
        message = bytearray(size)
        unfilled = memoryview(message)
        end = time.monotonic() + self.deadline
        while unfilled:
            ready = wait([self.control, self.data], max(0.0, end - time.monotonic()))
            if not ready:
                raise self._late("finished no sample")
            if self.data not in ready:  # what was finished before a failure comes first
                self._fail()
            try:
                received = self.data.recv_into(unfilled)
            except OSError:
                self._fail()
            if not received:
                self._fail()
            unfilled = unfilled[received:]
        return message

    def finish(self) -> None:
        """Wait until all of Lava's processes have taken all their steps."""
        if not self.control.poll(self.deadline):
            raise self._late("did not take its last step")
        try:
            answer = self.control.recv()
        except (EOFError, OSError):
            self._fail()
        if answer != "done":
            self._fail(answer)

    def close(self) -> None:
        """End the worker and all its children."""
        self.control.close()
        self.data.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.starter.shutdown()
            self.log.close()

    def _late(self, event: str) -> BackendError:
        return BackendError(
            f"lava: {event} within the deadline of {self.deadline:g} s; "
            "raise the deadline, or use fewer timesteps or a smaller network"
        )

    def _fail(self, answer: tuple[str, str] | None = None) -> NoReturn:
        """Raise what the worker reported, its traceback as the cause, or how the worker ended."""
        with contextlib.suppress(EOFError, OSError):
            if not answer and self.control.poll(GRACE):
                answer = self.control.recv()
        if answer:
            message, details = answer
            raise BackendError(f"lava: {message}") from (
                RemoteTracebackError(details) if details else None
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        raise BackendError(
            f"lava: the worker process {describe_exit(self.process.returncode)}"
            + (last and f": {last}")
        ) from None


def _anonymous_file() -> IO[bytes]:
    """A file without a name, which is deleted when the last process that has it open ends."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("lava-log"), "w+b")
    return tempfile.TemporaryFile()


def is_stopped(pid: int) -> bool:
    """True of a process that stands still because of a signal; Linux alone can tell."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state in "Tt"


def describe_exit(code: int | None) -> str:
    """An exit code in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"ended early with exit code {code}"
