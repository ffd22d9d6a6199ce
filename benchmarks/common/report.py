"""What was measured, as tables on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.common.measurement import Row
from spikesam.pipeline.drawing.canvas import PALETTE, drawing, grid_lines


def as_tables(title: str, rows: Sequence[Row]) -> Iterator[Table]:
    """First what was measured at one size; then a table for everything that was varied, with ways as columns."""
    yield figures(title, [row for row in rows if not row.sweep])
    for sweep, unit in dict.fromkeys((row.sweep, row.unit) for row in rows if row.sweep):
        yield curves(sweep, unit, [row for row in rows if (row.sweep, row.unit) == (sweep, unit)])


def figures(title: str, rows: Sequence[Row]) -> Table:
    """One line per figure: the median, its unit, the range of repeats if there is more than one, and the target."""
    table = new_table(title)
    table.add_column("")
    table.add_column("median", justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("range", justify="right", no_wrap=True)
    table.add_column("target", no_wrap=True)
    for case, group in groupby(rows, key=lambda row: row.case):
        table.add_row(Text(case, "bold"))
        for row in group:
            way = [Padding(Text(row.way), (0, 0, 0, 2))]
            if row.note:
                way.append(Padding(Text(row.note, "dim"), (0, 0, 0, 4)))
            spread = f"{number(min(row.values))}–{number(max(row.values))}" if len(row.values) > 1 else ""
            table.add_row(Group(*way), number(row.median), row.unit, spread, target(row))
    return table


def curves(sweep: str, unit: str, rows: Sequence[Row]) -> Table:
    """Medians: sizes down, ways across."""
    ways = list(dict.fromkeys(row.way for row in rows))
    medians = {(row.x, row.way): number(row.median) for row in rows}
    table = new_table(f"{unit} against {sweep}")
    for heading in (sweep, *ways):
        table.add_column(heading, justify="right")
    for x in dict.fromkeys(row.x for row in rows):
        table.add_row(f"{x:g}", *(medians.get((x, way), "") for way in ways))
    return table


def new_table(title: str) -> Table:
    """An empty one."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)


def number(value: float) -> str:
    """Three digits, or all there are before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def target(row: Row) -> str:
    """ "≥ 5 met", "≤ 10 missed", or nothing."""
    if row.reached is None:
        return ""
    sign, limit = ("≥", row.at_least) if row.at_least is not None else ("≤", row.at_most)
    return f"{sign} {limit:g} {'met' if row.reached else 'missed'}"


def as_json(row: Row) -> dict[str, Any]:
    """Everything about a figure."""
    return asdict(row) | {
        "median": row.median,
        "repeats": len(row.values),
        "spread": [min(row.values), max(row.values)],
        "reached": row.reached,
    }


COLUMNS = 3
FLAT = 4  # times the smallest cost: less is drawn on a linear scale
WIDTH, HEIGHT = 2.9, 2.2  # inches, of a panel
LEFT, GAP, TOP, ROW_GAP, LEGEND = 0.75, 0.85, 1.0, 0.85, 2.6


def draw_sweeps(path: Path, title: str, subtitle: str, rows: Sequence[Row]) -> bool:
    """Draw medians, and the range of repeats as a band; says whether there was any to draw."""
    points = [row for row in rows if row.sweep]
    panels = list(dict.fromkeys((row.sweep, row.unit) for row in points))
    colours = dict(zip(dict.fromkeys(row.way for row in points), PALETTE, strict=False))
    if not panels:
        return False
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    width = LEFT + columns * (WIDTH + GAP) - GAP + LEGEND
    with drawing(path, title, subtitle, width, TOP + lines * (HEIGHT + ROW_GAP) - 0.2) as canvas:
        handles: dict[str, Any] = {}
        for number, (sweep, unit) in enumerate(panels):
            line, column = divmod(number, columns)
            axes = canvas.axes(LEFT + column * (WIDTH + GAP), TOP + line * (HEIGHT + ROW_GAP), WIDTH, HEIGHT)
            shown = [row for row in points if (row.sweep, row.unit) == (sweep, unit)]
            for way in dict.fromkeys(row.way for row in shown):
                handles[way] = draw_curve(axes, [row for row in shown if row.way == way], colours[way])
            label_axes(axes, sweep, unit, shown)
        corner = ((width - LEGEND + 0.15) / canvas.width, 1 - (canvas.above + TOP - 0.1) / canvas.height)
        canvas.figure.legend(
            list(handles.values()),
            list(handles),
            loc="upper left",
            bbox_to_anchor=corner,
            frameon=False,
            fontsize=8.5,
        )
    return True


def draw_curve(axes: Any, rows: Sequence[Row], colour: str) -> Any:
    """One way; returns what the legend shows."""
    x = [row.x for row in rows]
    (line,) = axes.plot(x, [row.median for row in rows], "o-", color=colour, markersize=3.5, linewidth=1.5)
    axes.fill_between(
        x, [min(row.values) for row in rows], [max(row.values) for row in rows], color=colour, alpha=0.2, linewidth=0
    )
    return line


def label_axes(axes: Any, sweep: str, unit: str, rows: Sequence[Row]) -> None:
    """Plain numbers, a tick per measured size; costs on a logarithmic scale, or from 0 where they hardly differ."""
    axes.set(xscale="log", xlabel=sweep, ylabel=unit)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sorted({row.x for row in rows if row.x is not None}))
    costs = [value for row in rows for value in row.values]
    if max(costs) < FLAT * min(costs):
        axes.set_ylim(0, 1.25 * max(costs))
    else:
        axes.set(yscale="log", ylim=(min(costs) / 1.5, max(costs) * 1.5))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.tick_params(labelsize=8)
    grid_lines(axes, "both")
