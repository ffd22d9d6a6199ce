"""Cost against size: a panel for everything that was varied, a curve for every way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from benchmarks.measurement import Row
from spikesam.pipeline.drawing.canvas import PALETTE, drawing, grid_lines

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
