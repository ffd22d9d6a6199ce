"""What an experiment leaves: a table (CSV), figures, and one Markdown row per claim of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recordings.disk import write_file
from recordings.text import printable

from .claims import Claim

LONGEST_NOTE = 10_000  # characters
HEADER = "| what | paper | ours | the same? | n |\n| --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Result:
    """What one experiment found.

    Parameters
    ----------
    title : of the experiment
    table : the CSV, a row per condition with n, mean, low, high; see :mod:`pipeline.measures.tables`
    claims : at least one
    notes : sentences that a reader needs beside the numbers
    """

    title: str
    table: pd.DataFrame
    claims: Sequence[Claim]
    notes: Sequence[str] = ()


def write_result(name: str, result: Result, about: str, directory: Path) -> tuple[Path, Path]:
    """Write `NAME.csv` and `NAME.md`; the page shows the figures `NAME.png` and `NAME_<word>.png` of the directory.

    `about` says how the numbers were made (command, time). Pictures of further images, `NAME_2.png`, are not shown.
    """
    table, page = directory / f"{name}.csv", directory / f"{name}.md"
    write_file(table, result.table.map(_rounded).to_csv(index=False).encode("utf-8", "replace"))
    rows = "".join(
        f"| {' | '.join(map(_cell, (claim.what, claim.paper, claim.ours, claim.same, claim.n)))} |\n"
        for claim in result.claims
    )
    figures = [*directory.glob(f"{name}.png"), *sorted(directory.glob(f"{name}_[a-z]*.png"))]
    shown = "".join(f"\n![{result.title}]({path.name})\n" for path in figures)
    notes = "".join(f"\n{_lines(note)}\n" for note in result.notes)
    write_file(page, f"## {result.title}\n\n{HEADER}{rows}{shown}{notes}\n{_lines(about)}\n".encode())
    return table, page


def _cell(text: object) -> str:
    """A text as a cell of a Markdown table that is no HTML."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")


def _lines(text: str) -> str:
    """A text of one or more lines, which may name a data set."""
    return "\n".join(printable(line, LONGEST_NOTE) for line in text.split("\n"))


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
