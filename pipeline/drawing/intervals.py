"""A figure of many estimates: methods as lines, conditions as columns, measures as rows, dots with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from pipeline.drawing.canvas import drawing

from .curves import PALETTE

Interval = tuple[float, float, float]  # mean, low, high


def draw_intervals(
    path: Path,
    title: str,
    subtitle: str,
    rows: Sequence[str],
    columns: Sequence[str],
    methods: Sequence[str],
    series: Sequence[str],
    values: Mapping[tuple[str, str, str, str], Interval],
    reference: float | None = None,
) -> None:
    """Draw and save.

    Parameters
    ----------
    rows, columns : names of the measures and of the conditions
    methods : from the top
    series : one colour each, such as the networks
    values : (row, column, method, series) -> mean and interval; what is missing is left out
    reference : where to draw a line, such as 0
    """
    width, line, left, top, gap = 1.75, 0.19, 1.75, 1.3, 0.18
    between = 0.6
    height = line * (len(methods) + 0.6)
    total = left + len(columns) * (width + gap) + 0.1
    with drawing(path, max(total, 6.0), top + len(rows) * (height + between) - 0.2) as canvas:
        canvas.heading(0.15, title, subtitle)
        for number, name in enumerate(series if len(series) > 1 else ()):
            canvas.text(left + 1.5 * number, 0.74, f"● {name}", color=PALETTE[number], fontsize=8.5)
        for row, measure in enumerate(rows):
            for column, condition in enumerate(columns):
                x, y = left + column * (width + gap), top + row * (height + between)
                axes = canvas.axes(x, y, width, height)
                for place, method in enumerate(methods):
                    for number, name in enumerate(series):
                        if (found := values.get((measure, condition, method, name))) is None:
                            continue
                        mean, low, high = found
                        at = place + 0.22 * (number - (len(series) - 1) / 2)
                        style = {"color": PALETTE[number], "linewidth": 1.2}
                        axes.plot([low, high], [at, at], **style)
                        axes.plot([mean], [at], "o", markersize=3.5, color=PALETTE[number])
                axes.set(ylim=(len(methods) - 0.4, -0.6), yticks=range(len(methods)), yticklabels=[])
                axes.tick_params(labelsize=7)
                axes.tick_params(axis="y", length=0)
                axes.grid(axis="x", color="0.9", linewidth=0.8)
                axes.set_axisbelow(True)
                if reference is None:
                    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"))
                else:
                    axes.xaxis.set_major_locator(MaxNLocator(4))
                    axes.axvline(reference, color="0.4", linewidth=0.8)
                if row == 0:
                    axes.set_title(condition, fontsize=8.5)
                if column == 0:
                    axes.set_yticklabels(methods, fontsize=8)
                    canvas.text(0.15, y - 0.08, measure, fontsize=9.5, fontweight="bold")
