"""A campaign: which trials, in which order, until when; failures are kept."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .outcomes import Result
from .runner import Order, Runner
from .subject import Subject
from .watch import adopt_orphans


@dataclass(frozen=True)
class Plan:
    """What to do.

    Parameters
    ----------
    subjects : to be tried, by their weights
    seed : of everything; a trial depends on it, its subject and its number alone
    seconds, trials : when to stop, whichever comes first; None for no limit
    jobs : child processes at a time
    out : folder for failures, results and the table
    number : of the one trial to do; None for as many as there is time for
    """

    subjects: Sequence[Subject]
    seed: int
    seconds: float | None
    trials: int | None
    jobs: int
    out: Path
    number: int | None = None


def campaign(plan: Plan, built: Callable[[], object], each: Callable[[Result], object]) -> list[Result]:
    """Conduct trials; calls `built` when the materials are ready, and `each` after every trial."""
    adopt_orphans()
    plan.out.mkdir(parents=True, exist_ok=True)
    results = []
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))  # no TemporaryDirectory: a child that exits would remove it
    try:
        runner = Runner(folder, plan.seed, plan.jobs, lambda result, case: keep(plan.out, result, case))
        runner.build(plan.subjects)
        built()
        with (plan.out / "trials.jsonl").open("a") as log:
            for result in runner.run(_orders(plan)):
                results.append(result)
                log.write(json.dumps(result.as_json()) + "\n")
                log.flush()
                each(result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _orders(plan: Plan) -> Iterator[Order]:
    """Subjects in turns: next is whichever has had the fewest trials for its weight."""
    if plan.number is not None:
        yield Order(plan.subjects[0], [plan.number])
        return
    begun, counts = time.monotonic(), dict.fromkeys(plan.subjects, 0)
    while plan.seconds is None or time.monotonic() - begun < plan.seconds:
        rest = None if plan.trials is None else plan.trials - sum(counts.values())
        if rest is not None and rest <= 0:
            return
        subject = min(counts, key=lambda each: counts[each] / each.weight)
        size = subject.batch if rest is None else min(subject.batch, max(1, round(rest * _share(subject, plan))), rest)
        yield Order(subject, list(range(counts[subject], counts[subject] + size)))
        counts[subject] += size


def _share(subject: Subject, plan: Plan) -> float:
    return subject.weight / sum(each.weight for each in plan.subjects)


def keep(out: Path, result: Result, case: Path) -> Path:
    """Keep what failed: the files of the case, and failure.json beside them."""
    for number in itertools.count():
        kept = (
            out
            / "failures"
            / f"{result.outcome.value}-{result.subject}-{result.number}{f'-{number}' if number else ''}"
        )
        if not kept.exists():
            break
    kept.parent.mkdir(parents=True, exist_ok=True)
    if case.is_dir():
        shutil.copytree(case, kept, symlinks=True, ignore_dangling_symlinks=True)
    else:
        kept.mkdir()
    (kept / "failure.json").write_text(json.dumps(result.as_json(), indent=2))
    return kept
