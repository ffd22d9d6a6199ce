"""Two commands at once in one place."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from . import workplace
from .faults import Boundaries
from .outcomes import Outcome
from .process import Command, aside, left_running
from .subject import Finding, Subject, load_plan, save_plan
from .watch import adopt_orphans
from .workplace import RECIPES, measured, shared

NAMES = ("explain", "event", "torch", "gradcam", "convert", "export")
PAUSE = 0.05  # seconds, at most, before each call that changes the disk
OWN = b"a file of the user's own"


class Together(Subject):
    """Two commands with one --out: each is done or refused in one line, and what is left is whole."""

    name = "together"
    weight = 0.4
    seconds = 120.0
    memory = 4 << 30
    modules = workplace.MODULES

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        workplace.build(shared(base), NAMES)

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        name = NAMES[number % len(NAMES)]
        seconds = measured(shared(base), name)["seconds"]
        extra = random.choice(((), (), RECIPES[name].again))
        plan = {"recipe": name, "delay": random.choice((0.0, random.random() * seconds)), "extra": extra, "own": []}
        work = workplace.copy(shared(base) / "work", case / "work")
        if random.random() < 0.3 and not RECIPES[name].results[0].startswith("out/"):
            (work / "mine").write_bytes(OWN)
            (work / "out.h5.tmp").symlink_to("mine") if random.random() < 0.5 else (work / "out.h5.tmp").write_bytes(
                OWN
            )
            plan["own"] = ["mine", "out.h5.tmp"]
        save_plan(case, plan)
        beside = f", beside {', '.join(plan['own'])}" if plan["own"] else ""
        return f"{name} twice, the second {plan['delay']:.2f} s later {' '.join(extra)}{beside}"

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        adopt_orphans()
        plan, work = load_plan(case), case / "work"
        recipe = RECIPES[plan["recipe"]]
        good = measured(shared(base), plan["recipe"])
        first = Command(recipe.words, work, Boundaries(pause=PAUSE).install)
        time.sleep(plan["delay"])
        second = Command((*recipe.words, *plan["extra"]), work, Boundaries(pause=PAUSE).install)
        ended = first.wait(), second.wait()
        for each in ended:
            if found := each.finding(recipe.reports):
                return found
        if all(each.code for each in ended):
            return Outcome.WRONG, f"both were refused: {ended[0].line[:150]} / {ended[1].line[:150]}"
        if found := aside(workplace.broken, work):
            return Outcome.WRONG, found
        if aside(workplace.results, work, recipe) != good["results"]:
            return Outcome.WRONG, "the results differ from an undisturbed command's"
        for name in plan["own"]:
            if not (work / name).exists() or (work / name).read_bytes() != OWN:
                return Outcome.WRONG, f"the user's own {name} was changed"
        if more := sorted(workplace.files(work) ^ (set(good["files"]) | set(plan["own"]))):
            return Outcome.WRONG, f"left, or lacking: {', '.join(more)[:300]}"
        if running := left_running():
            return Outcome.WRONG, running
        return Outcome.IDENTICAL, "; ".join(each.line for each in ended if each.code)
