"""Trials in limited child processes, a few at a time: this process only forks, watches and counts."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from .outcomes import Outcome, Result
from .subject import Finding, Subject
from .trial import case_folder, serve
from .watch import Memory, end_tree, processor_seconds, reap

PATIENCE = 3.0  # wall time per processor time, on a machine where others compute too
LOOK = 0.02  # seconds between two looks at a child's memory


@dataclass
class Order:
    """Trials of one subject, to be conducted by one child after the other until none is left."""

    subject: Subject
    numbers: list[int]


@dataclass
class Child:
    """A child process, and the trial that it is at."""

    order: Order
    pid: int
    pipe: Connection
    scratch: Path
    memory: Memory
    number: int | None = None
    done: str = ""
    began: float = field(default_factory=time.monotonic)
    processor: float = 0.0
    look_at: float = 0.0


class Runner:
    """Conducts trials.

    Parameters
    ----------
    folder : of materials (`base`) and scratch files
    seed : of every trial
    jobs : how many children at a time
    keep : called with the result of every failed trial and the folder of its files
    """

    def __init__(self, folder: Path, seed: int, jobs: int, keep: Callable[[Result, Path], None]) -> None:
        self.folder, self.seed, self.jobs, self.keep = folder, seed, jobs, keep
        self._children: list[Child] = []
        self._count = 0

    def base(self, subject: Subject) -> Path:
        """Where the materials of a subject lie."""
        return self.folder / "base" / subject.name

    def build(self, subjects: Sequence[Subject]) -> None:
        """Import what is needed, and make the materials of every subject in a child of its own."""
        for subject in subjects:
            for module in subject.modules:
                import_module(module)
        gc.collect()
        gc.freeze()  # children shall not copy these pages
        for subject in subjects:
            base = self.base(subject)
            base.mkdir(parents=True)
            if (pid := os.fork()) == 0:
                code = 1
                try:
                    subject.build(base)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            if (code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])) != 0:
                raise RuntimeError(f"{subject.name}: its materials could not be made (exit code {code})")

    def run(self, orders: Iterator[Order]) -> Iterator[Result]:
        """Conduct trials until `orders` end; yields results as they come."""
        ended = False
        try:
            while self._children or not ended:
                while not ended and len(self._children) < self.jobs:
                    order = next(orders, None)
                    if order is None:
                        ended = True
                    else:
                        self._start(order)
                reap(keep={child.pid for child in self._children})
                ready = wait([child.pipe for child in self._children], LOOK)
                for child in list(self._children):
                    yield from self._attend(child, child.pipe in ready)
        finally:
            for child in self._children:
                end_tree(child.pid)
                os.waitpid(child.pid, 0)
            self._children = []

    def _start(self, order: Order) -> None:
        self._count += 1
        scratch = self.folder / "scratch" / str(self._count)
        here, there = Pipe()
        if (pid := os.fork()) == 0:
            try:
                here.close()
                for other in self._children:
                    other.pipe.close()
                serve(order.subject, self.base(order.subject), scratch, self.seed, order.numbers, there)
            finally:
                os._exit(1)
        there.close()
        self._children.append(Child(order, pid, here, scratch, Memory(pid)))

    def _attend(self, child: Child, ready: bool) -> Iterator[Result]:
        if ready:
            try:
                kind, number, what = child.pipe.recv()
            except (EOFError, OSError):
                yield from self._ended(child)
                return
            if kind == "made":
                child.number, child.done = number, what
                child.memory.begin()
                child.began, child.processor = time.monotonic(), processor_seconds(child.pid)
                with contextlib.suppress(OSError):
                    child.pipe.send("go")
            else:
                yield self._result(child, what)
            return
        limits = child.order.subject
        now = time.monotonic()
        if now < child.look_at:
            return
        memory = child.memory.look()
        child.look_at = now + max(LOOK, 10 * (time.monotonic() - now))  # looking at many processes takes its time
        if memory > limits.memory:
            yield from self._stop(child, Outcome.MEMORY, f"took more than {limits.memory / 1e9:.2f} GB")
        elif now - child.began > limits.seconds:
            used = processor_seconds(child.pid) - child.processor
            if used > limits.seconds or now - child.began > PATIENCE * limits.seconds:
                text = f"did not end within {limits.seconds:g} s ({used:.0f} s of processor, {now - child.began:.0f} s)"
                yield from self._stop(child, Outcome.HANG, text)

    def _stop(self, child: Child, outcome: Outcome, message: str) -> Iterator[Result]:
        end_tree(child.pid)
        os.waitpid(child.pid, 0)
        yield from self._next(child, (outcome, message))

    def _ended(self, child: Child) -> Iterator[Result]:
        """The child closed its pipe: all trials are done, or it died."""
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        if code == 0:
            self._forget(child)
            return
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        yield from self._next(child, (Outcome.CRASH if code < 0 else Outcome.EXCEPTION, how))

    def _next(self, child: Child, found: Finding) -> Iterator[Result]:
        """After a child has died of a trial, another goes on with the next."""
        if child.number is None:
            child.number, child.done = child.order.numbers[0], "could not be made"
        yield self._result(child, found)
        self._forget(child)
        if child.order.numbers:
            self._start(child.order)

    def _result(self, child: Child, found: Finding) -> Result:
        assert child.number is not None
        child.memory.look()
        result = Result(
            child.order.subject.name,
            child.number,
            self.seed,
            child.done,
            *found,
            seconds=time.monotonic() - child.began,
            memory=child.memory.peak,
        )
        child.order.numbers = [number for number in child.order.numbers if number > child.number]
        child.number, child.began = None, time.monotonic()
        if result.outcome.failed:
            self.keep(result, case_folder(child.scratch, result.number))
        return result

    def _forget(self, child: Child) -> None:
        child.pipe.close()
        self._children.remove(child)
        shutil.rmtree(child.scratch, ignore_errors=True)
