"""One trial, in the child process that it may bring down."""

from __future__ import annotations

import faulthandler
import os
import resource
import shutil
import sys
import traceback
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from recordings.errors import InputError

from .outcomes import Outcome
from .subject import Finding, Subject

LONGEST = 2000  # characters of a refusal
ADDRESSES = 6 << 30  # bytes of address space beyond what a child begins with


def conduct(subject: Subject, base: Path, case: Path) -> Finding:
    """Try a case that was made; exceptions become outcomes."""
    try:
        return subject.attempt(base, case)
    except InputError as error:
        return refusal(str(error))
    except BaseException as error:
        return Outcome.EXCEPTION, describe(error)


def refusal(message: str) -> Finding:
    """A refusal must be one line that is safe to print."""
    if not message.isprintable() or not 0 < len(message) <= LONGEST:
        return (
            Outcome.EXCEPTION,
            f"a refusal that is not one clean line of at most {LONGEST} characters: {message!r:.200}",
        )
    return Outcome.REFUSED, message


def describe(error: BaseException) -> str:
    """Type, message, and the innermost line of this project."""
    lines = [line for line in traceback.extract_tb(error.__traceback__) if "site-packages" not in line.filename]
    where = f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else "?"
    return f"{type(error).__name__}: {error!s:.200} ({where})"


def serve(subject: Subject, base: Path, scratch: Path, seed: int, numbers: Iterable[int], results: Connection) -> None:
    """Conduct trials one after the other, and say when each begins and how it ends; does not return."""
    os.setsid()
    faulthandler.disable()
    protect_machine()
    scratch.mkdir(parents=True)
    temporary = scratch / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    _redirect(scratch / "output")
    for number in numbers:
        case = case_folder(scratch, number)
        case.mkdir()
        try:
            done = subject.make(base, case, Random(f"{seed} {subject.name} {number}"), number)
        except BaseException as error:
            results.send(("made", number, "could not be made"))
            results.send(("ended", number, (Outcome.EXCEPTION, f"making the case failed: {describe(error)}")))
            continue
        results.send(("made", number, done))
        results.recv()  # whoever watches is ready
        found = conduct(subject, base, case)
        results.send(("ended", number, found))
        if not found[0].failed:
            shutil.rmtree(case, ignore_errors=True)
    results.close()
    sys.stdout.flush()
    os._exit(0)


def protect_machine() -> None:
    """Let no child take all memory between two looks at it; the limit itself is watched from outside, see runner.py."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000")


def case_folder(scratch: Path, number: int) -> Path:
    """Where the files of a trial lie."""
    return scratch / f"case-{number}"


def _redirect(output: Path) -> None:
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    for number, target in ((0, null), (1, handle), (2, handle)):
        os.dup2(target, number)
