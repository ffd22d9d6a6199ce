"""python -m tests.campaign: damage files, kill commands, fill disks, and count what comes of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .campaign import Plan, campaign
from .outcomes import Outcome, Result
from .report import failures, markdown, table
from .subjects import SUBJECTS, chosen

DESCRIPTION = """\
Try what bad luck and bad files do to spikesam. A trial damages a file, kills a command, fills a disk or lets commands
meet, in a child process with limits on time and memory, and ends in one outcome:

  refused        one line that says why (InputError, exit code 2)
  identical      all that was read or left equals the original
  another valid  accepted, and rightly so: the format has no digests, or the edit made new ones
  wrong          accepted, but something differs, was lost, or was left behind
  crash, hang    ended by a signal; over the limit on time
  exception      any other exception, exit code 1, a traceback, a refusal that is not one clean line
  memory         over the limit on memory (1 GB)

A trial depends on the seed, its subject and its number alone. Failures are kept in --out, with all files.
Linux; some subjects need root, and say so. Exit code 1 if there was a failure."""

EPILOG = """\
examples:
  python -m tests.campaign --minutes 5 --seed 1                    everything, by weight
  python -m tests.campaign --only rasters,maps --trials 10000      damaged HDF5 files
  python -m tests.campaign --only kills --trials 200 --out kills   SIGKILL, at random and at every write
  python -m tests.campaign --only rasters --seed 1 --number 17     one trial again

what can be tried:
{subjects}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    about = "\n".join(f"  {name:12} {(type(each).__doc__ or '').splitlines()[0]}" for name, each in SUBJECTS.items())
    parser = argparse.ArgumentParser(
        "python -m tests.campaign",
        description=DESCRIPTION,
        epilog=EPILOG.format(subjects=about),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="stop after so many minutes")
    parser.add_argument("--trials", type=int, metavar="N", help="stop after so many trials")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of every trial (default: 0)")
    parser.add_argument(
        "--only", metavar="NAMES", help="what to try, names with commas between; everything if not given"
    )
    parser.add_argument("--number", type=int, metavar="N", help="this trial alone; --only must name one subject")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="trials at a time")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/campaign"), metavar="FOLDER", help="default: runs/campaign"
    )
    options = parser.parse_args(arguments)
    try:
        names = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.minutes is None and options.trials is None and options.number is None:
        parser.error("one of --minutes, --trials and --number is needed")
    if options.number is not None and len(names) != 1:
        parser.error("--number needs --only with one subject")
    seconds = None if options.minutes is None else 60 * options.minutes
    subjects = [SUBJECTS[name] for name in names]
    plan = Plan(subjects, options.seed, seconds, options.trials, max(1, options.jobs), options.out, options.number)
    results = _conduct(plan)
    report(results, names, options.out)
    return 1 if any(result.outcome.failed for result in results) else 0


def _conduct(plan: Plan) -> list[Result]:
    """Run the campaign behind a bar. The bar has no thread of its own: this process forks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        task = progress.add_task("making materials", total=plan.trials)
        failed = 0

        def each(result: Result) -> None:
            nonlocal failed
            failed += result.outcome.failed
            progress.update(task, advance=1, description=f"{failed} failed")
            progress.refresh()

        return campaign(plan, lambda: progress.update(task, description="0 failed"), each)


def report(results: Sequence[Result], names: Sequence[str], out: Path) -> None:
    """Print the table and the failures, and keep the table as Markdown."""
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    console.print(table(results, names))
    for line in failures(results):
        console.print(line, markup=False, soft_wrap=True)
    (out / "table.md").write_text(markdown(results, names))
    failed = sum(result.outcome.failed for result in results)
    kept = f"; {failed} failed, kept in {out / 'failures'}" if failed else ""
    refused = sum(result.outcome is Outcome.REFUSED for result in results)
    console.print(f"{len(results):,} trials, {refused:,} refused{kept}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
