"""The work of `run` once its options are parsed, and the lines it prints: answers, rates,
localisation and files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from spikesam.backends.network.table import in_columns
from spikesam.common.console import PlainConsole
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.common.text import LONGEST_NAME, printable, shell_command
from spikesam.pipeline.cli.errors import interruption
from spikesam.pipeline.config import Config, RunSection
from spikesam.pipeline.engine.summary import ImageAnswer, LocalisationScore, Summary
from spikesam.recordings.raster.batch import NO_ANSWER

if TYPE_CHECKING:
    from spikesam.pipeline.engine.job import JobSpec

SHOWN_ANSWERS = 8  # images whose classes are printed


def run(
    config: Config, out: Path, *, resume: bool, part: str | None = None, cluster: str | None = None
) -> None:
    """Compute all of it, or "K/N" of it beside others, and print what was found;
    `out` is locked.
    """
    from spikesam.pipeline.engine.compute_folder import (
        compute_all,
        compute_ranges,
    )  # numba is slow to import
    from spikesam.pipeline.engine.first_run import on_torch_at_first
    from spikesam.pipeline.engine.folder import begin, undone_if_refused
    from spikesam.pipeline.engine.prepare import prepare, usable_anywhere
    from spikesam.pipeline.engine.range_file import PARTS
    from spikesam.pipeline.page.results import write_run_results

    settings, tracker, console = config.run, Tracker(), PlainConsole(soft_wrap=True)
    with tracker.time("load"), tracker.show("listing samples"):
        prepared = prepare(config)
    tracker.notes += prepared.notes
    spec = prepared.job.spec
    if (part is not None or not spec.keep.spikes) and _was_finished(out, spec, settings, console):
        return
    numbers = None if part is None else part_of(part, len(spec.ranges))
    then = "--resume" if numbers is None else "the same command"
    with ExitStack() as stack:
        if numbers is None:
            stack.enter_context(undone_if_refused(out))
        stack.enter_context(_counting_if_interrupted(out, len(spec.samples), then))
        if numbers is None and cluster is None:
            prepared = prepared.read_all(tracker)
            job = on_torch_at_first(prepared.job, tracker.say)
        else:
            job = prepared.with_contents(out, tracker).job
        job, client = (
            begin(out, job, usable_anywhere(config), resume=resume if numbers is None else None),
            None,
        )
        if numbers is not None:
            compute_ranges(out, job, numbers, tracker, f"part {part}")
            for note in tracker.notes:
                console.print(printable(note))
            ranges_text = f"ranges {numbers.start} to {numbers.stop - 1}" if numbers else "no range"
            console.print(f"{out}: {ranges_text} of {len(spec.ranges)} are finished; when all are:")
            console.print(shell_command("spikesam", "merge", out))
            return
        if cluster is not None:
            from spikesam.pipeline.engine.cluster import connected

            with tracker.show("connecting"):
                client = stack.enter_context(connected(cluster, out / PARTS, tracker.say))
        totals = compute_all(out, job, tracker, client)
    summary, figures = write_run_results(out, totals, job.network, settings, prepared.read, tracker)
    print_run(summary, out, figures, tracker.notes, console)


@contextmanager
def _counting_if_interrupted(out: Path, count: int, then: str) -> Iterator[None]:
    """Let Ctrl-C say how many samples are kept, and what goes on from there."""
    from spikesam.pipeline.engine.compute_folder import samples_kept

    try:
        yield
    except BaseException as error:
        if interruption(error) is None:
            raise
        kept_note = f"{samples_kept(out)} of {count} samples are kept in {out}"
        raise KeyboardInterrupt(f"{kept_note}, and {then} goes on from there") from None


def _was_finished(out: Path, spec: JobSpec, settings: RunSection, console: Console) -> bool:
    """Print the results of a run that was finished before, if that is so."""
    from spikesam.pipeline.engine.folder import finished_before

    if (finished_summary := finished_before(out, spec, settings.steps == "pictured")) is None:
        return False
    pictures = sorted((out / "figures").glob("*.png"))
    notes = [f"{out}: was finished before; nothing is computed again"]
    drawn, requested = (
        sum(path.name != "overview.png" for path in pictures),
        min(settings.figures, finished_summary.n_samples),
    )
    if drawn < requested and not spec.keep.spikes:
        notes.append(
            f"{drawn} of {requested} pictures are there: more need the spikes, which were dropped; "
            "use another --out"
        )
    print_run(finished_summary, out, pictures, notes, console)
    return True


def part_of(text: str, ranges: int) -> range:
    """The ranges of the K-th of N processes, "K/N" from "1/N" on: consecutive ones, as many as
    others' or one more.
    """
    parts = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
        raise InputError(
            f"--range: got {text!r}, expected K/N, the K-th of N processes, such as 1/8"
        )
    number, count = int(parts[1]), int(parts[2])
    return range((number - 1) * ranges // count, number * ranges // count)


def print_run(
    summary: Summary, out: Path, figures: Sequence[Path], notes: Sequence[str], console: Console
) -> None:
    """Print the results of a run in `out`, the pictures that were drawn,
    and before them the notes.
    """

    def say(text: str) -> None:
        console.print(printable(text))

    for note in notes:
        say(note)
    count = f"{summary.n_samples} sample{'s' * (summary.n_samples > 1)}"
    simulated = f"{summary.timesteps} steps on {summary.backend} ({summary.precision})"
    accuracy = ""
    if interval := summary.accuracy_interval:
        accuracy = (
            f": accuracy {interval.mean:.1%} (95 % interval {interval.low:.0%} to "
            f"{interval.high:.0%})"
        )
    say(f"{count} of {summary.dataset}, {simulated}{accuracy}")
    for answer in summary.answers[:SHOWN_ANSWERS]:
        say(f"  {_answer_text(answer, summary.class_names)}")
    if (unlisted := len(summary.answers) - SHOWN_ANSWERS) > 0:
        say(f"  and {unlisted} more in summary.json")
    if summary.spike_rate:
        rates = ", ".join(f"{name} {rate:.1%}" for name, rate in summary.spike_rate.items())
        say(f"spikes per neuron and step: {rates}")
    if summary.localisation:
        console.print(localisation_text(summary.localisation))
    else:
        say(
            "no box or mask is known of these samples: whether maps find the object is not measured"
        )
    say(
        f"raster_digest {summary.raster_digest}"
        if summary.raster_digest
        else "no spikes left Lava's graph, only maps"
    )
    for name in ("raster.h5", "sam.h5", "summary.json", "report.html"):
        if (out / name).is_file():
            say(str(out / name))
    if figures:
        say(f"pictures: {', '.join(str(path) for path in figures)}")


def localisation_text(scores: Sequence[LocalisationScore]) -> str:
    """Mean and 95 % interval by layer and kind of map, measures as columns."""
    measures = list(dict.fromkeys(score.measure for score in scores))
    rows = [("layer", "map", *measures)]
    for layer, method in dict.fromkeys((score.layer, score.method) for score in scores):
        cells = {
            score.measure: score
            for score in scores
            if (score.layer, score.method) == (layer, method)
        }
        cells_of_measures = [cell for cell in map(cells.get, measures) if cell]
        texts = [
            f"{cell.mean:.2f}" + f" ({cell.low:.2f}–{cell.high:.2f})" * (cell.n > 1)
            for cell in cells_of_measures
        ]
        rows.append((layer or "", method, *texts, *[""] * (len(measures) - len(texts))))
    count = f"{scores[0].n} sample{'s' * (scores[0].n > 1)}"
    return f"does the map find the object? ({count}; mean, 95 % interval)\n{in_columns(rows)}"


def _answer_text(answer: ImageAnswer, names: Sequence[str]) -> str:
    """ "goldfish/3.png: goldfish 80%, pizza 11%, bus 4% ✓" """

    def name(number: int) -> str:
        return printable(names[number], LONGEST_NAME)

    if answer.values is not None:
        numbers = ", ".join(f"{value:.4g}" for value in answer.values[:SHOWN_ANSWERS])
        return f"{printable(answer.image, LONGEST_NAME)}: {numbers}" + ", …" * (
            len(answer.values) > SHOWN_ANSWERS
        )
    scores_text = (
        map(str, answer.counts) if answer.counts else [f"{share:.0%}" for share in answer.shares]
    )
    unit = " spikes" * (answer.counts is not None)
    ranked = (
        ", ".join(
            f"{name(class_number)} {share}"
            for class_number, share in zip(answer.classes, scores_text, strict=True)
        )
        + unit
    )
    ranked = ranked if answer.classes else NO_ANSWER
    verdict = (
        "" if answer.label is None else " ✓" if answer.right else f" ✗ is {name(answer.label)}"
    )
    return f"{printable(answer.image, LONGEST_NAME)}: {ranked}{verdict}"
