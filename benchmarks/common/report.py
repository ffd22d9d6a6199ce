"""Measurements as tables on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.common.measurement import MeasuredRow
from spikesam.figures import PALETTE, CurveOptions, draw_curves

TABLE: dict[str, Any] = {
    "title_justify": "left",
    "box": SIMPLE_HEAD,
    "collapse_padding": True,
    "pad_edge": False,
}
STYLES = ("-", "--", ":", "-.")  # of the ways of one library, which have one colour


def as_tables(title: str, rows: Sequence[MeasuredRow]) -> Iterator[Table]:
    """First what was measured at one size; then a table for everything that was varied, with ways
    as columns.
    """
    yield figures(title, [row for row in rows if not row.sweep])
    for sweep, unit in dict.fromkeys((row.sweep, row.unit) for row in rows if row.sweep):
        yield curves(sweep, unit, [row for row in rows if (row.sweep, row.unit) == (sweep, unit)])


def figures(title: str, rows: Sequence[MeasuredRow]) -> Table:
    """One line per figure: the median, its unit, the range of repeats if there is more than one,
    and the target.
    """
    table = Table(title=title, **TABLE)
    for heading in ("", "median", "", "range", "target"):
        table.add_column(
            heading,
            justify="right" if heading in ("median", "range") else "left",
            no_wrap=heading != "",
        )
    for case, group in groupby(rows, key=lambda row: row.case):
        table.add_row(Text(case, "bold"))
        for row in group:
            way = [Padding(Text(row.way), (0, 0, 0, 2))]
            if row.note:
                way.append(Padding(Text(row.note, "dim"), (0, 0, 0, 4)))
            spread = (
                f"{number(min(row.values))}–{number(max(row.values))}"
                if len(row.values) > 1
                else ""
            )
            table.add_row(Group(*way), number(row.median), row.unit, spread, target(row))
    return table


def curves(sweep: str, unit: str, rows: Sequence[MeasuredRow]) -> Table:
    """Medians: sizes down, ways across."""
    ways = list(dict.fromkeys(row.way for row in rows))
    medians = {(row.x, row.way): number(row.median) for row in rows}
    table = Table(title=f"{unit} against {sweep}", **TABLE)
    for heading in (sweep, *ways):
        table.add_column(heading, justify="right")
    for x in dict.fromkeys(row.x for row in rows):
        table.add_row(f"{x:g}", *(medians.get((x, way), "") for way in ways))
    return table


def number(value: float) -> str:
    """Three digits, or all there are before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def target(row: MeasuredRow) -> str:
    """ "≥ 5 met", "≤ 10 missed", or nothing."""
    if row.reached is None:
        return ""
    sign, limit = ("≥", row.at_least) if row.at_least is not None else ("≤", row.at_most)
    return f"{sign} {limit:g} {'met' if row.reached else 'missed'}"


def as_json(row: MeasuredRow) -> dict[str, Any]:
    """Everything about a figure."""
    return asdict(row) | {
        "median": row.median,
        "repeats": len(row.values),
        "spread": [min(row.values), max(row.values)],
        "reached": row.reached,
    }


def draw_sweeps(path: Path, title: str, subtitle: str, rows: Sequence[MeasuredRow]) -> bool:
    """Draw medians, and the range of repeats as a band, a panel for what was varied; was there any
    to draw?
    """
    points = [
        (r.sweep, r.unit, r.way, r.x, r.median, min(r.values), max(r.values))
        for r in rows
        if r.sweep
    ]
    table = pd.DataFrame(points, columns=["sweep", "unit", "curve", "x", "mean", "low", "high"])
    if points:
        libraries, panel = (
            table["curve"].str.partition(",")[0],
            table["unit"] + " against " + table["sweep"],
        )
        colour = libraries.map(dict(zip(libraries.unique(), cycle(PALETTE), strict=False)))
        style = (
            table["curve"]
            .groupby(libraries)
            .transform(lambda ways: [STYLES[n % 4] for n in pd.factorize(ways)[0]])
        )
        table = table.assign(panel=panel, colour=colour, style=style)
        limits = (40.0, 101.0) if set(table["unit"]) == {"%"} else None
        draw_curves(
            path, title, subtitle, table, "", "", CurveOptions(logarithmic=True, limits=limits)
        )
    return bool(points)
