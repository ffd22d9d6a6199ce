"""Many estimates: methods as lines, conditions as columns, measures as rows, dots with their 95 %
intervals.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from spikesam.figures import GREY, MARGIN, PALETTE, drawing, grid_lines, reach, text_width

WIDTH, LINE, TOP, GAP, BETWEEN = 1.75, 0.19, 1.3, 0.18, 0.6  # inches
APART = 0.22  # between series in one line


def draw_intervals(
    path: Path,
    title: str,
    subtitle: str,
    table: pd.DataFrame,
    ticks: tuple[float, ...] = (0, 0.5, 1),
    limits: tuple[float, float] = (0, 1),
    margin: float | None = None,
) -> None:
    """Draw and save, on axes within limits. What has a name is shown in the order in which the
    table first names it. A band shows what is within ± margin.

    The table has a row per estimate: row and column of its axes, method (the line in them), series
    (a colour each), mean, low and high.
    """
    rows, columns, methods, series = (
        list(table[name].unique()) for name in ("row", "column", "method", "series")
    )
    left = 0.3 + text_width("\n".join(methods), 8)
    height = LINE * (len(methods) + 0.6)
    size = (left + len(columns) * (WIDTH + GAP) + 0.1, TOP + len(rows) * (height + BETWEEN) - 0.2)
    with drawing(path, title, subtitle, *size) as canvas:
        for number, name in enumerate(series if len(series) > 1 else ()):
            canvas.text(left + 1.5 * number, 0.74, f"● {name}", color=PALETTE[number], fontsize=8.5)
        for row, measure in enumerate(rows):
            y = TOP + row * (height + BETWEEN)
            canvas.text(MARGIN, y - 0.08, measure, fontsize=9.5, fontweight="bold")
            for column, condition in enumerate(columns):
                axes = canvas.axes(left + column * (WIDTH + GAP), y, WIDTH, height)
                shown = table[(table["row"] == measure) & (table["column"] == condition)]
                for number, name in enumerate(series):
                    estimates = shown[shown["series"] == name]
                    at = estimates["method"].map(methods.index) + APART * (
                        number - (len(series) - 1) / 2
                    )
                    style = {
                        "color": PALETTE[number],
                        "fmt": "o",
                        "markersize": 3.5,
                        "linewidth": 1.2,
                    }
                    axes.errorbar(estimates["mean"], at, xerr=reach(estimates), **style)
                axes.set(
                    ylim=(len(methods) - 0.4, -0.6), yticks=range(len(methods)), yticklabels=[]
                )
                if margin is not None:
                    axes.axvspan(-margin, margin, color=GREY, alpha=0.18, linewidth=0)
                    axes.axvline(0, color=GREY, linewidth=1)
                axes.tick_params(labelsize=7)
                axes.tick_params(axis="y", length=0)
                grid_lines(axes, "x")
                axes.set(xlim=limits, xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
                if row == 0:
                    axes.set_title(condition, fontsize=8.5)
                if column == 0:
                    axes.set_yticklabels(methods, fontsize=8)
