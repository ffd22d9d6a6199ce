"""A Lava process, or its worker, that is killed, crashes or is stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random

from . import workplace
from .kills import finish
from .outcomes import Outcome
from .process import Command, left_running, own_mounts
from .subject import Finding, Subject, load_plan, save_plan
from .watch import adopt_orphans, descendants, describe
from .workplace import RECIPES, measured, shared

DEADLINE = 8  # seconds without a finished sample after which the backend gives up
SECONDS = 15.0  # more, in which a command must end after the fault
SIGNALS = ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGTERM", "SIGINT", "SIGABRT")


class LavaFaults(Subject):
    """One of Lava's processes is killed or stopped: one line within the deadline, nothing left, --resume goes on."""

    name = "lava"
    weight = 0.1
    seconds = 120.0
    memory = 4 << 30
    modules = workplace.MODULES

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        workplace.build(shared(base), ("lava",))

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        seconds = measured(shared(base), "lava")["seconds"]
        plan = {
            "moment": random.random() * seconds,
            "victim": random.random(),
            "signal": random.choice(SIGNALS),
            "then": random.random() < 0.25,
        }
        save_plan(case, plan)
        workplace.copy(shared(base) / "work", case / "work")
        then = ", then the command is killed" * plan["then"]
        return f"{plan['signal']} to process {plan['victim']:.2f} after {plan['moment']:.2f} of {seconds:.2f} s{then}"

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        adopt_orphans()
        alone = own_mounts()
        plan, work, recipe = load_plan(case), case / "work", RECIPES["lava"]
        good = measured(shared(base), "lava")
        command = Command((*recipe.words[:-1], str(DEADLINE)), work)
        end = time.monotonic() + plan["moment"]
        while command.poll() is None and (time.monotonic() < end or not descendants(command.pid)):
            time.sleep(0.002)
        victims = descendants(command.pid) if command.poll() is None else []
        victim = "nobody"
        if victims:
            pid = victims[int(plan["victim"] * len(victims))]
            victim = describe(pid)
            os.kill(pid, getattr(signal, plan["signal"]))
        if plan["then"]:
            command.kill()
        ended = command.wait(DEADLINE + SECONDS + good["seconds"])
        if ended.code and not plan["then"] and (found := ended.finding(recipe.reports)):
            return (Outcome.HANG, f"it had to be killed; the victim was {victim}") if ended.code == -9 else found
        if running := left_running():
            return Outcome.WRONG, f"after the fault of {victim}: {running}"
        return finish(work, recipe, good, alone)
