"""What a run prints: accuracy, answers, spike rates, localisation, and the files it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from spikesam.pipeline.engine.summary import Answer, LocalisationScore, Summary
from spikesam.recordings.text import LONGEST_NAME, printable

SHOWN_ANSWERS = 8  # images whose classes are printed


def print_summary(summary: Summary, out: Path, figures: Sequence[Path], notes: Sequence[str], console: Console) -> None:
    """Print the results of a run in `out`, the pictures that were drawn, and before them the notes."""

    def say(text: str) -> None:
        console.print(printable(text))

    for note in notes:
        say(note)
    count = f"{summary.n_samples} sample{'s' * (summary.n_samples > 1)}"
    simulated = f"{summary.timesteps} steps on {summary.backend} ({summary.precision})"
    say(f"{count} of {summary.dataset}, {simulated}{_accuracy_text(summary)}")
    for answer in summary.answers[:SHOWN_ANSWERS]:
        say(f"  {_answer_text(answer, summary.class_names)}")
    if (more := len(summary.answers) - SHOWN_ANSWERS) > 0:
        say(f"  and {more} more in summary.json")
    if summary.spike_rate:
        rates = ", ".join(f"{name} {rate:.1%}" for name, rate in summary.spike_rate.items())
        say(f"spikes per neuron and step: {rates}")
    if summary.localisation:
        console.print(localisation_text(summary.localisation))
    else:
        say("no box or mask is known of these samples: whether maps find the object is not measured")
    say(f"raster_digest {summary.raster_digest}" if summary.raster_digest else "no spikes left Lava's graph, only maps")
    for name in ("raster.h5", "sam.h5", "summary.json", "report.html"):
        if (out / name).is_file():
            say(str(out / name))
    if figures:
        say(f"pictures: {', '.join(str(path) for path in figures)}")


def localisation_text(scores: Sequence[LocalisationScore]) -> Table:
    """Mean and 95 % interval by layer and kind of map, measures as columns."""
    measures = list(dict.fromkeys(score.measure for score in scores))
    count = f"{scores[0].n} sample{'s' * (scores[0].n > 1)}"
    title = f"does the map find the object? ({count}; mean, 95 % interval)"
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)  # fits into 80 columns
    for column in ("layer", "map", *measures):
        table.add_column(column)
    for layer, method in dict.fromkeys((score.layer, score.method) for score in scores):
        cells = {score.measure: score for score in scores if (score.layer, score.method) == (layer, method)}
        texts = [_score_text(cell) for cell in map(cells.get, measures) if cell]
        table.add_row(layer or "", method, *texts)
    return table


def _score_text(score: LocalisationScore) -> str:
    return f"{score.mean:.2f}" + (f" ({score.low:.2f}–{score.high:.2f})" if score.n > 1 else "")


def _accuracy_text(summary: Summary) -> str:
    found = summary.accuracy_interval
    return "" if found is None else f": accuracy {found.mean:.1%} (95 % interval {found.low:.0%} to {found.high:.0%})"


def _answer_text(answer: Answer, names: Sequence[str]) -> str:
    """ "goldfish/3.png: goldfish 80%, pizza 11%, bus 4% ✓" """

    def name(number: int) -> str:
        return printable(names[number], LONGEST_NAME)

    found = zip(answer.classes, answer.shares, strict=True)
    ranked = ", ".join(f"{name(number)} {share:.0%}" for number, share in found)
    verdict = "" if answer.label is None else " ✓" if answer.right else f" ✗ is {name(answer.label)}"
    return f"{printable(answer.image, LONGEST_NAME)}: {ranked}{verdict}"
