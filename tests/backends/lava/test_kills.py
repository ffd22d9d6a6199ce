"""Whatever is killed, in whatever order and at whatever moment, no process and no shared memory is
left.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("lava", reason="lava-nc is not installed")
from tests.backends.lava.machine import SECONDS, Machine, parent

START_UP = 1.5  # seconds that a worker takes, or a little longer


class Simulation:
    """A command that simulates until it is killed."""

    def __init__(self, machine: Machine, *arguments: str) -> None:
        self.machine = machine
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.backends.lava.simulate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def worker(self) -> int:
        """Wait for the worker to start."""
        end = time.monotonic() + 30 * SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):  # it ended meanwhile
                for pid in self.machine.processes():
                    if parent(pid) == self.process.pid:
                        return pid
            time.sleep(0.005)
        raise TimeoutError

    def run(self, samples: int = 1) -> None:
        """Wait until so many samples are finished."""
        for _ in range(samples):
            assert self.process.stdout.readline() == "sample\n"

    def end(self) -> str:
        """Wait for the command to end; what it said last."""
        return self.process.communicate(timeout=SECONDS)[1]


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # an earlier kill ended it, too
            os.kill(pid, number)


def reach(simulation: Simulation, moment: str, chance: random.Random) -> int:
    """Let a simulation come to a moment; returns its worker."""
    worker = simulation.worker()
    if moment == "running":
        simulation.run()
    else:
        time.sleep(chance.uniform(0.0, START_UP))
    return worker


@pytest.mark.parametrize("moment", ["starting", "running"])
@pytest.mark.parametrize("victims", ["command", "command and worker", "stopped"])
def test_kill(victims: str, moment: str, machine: Machine) -> None:
    simulation = Simulation(machine)
    worker = reach(simulation, moment, random.Random(f"{victims} {moment}"))
    if victims == "stopped":
        while (
            "numpy" not in Path(f"/proc/{worker}/maps").read_text()
        ):  # what it does first is done then
            time.sleep(0.005)
        os.kill(worker, signal.SIGSTOP)
    named = {"command": simulation.process.pid, "worker": worker}
    kill([named[name] for name in victims.split() if name in named] or [simulation.process.pid])
    simulation.end()
    assert machine.is_clean()


@pytest.mark.parametrize("seed", range(3))
def test_kill_everything_in_any_order(seed: int, machine: Machine) -> None:
    chance = random.Random(seed)
    simulation = Simulation(machine)
    reach(simulation, ("starting", "running")[seed % 2], chance)
    everything = machine.processes()
    chance.shuffle(everything)
    kill(everything)
    simulation.end()
    assert machine.is_clean()


def test_stopped_altogether(machine: Machine) -> None:
    simulation = Simulation(machine)
    simulation.run()
    kill(machine.processes(), signal.SIGSTOP)
    kill([simulation.process.pid])
    simulation.end()
    assert machine.is_clean()


def test_ctrl_c(machine: Machine) -> None:
    simulation = Simulation(machine)
    simulation.run()
    simulation.process.send_signal(signal.SIGINT)
    errors = simulation.end()
    assert machine.is_clean()
    assert "KeyboardInterrupt" in errors
    assert "lava:" not in errors


def test_a_simulation_outlives_the_thread_that_started_it(machine: Machine) -> None:
    simulation = Simulation(machine, "thread")
    simulation.run(samples=5)
    kill([simulation.process.pid])
    simulation.end()
    assert machine.is_clean()
