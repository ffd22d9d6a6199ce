"""A run on many machines, simulated: machines take ranges, fail and come back; then one machine merges.

A discrete-event simulation. Each thread of a machine takes the next range that waits, computes, then waits for the disk
that all share, which writes one range after another. A machine that fails loses the ranges it works on; another one
takes them, a few times each, as `pipeline/engine/cluster.py` does. Ranges that failed every time are started again, as
--resume does, when all others are finished. What a scheduler needs for itself is not simulated.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

HOUR = 3600.0  # seconds


@dataclass(frozen=True)
class Machines:
    """What computes.

    Parameters
    ----------
    count, threads : machines, and ranges that each works on at a time
    failures : of one machine in an hour, while it works
    restart : seconds until it works again
    attempts : of one range before it is put off
    bandwidth : bytes per second of the disk that all share
    """

    count: int
    threads: int
    failures: float = 0.0
    restart: float = 300.0
    attempts: int = 3
    bandwidth: float = float("inf")


@dataclass(frozen=True)
class Load:
    """What is computed.

    Parameters
    ----------
    ranges : how many
    seconds : mean of one on one thread
    spread : standard deviation of that, relative to the mean
    size : bytes that a range writes
    merged_ranges, merged_bytes : that one machine merges per second; each takes its time
    """

    ranges: int
    seconds: float
    spread: float = 0.0
    size: float = 0.0
    merged_ranges: float = float("inf")
    merged_bytes: float = float("inf")

    def durations(self, seed: int) -> list[float]:
        """Seconds of every range, whoever computes it: gamma-distributed."""
        if not self.spread:
            return [self.seconds] * self.ranges
        shape = self.spread**-2
        return np.random.default_rng(seed).gamma(shape, self.seconds / shape, self.ranges).tolist()

    @property
    def merging(self) -> float:
        """Seconds that merging takes."""
        return self.ranges / self.merged_ranges + self.ranges * self.size / self.merged_bytes


@dataclass(frozen=True)
class Outcome:
    """What happened.

    Parameters
    ----------
    computing, merging : seconds, one after the other
    finished : times that each range was finished
    lost : computations that failures ended
    failures : of machines
    rounds : how often the run was started, 1 unless ranges failed on all attempts
    """

    computing: float
    merging: float
    finished: tuple[int, ...]
    lost: int
    failures: int
    rounds: int


def run(load: Load, machines: Machines, seed: int = 0) -> Outcome:
    """Simulate."""
    return _Simulation(load, machines, seed).run()


class _Simulation:
    def __init__(self, load: Load, machines: Machines, seed: int) -> None:
        self.load, self.machines = load, machines
        self.durations = load.durations(seed)
        self.chance = np.random.default_rng((seed, 1))
        self.events: list[tuple[float, int, str, int, int]] = []  # when, order, what, machine, range
        self.order = 0
        self.waiting, self.put_off = deque(range(load.ranges)), list[int]()
        self.working: list[dict[int, int]] = [{} for _ in range(machines.count)]  # range -> order of its next event
        self.up = [True] * machines.count
        self.attempts, self.finished = [0] * load.ranges, [0] * load.ranges
        self.disk_free = 0.0
        self.left, self.lost, self.failures, self.rounds = load.ranges, 0, 0, 1

    def run(self) -> Outcome:
        for machine in range(self.machines.count):
            self._start(0.0, machine)
        now = 0.0
        while self.left:
            now, order, what, machine, number = heapq.heappop(self.events)
            if what == "failure":
                self._fail(now, machine)
            elif what == "restart":
                self.up[machine] = True
                self._start(now, machine)
            elif self.working[machine].get(number) == order:  # or else the machine failed meanwhile
                if what == "computed":
                    self.disk_free = max(now, self.disk_free) + self.load.size / self.machines.bandwidth
                    self.working[machine][number] = self._at(self.disk_free, "written", machine, number)
                else:
                    self._finish(now, machine, number)
        return Outcome(now, self.load.merging, tuple(self.finished), self.lost, self.failures, self.rounds)

    def _at(self, when: float, what: str, machine: int, number: int = -1) -> int:
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what, machine, number))
        return self.order

    def _start(self, now: float, machine: int) -> None:
        """A machine begins, or begins again: it will fail at some time, and takes work."""
        if self.machines.failures:
            self._at(now + self.chance.exponential(HOUR / self.machines.failures), "failure", machine)
        self._take(now, machine)

    def _take(self, now: float, machine: int) -> None:
        """Give work to every thread of a machine that has none."""
        working = self.working[machine]
        while self.up[machine] and self.waiting and len(working) < self.machines.threads:
            number = self.waiting.popleft()
            working[number] = self._at(now + self.durations[number], "computed", machine, number)

    def _finish(self, now: float, machine: int, number: int) -> None:
        del self.working[machine][number]
        self.finished[number] += 1
        self.left -= 1
        if self.left == len(self.put_off):
            self._resume(now)
        else:
            self._take(now, machine)

    def _fail(self, now: float, machine: int) -> None:
        self.failures += 1
        self.up[machine] = False
        self._at(now + self.machines.restart, "restart", machine)
        lost, self.working[machine] = self.working[machine], {}
        for number in lost:
            self.lost += 1
            self.attempts[number] += 1
            (self.put_off if self.attempts[number] == self.machines.attempts else self.waiting).append(number)
        if self.left == len(self.put_off):
            self._resume(now)
        else:
            self._take_all(now)

    def _resume(self, now: float) -> None:
        """Start again what failed every time."""
        if not self.put_off:
            return
        self.rounds += 1
        for number in self.put_off:
            self.attempts[number] = 0
        self.waiting.extend(self.put_off)
        self.put_off = []
        self._take_all(now)

    def _take_all(self, now: float) -> None:
        for machine in range(self.machines.count):
            self._take(now, machine)
