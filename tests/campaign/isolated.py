"""A call in a child process, under limits on time and memory: whatever it does,
the test goes on.
"""

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, settings

from spikesam.common.errors import InputError
from tests.campaign.process import end_tree

LONG = not settings.default.derandomize
LINUX = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="watches processes as Linux shows them"
)
only_long = pytest.mark.skipif(not LONG, reason="takes minutes, with --hypothesis-profile=long")

PATIENCE = 3.0  # wall time per processor time, on a machine where others compute too
LONGEST = 2000  # characters of a refusal
ADDRESSES = 6 << 30  # bytes of address space beyond what a child begins with
CONTEXT = multiprocessing.get_context("forkserver")  # forks from a process without threads
CONTEXT.set_forkserver_preload(["tests.campaign.warm"])


class Refused(str):
    """The message of an InputError; exit code 2 is its like for a command."""


def cases(short: int, long: int) -> settings:
    """So many cases in a test run, and in a long one; with none, those of @example alone."""
    phases = settings.default.phases if LONG or short else [Phase.explicit]
    count = min(long, settings.default.max_examples) if LONG else max(1, short)
    return settings(max_examples=count, phases=phases, suppress_health_check=list(HealthCheck))


def attempt(
    function: Callable[..., Any], *arguments: Any, seconds: float = 10.0, memory: int = 1 << 30
) -> Any:
    """Call a function of a module in a child process: what it returns, or a `Refused` if it raises
    an InputError.

    That must be one line that is safe to print; any other end is an AssertionError. `seconds` are
    of processor time, thrice as many of the clock, `memory` is what it, with the largest of its
    children, may take beyond what it had.
    """
    return _attempt(function, arguments, seconds, memory)[0]


@dataclass
class Tally:
    """How the cases of a test ended."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    memory: int = 0


TALLIES: defaultdict[str, Tally] = defaultdict(Tally)  # by name of a test


def tried(
    function: Callable[..., Any], *arguments: Any, seconds: float = 10.0, memory: int = 1 << 30
) -> None:
    """Try a case: call a function that says how it ended, see :func:`attempt`; hypothesis and the
    tally count it.
    """
    tally, began = (
        TALLIES[os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].rpartition(" ")[0]],
        time.monotonic(),
    )
    try:
        found, peak = _attempt(function, arguments, seconds, memory)
        outcome = "refused" if isinstance(found, Refused) else found
        tally.memory = max(tally.memory, peak)
    except AssertionError:
        outcome = "failed"
        raise
    finally:
        tally.counts[outcome] += 1
        tally.seconds = max(tally.seconds, time.monotonic() - began)
    event(outcome)


def _attempt(
    function: Callable[..., Any], arguments: Any, seconds: float, memory: int
) -> tuple[Any, int]:
    scratch = Path(tempfile.mkdtemp(prefix="attempt-"))
    here, there = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_serve, args=(there, scratch, seconds, function, arguments))
    child.start()
    there.close()
    try:
        if not here.poll(PATIENCE * seconds):
            raise AssertionError(f"hang: it did not end within {PATIENCE * seconds:g} s")
        kind, value, peak = here.recv()
    except EOFError:
        child.join()
        if child.exitcode == -signal.SIGXCPU:
            raise AssertionError(
                f"hang: it took more than {seconds:g} s of processor time"
            ) from None
        raise AssertionError(f"crash: it ended with exit code {child.exitcode}") from None
    finally:
        end_tree(child.pid)
        child.join()
        here.close()
        shutil.rmtree(scratch, ignore_errors=True)
    if peak > memory:
        raise AssertionError(f"memory: it took {peak / 1e9:.2f} GB")
    if kind == "failed":
        raise AssertionError(value)
    return (clean(value) if kind == "refused" else value), peak


def clean(message: str) -> Refused:
    """A refusal must be one line that is safe to print."""
    if not message.isprintable() or not 0 < len(message) <= LONGEST:
        raise AssertionError(
            f"not one clean line of at most {LONGEST} characters: {message!r:.200}"
        )
    return Refused(message)


def _serve(
    answers: Connection, scratch: Path, seconds: float, function: Callable[..., Any], arguments: Any
) -> None:
    os.setsid()
    faulthandler.disable()
    pages = int(
        Path("/proc/self/statm").read_text().split()[0]
    )  # no child shall take all memory of the machine
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESSES, resource.RLIM_INFINITY)
    )
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000")
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    output = os.open(scratch.with_suffix(".output"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.unlink(scratch.with_suffix(".output"))
    for number, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(target, number)
    before = _peak(resource.RUSAGE_SELF)
    try:
        answer = "done", function(*arguments)
    except InputError as error:
        answer = "refused", str(error)
    except BaseException as error:
        answer = "failed", describe(error)
    taken = _peak(resource.RUSAGE_SELF) - before + max(0, _peak(resource.RUSAGE_CHILDREN) - before)
    answers.send((*answer, taken))


def _peak(who: int) -> int:
    return 1024 * resource.getrusage(who).ru_maxrss


def describe(error: BaseException) -> str:
    """Type, message, and the innermost line of this project."""
    lines = [
        line
        for line in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in line.filename
    ]
    where = f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else "?"
    return f"{type(error).__name__}: {error!s:.600} ({where})"
