"""What an experiment leaves: a table (CSV), figures, and one Markdown row per claim of the paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.measures.statistics import Estimate
from recordings.disk import write_file

Verdict = Literal["yes", "no", "no difference seen", "cannot say"]
HEADER = "| what | paper | ours | the same? | n |\n| --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Claim:
    """One thing the paper says, beside what was found here.

    Parameters
    ----------
    what : the quantity or direction
    paper : its figure or direction
    ours : the same, measured, with 95 % interval
    same : the verdict
    n : number of images behind it
    """

    what: str
    paper: str
    ours: str
    same: Verdict
    n: int


@dataclass(frozen=True)
class Result:
    """Of one experiment.

    Parameters
    ----------
    title : of the experiment
    table : rows of the CSV, all with the same keys; intervals as `low` and `high`
    claims : at least one
    notes : sentences that a reader needs beside the numbers
    """

    title: str
    table: Sequence[Mapping[str, Any]]
    claims: Sequence[Claim]
    notes: Sequence[str] = ()


def direction(low: float, high: float) -> Verdict:
    """Verdict on a difference whose sign the paper gives as positive, from its 95 % interval."""
    return "yes" if low > 0 else "no" if high < 0 else "no difference seen"


def verdict(difference: Estimate) -> Verdict:
    """The same from an estimate; one image says nothing."""
    return direction(difference.low, difference.high) if difference.n > 1 else "cannot say"


def with_interval(estimate: Estimate) -> str:
    """An estimate as text: "0.81 (0.79 … 0.83)"."""
    if estimate.n < 2:
        return f"{estimate.mean:.3g} (no interval)"
    return f"{estimate.mean:.3g} ({estimate.low:.3g} … {estimate.high:.3g})"


def write_result(name: str, result: Result, about: str, directory: Path) -> tuple[Path, Path]:
    """Write `NAME.csv` and `NAME.md`; the page shows the figures `NAME.png` and `NAME_<word>.png` of the directory.

    `about` says how the numbers were made (command, time). Pictures of further images, `NAME_2.png`, are not shown.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(result.table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _rounded(value) for key, value in row.items()} for row in result.table)
    table, page = directory / f"{name}.csv", directory / f"{name}.md"
    write_file(table, text.getvalue().encode())
    rows = "".join(
        f"| {claim.what} | {claim.paper} | {claim.ours} | {claim.same} | {claim.n} |\n" for claim in result.claims
    )
    figures = [*directory.glob(f"{name}.png"), *sorted(directory.glob(f"{name}_[a-z]*.png"))]
    shown = "".join(f"\n![{result.title}]({path.name})\n" for path in figures)
    notes = "".join(f"\n{note}\n" for note in result.notes)
    write_file(page, f"## {result.title}\n\n{HEADER}{rows}{shown}{notes}\n{about}\n".encode())
    return table, page


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
