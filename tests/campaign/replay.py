"""Cases that were kept: tried again, and made smaller."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from .minimise import Patch, minimised, patched, patches
from .outcomes import Outcome, Result
from .runner import Order, Runner
from .subject import PLAN, Finding, Subject, load_plan, save_plan

REGRESSIONS = Path(__file__).with_name("regressions")


class Again(Subject):
    """Cases in folders, as they were kept; the trial's number is the place in the list."""

    batch = 1

    def __init__(self, subject: Subject, cases: Iterable[Path]) -> None:
        self.name, self.seconds, self.memory = subject.name, subject.seconds, subject.memory
        self.modules, self._subject, self._cases = subject.modules, subject, list(cases)

    def build(self, base: Path) -> None:
        """A kept case holds all that it needs."""

    def make(self, base: Path, case: Path, random: object, number: int) -> str:
        """Copy it."""
        shutil.copytree(self._cases[number], case, dirs_exist_ok=True)
        return self._cases[number].name

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        return self._subject.attempt(base, case)


def again(subject: Subject, cases: Iterable[Path], folder: Path, jobs: int = 1) -> list[Result]:
    """Try kept cases of a file format again; `folder` is for scratch files and must be empty."""
    subject = Again(subject, cases)
    runner = Runner(folder, 0, jobs, lambda result, case: None)
    runner.build([subject])
    count = len(subject._cases)
    return sorted(runner.run(iter([Order(subject, [n]) for n in range(count)])), key=lambda result: result.number)


def minimise(subject: Subject, kept: Path, original: bytes, folder: Path, to: Path) -> int:
    """Make the damage of a kept case as small as possible while it ends in the same outcome.

    Parameters
    ----------
    kept : folder of the failure
    original : the good file that was damaged
    folder : for scratch files
    to : folder to make with the smaller case

    Returns
    -------
    the number of bytes that still differ from the original
    """
    plan = load_plan(kept)
    wanted = Outcome(json.loads((kept / "failure.json").read_text())["outcome"])
    changes = patches(original, (kept / plan["file"]).read_bytes())
    count = 0

    def fails(some: list[Patch]) -> bool:
        nonlocal count
        count += 1
        case = folder / f"smaller-{count}"
        case.mkdir(parents=True)
        (case / plan["file"]).write_bytes(patched(original, some))
        shutil.copy(kept / PLAN, case / PLAN)
        return again(subject, [case], folder / f"tried-{count}")[0].outcome is wanted

    smallest = minimised(changes, fails)
    to.mkdir(parents=True)
    (to / plan["file"]).write_bytes(patched(original, smallest))
    save_plan(to, plan)
    return sum(len(new) for _, new in smallest)
