"""What is tried: a subject makes cases out of its materials, and tries each."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from .outcomes import Outcome

Finding = tuple[Outcome, str]
Content = dict[str, str]  # what was read, part by part, as texts or digests
Mutation = Callable[
    [Random, bytes, bytes], tuple[bytes, str]
]  # a file, another file -> the damaged file, what was done

PLAN = "case.json"


class Subject(ABC):
    """One row of the table of results.

    Attributes
    ----------
    name : on the command line and in the table
    weight : its share of the trials, beside those of the others
    seconds : of processor time that one trial may take; thrice as many of wall time
    memory : bytes that one trial may take
    batch : how many trials run in one child process, one after the other
    modules : to be imported before child processes are forked; none may start a thread
    """

    name: str
    weight: float = 1.0
    seconds: float = 10.0
    memory: int = 1 << 30
    batch: int = 1
    modules: tuple[str, ...] = ()

    @abstractmethod
    def build(self, base: Path) -> None:
        """Make the materials of all trials in a new folder; called once, in a child process."""

    @abstractmethod
    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """Make one case in a new folder; says what was done."""

    @abstractmethod
    def attempt(self, base: Path, case: Path) -> Finding:
        """Try the case. InputError means refused; any other exception is a failure."""


class FileSubject(Subject):
    """A file format: one of a few good files is damaged, then read.

    Attributes
    ----------
    checksummed : whether the format has digests, so that a difference must be noticed
    """

    checksummed: bool = True
    batch = 40

    @abstractmethod
    def originals(self, base: Path) -> list[Path]:
        """Make good files in a folder."""

    @abstractmethod
    def read(self, path: Path) -> Content:
        """Read everything that the program reads of such a file."""

    @abstractmethod
    def mutate(self, path: Path, random: Random, number: int, other: bytes) -> tuple[str, bool]:
        """Damage a file in place; says what was done, and whether the result is meant to be another valid file."""

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        good = {path.name: self.read(path) for path in self.originals(base)}
        for name, content in good.items():
            assert self.read(base / name) == content, f"{self.name}: {name} reads differently the second time"
        (base / "good.json").write_text(json.dumps(good))

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        good = json.loads((base / "good.json").read_text())
        name, other = random.choice(sorted(good)), random.choice(sorted(good))
        path = case / f"input{Path(name).suffix}"
        path.write_bytes((base / name).read_bytes())
        done, valid = self.mutate(path, random, number, (base / other).read_bytes())
        save_plan(case, {"file": path.name, "of": name, "valid": valid, "good": good[name], "all": list(good.values())})
        return f"{name}: {done}"

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        plan = load_plan(case)
        found = self.read(case / plan["file"])
        whole = found in plan["all"]  # two good files of equal beginnings, spliced there, are one of them
        return self.compare(found, plan["good"], plan["valid"] or whole)

    def compare(self, found: Mapping[str, str], good: Mapping[str, str], valid: bool) -> Finding:
        """Say how what was read differs from the original."""
        differ = [key for key in sorted(found.keys() | good.keys()) if found.get(key) != good.get(key)]
        if not differ:
            return Outcome.IDENTICAL, ""
        kind = Outcome.OTHER if valid or not self.checksummed else Outcome.WRONG
        key = differ[0]
        return kind, f"read without complaint, but {', '.join(differ)} differ: {found.get(key)!r:.80}"


def save_plan(case: Path, plan: dict[str, Any]) -> None:
    """Keep what an attempt must know beside the files of its case."""
    (case / PLAN).write_text(json.dumps(plan))


def load_plan(case: Path) -> dict[str, Any]:
    """Undo :func:`save_plan`."""
    plan: dict[str, Any] = json.loads((case / PLAN).read_text())
    return plan
