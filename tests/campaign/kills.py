"""SIGKILL: at random moments, and at every call that changes what lies on the disk."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from random import Random

from . import workplace
from .faults import Boundaries, log_samples
from .outcomes import Outcome
from .process import SHARED_MEMORY, Command, Ended, aside, left_running, own_mounts, run
from .subject import Finding, Subject, load_plan, save_plan
from .watch import adopt_orphans
from .workplace import RECIPES, Recipe, measured, shared

LOST = 16  # finished samples, at most, of which a kill may cost the work
LOST_SECONDS = 10.0  # or so much work, and the batch at hand
BATCH = 2  # samples that the event backend hands over at a time
EARLY = 40  # calls that change the disk
SLOW = 1.5  # seconds that a sample seems to take where the clock runs ahead


class Kills(Subject):
    """A command that is killed, then continued: equal results, little lost, nothing left (root: /dev/shm too)."""

    weight = 0.02
    seconds = 120.0
    memory = 4 << 30
    modules = workplace.MODULES

    def __init__(self, recipe: str) -> None:
        self.name, self.recipe = f"kills-{recipe}", recipe

    def build(self, base: Path) -> None:
        """See :class:`Subject`."""
        workplace.build(shared(base), (self.recipe,))

    def make(self, base: Path, case: Path, random: Random, number: int) -> str:
        """See :class:`Subject`."""
        name, usual = self.recipe, measured(shared(base), self.recipe)
        slow = SLOW if name == "event" and random.random() < 0.3 else 0.0
        plan = {"recipe": name, "slow": slow, "moment": 0.0, "at": 0, "after": False, "all": random.random() < 0.5}
        if random.random() < 0.6:
            early = min(usual["boundaries"], EARLY * (3 if slow else 1))  # samples are recorded first
            last = early if slow or random.random() < 0.5 else usual["boundaries"]
            plan |= {"at": random.randint(1, last), "after": random.random() < 0.5}
            when = f"{'after' if plan['after'] else 'before'} call {plan['at']} of {usual['boundaries']}"
        else:
            plan["moment"] = random.random() * usual["seconds"]
            when = f"after {plan['moment']:.2f} of {usual['seconds']:.2f} s{', with its children' * plan['all']}"
        save_plan(case, plan)
        workplace.copy(shared(base) / "work", case / "work")
        return f"{name} killed {when}" + f", each sample seems to take {SLOW} s" * bool(slow)

    def attempt(self, base: Path, case: Path) -> Finding:
        """See :class:`Subject`."""
        adopt_orphans()
        alone = own_mounts()
        plan, work = load_plan(case), case / "work"
        recipe = RECIPES[plan["recipe"]]
        good = measured(shared(base), plan["recipe"])
        ended = self._killed(plan, recipe, case)
        if running := left_running():
            return Outcome.WRONG, f"after the kill {running}"
        if found := aside(workplace.broken, work):
            return Outcome.WRONG, f"after the kill {found}"
        if ended.code != -9 and (found := ended.finding(recipe.reports)):
            return found
        finished, kept = samples_finished(case / "log"), aside(samples_kept, work / "out")
        allowed = int(LOST_SECONDS / SLOW) + BATCH if plan["slow"] else LOST
        if finished - kept > allowed:
            return (
                Outcome.WRONG,
                f"{finished - kept} of {finished} finished samples were lost, at most {allowed} may be",
            )
        outcome, message = finish(work, recipe, good, alone)
        counted = f"of {finished} finished samples {max(0, finished - kept)} were lost" if finished else ""
        return outcome, message or counted

    def _killed(self, plan: dict, recipe: Recipe, case: Path) -> Ended:
        boundaries = Boundaries(plan["at"], plan["after"])

        def prepare() -> None:
            if plan["at"]:
                boundaries.install()
            if recipe.words[0] == "run":
                log_samples(case / "log", plan["slow"])

        words = (*recipe.words, *(("--batch-size", "1") if plan["slow"] else ()))
        command = Command(words, case / "work", prepare)
        if plan["moment"]:
            end = time.monotonic() + plan["moment"]
            while time.monotonic() < end and command.poll() is None:
                time.sleep(0.001)
            command.kill(plan["all"])
        return command.wait()


def samples_finished(log: Path) -> int:
    """Samples that the writer had been given when the command was killed, see :func:`log_samples`."""
    return log.stat().st_size if log.exists() else 0


def samples_kept(out: Path) -> int:
    """Samples in finished shards, or in the finished raster."""
    import spikesam
    from recordings.errors import InputError

    count = 0
    whole = out / "raster.h5"
    for path in [whole] if whole.exists() else sorted((out / "raster.parts").glob("*.h5")):
        with contextlib.suppress(InputError), spikesam.open_raster(path) as raster:
            count += raster.n_samples
    return count


def finish(work: Path, recipe: Recipe, good: dict, alone: bool) -> Finding:
    """Continue a command that was stopped: it must end as if it had never been, and leave nothing else."""
    ended = continued(work, recipe)
    if ended.code != 0:
        return ended.finding(recipe.reports) or (Outcome.WRONG, f"cannot be continued: {ended.line}")
    if found := aside(workplace.broken, work):
        return Outcome.WRONG, f"when it was continued {found}"
    left = aside(workplace.results, work, recipe)
    if left != good["results"]:
        differ = sorted(key for key in left.keys() | good["results"] if left.get(key) != good["results"].get(key))
        return Outcome.WRONG, f"when it was continued {', '.join(differ)} differ from an undisturbed command's"
    if more := sorted(workplace.files(work) ^ set(good["files"])):
        return Outcome.WRONG, f"when it was continued it left, or lacks, {', '.join(more)[:300]}"
    if temporary := workplace.leftovers(work):
        return Outcome.WRONG, f"temporary files are left: {', '.join(temporary)[:300]}"
    if running := left_running():
        return Outcome.WRONG, running
    if alone and SHARED_MEMORY.is_dir() and (found := os.listdir(SHARED_MEMORY)):
        return Outcome.WRONG, f"left in shared memory: {', '.join(sorted(found))[:300]}"
    return Outcome.IDENTICAL, ""


def continued(work: Path, recipe: Recipe) -> Ended:
    """The command again, with what continues it; from the start where nothing was kept to be continued."""
    ended = run((*recipe.words, *recipe.again), work)
    if ended.code == 2 and "--resume" in recipe.again:
        again = run(recipe.words, work)
        return again if again.code == 0 else ended
    return ended
