"""Disks that fill, and files that may not grow."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path
from random import Random

from . import workplace
from .kills import finish
from .outcomes import Outcome
from .process import aside, mount_memory, own_mounts, run
from .subject import Finding, Subject, load_plan, save_plan
from .watch import adopt_orphans
from .workplace import RECIPES, measured, shared

NAMES = ("event", "torch", "train", "convert", "paper", "explain", "gradcam", "export")


class Disks(Subject):
    """Disks that fill (root), files that may not grow: one line, and equal results once there is space."""

    name = "disks"
    weight = 0.3
    seconds = 120.0
    memory = 4 << 30
    modules = workplace.MODULES

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        workplace.build(shared(base), NAMES)

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        name = NAMES[number % len(NAMES)]
        usual = measured(shared(base), name)
        full = random.random() < 0.5
        largest = usual["largest"] if not full else 2 * usual["largest"] + 300_000
        size = random.choice((0, 1, 4096, random.randrange(largest), random.randrange(largest)))
        save_plan(case, {"recipe": name, "full": full, "size": size})
        workplace.copy(shared(base) / "work", case / "work")
        return f"{name} on a disk with {size:,} bytes left" if full else f"{name} with files of at most {size:,} bytes"

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        adopt_orphans()
        alone = own_mounts()
        plan, work = load_plan(case), case / "work"
        recipe = RECIPES[plan["recipe"]]
        good = measured(shared(base), plan["recipe"])
        prepare = lambda: None  # noqa: E731
        if plan["full"]:
            if not alone:
                return Outcome.REFUSED, "not tried: mounting takes root"
            inside = case / "inside"
            work.rename(inside)
            work.mkdir()
            mount_memory(work, 1 << 30)
            shutil.copytree(inside, work, dirs_exist_ok=True)
            used = shutil.disk_usage(work).used
            mount_memory(work, used + plan["size"], again=True)
        else:

            def prepare() -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (plan["size"], resource.RLIM_INFINITY))

        ended = run(recipe.words, work, prepare)
        if ended.code and (found := ended.finding(recipe.reports)):
            return found
        if found := aside(workplace.broken, work):
            return Outcome.WRONG, found
        if plan["full"]:
            mount_memory(work, 1 << 30, again=True)
        found = finish(work, recipe, good, alone)
        os.chdir("/")
        return found
