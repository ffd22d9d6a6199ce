"""Cases that were kept, tried again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from .outcomes import Result
from .runner import Order, Runner
from .subject import Finding, Subject

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
