"""Curves with their 95 % intervals, in panels side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import (
    GREY,
    PALETTE,
    drawing,
    grid_lines,
    legend_beside,
    text_width,
)

WIDTH, HEIGHT, LEFT, GAP, TOP, BOTTOM = (
    3.0,
    2.3,
    0.9,
    0.95,
    1.05,
    0.6,
)  # inches; GAP and LEFT hold "−0.005" and a label
APART = 0.12  # between curves in one category, whose width is 1
FLAT = 4  # times the smallest value: less is drawn from 0
MANY = 20  # points along x: from here on they have no markers
OPTIONAL = {"low": np.nan, "high": np.nan, "panel": "", "style": "-", "faint": ""}


@dataclass(frozen=True)
class CurveOptions:
    """Options of the axes of curves."""

    joined: bool = False  # join categories by lines and bands, too
    level: tuple[float, str] | None = (
        None  # height and name of a dashed line through all panels, to compare with
    )
    # positions along x of dotted lines, and their names
    marks: Mapping[float, str] = field(default_factory=dict)
    alike: bool = False  # give all panels the limits that hold the values of each
    limits: tuple[float, float] | None = None  # of all y axes, in place of that
    width: float = WIDTH  # inches, of a panel
    logarithmic: bool = (
        False  # both axes, but y from 0 where values hardly differ, and within limits
    )
    logarithmic_x_from: float | None = None  # x is logarithmic from here on, and linear from 0


USUAL = CurveOptions()


def draw_curves(
    path: Path,
    title: str,
    subtitle: str,
    table: pd.DataFrame,
    x: str,
    y: str | Mapping[str, str],
    options: CurveOptions = USUAL,
) -> None:
    """Draw and save. Whatever has a name is shown in the order in which the table first names it.

    The table has a row per point, and the columns curve (name in the legend; it has a colour, in
    all panels), x (numbers, which are joined by lines and bands, or names of categories, which get
    dots and bars), mean, and optionally low and high (the interval; none is drawn where they are
    NaN or infinite), panel (title of the axes), style ("-", "--" or ":", may change along a curve),
    faint (names a thin line without interval, of which a curve may have several; "" is the curve
    itself) and colour. `x` and `y` are labels of the axes, `y` also of each panel's.
    """
    level, width = options.level, options.width
    palette = dict(zip(table["curve"].unique(), cycle(PALETTE), strict=False))
    table = table.assign(**{name: value for name, value in OPTIONAL.items() if name not in table})
    table = table if "colour" in table else table.assign(colour=table["curve"].map(palette))
    categories = [] if pd.api.types.is_numeric_dtype(table["x"]) else list(table["x"].unique())
    if categories:
        table = table.assign(x=table["x"].map(categories.index).astype(float))
    if dots := bool(categories) and not options.joined:
        shift = {
            curve: APART * (place - (len(palette) - 1) / 2) for place, curve in enumerate(palette)
        }
        table = table.assign(x=table["x"] + table["curve"].map(shift))
    panels = table.groupby("panel", sort=False, dropna=False)
    legend: dict[str, Any] = {}
    named = [*palette, *([] if level is None else [level[1]]), *options.marks.values()]
    size = (
        LEFT + len(panels) * (width + GAP) - GAP + 0.75 + text_width("\n".join(named), 8),
        TOP + HEIGHT + BOTTOM,
    )
    with drawing(path, title, subtitle, *size) as canvas:
        drawn = []
        for number, (panel, rows) in enumerate(panels):
            axes = canvas.axes(LEFT + number * (width + GAP), TOP, width, HEIGHT)
            drawn.append(axes)
            marker = "o" if rows["x"].nunique() < MANY else ""
            for (curve, style, faint), points in rows.groupby(
                ["curve", "style", "faint"], sort=False, dropna=False
            ):
                handle = (
                    _dots(axes, points) if dots else _line(axes, points, style, marker, bool(faint))
                )
                legend.setdefault(curve, handle)
            if level is not None:
                handle = axes.axhline(level[0], color=GREY, linestyle="--", linewidth=1, zorder=1.5)
                legend = {level[1]: handle, **legend}
            for (mark, name), style in zip(options.marks.items(), cycle((":", "-.")), strict=False):
                legend[name] = axes.axvline(
                    mark, color=GREY, linestyle=style, linewidth=1, zorder=1.5
                )
            axes.set(title=panel, xlabel=x, ylabel=y if isinstance(y, str) else y[panel])
            if options.logarithmic:
                _make_logarithmic(axes, rows, options.limits is not None)
            if options.logarithmic_x_from is not None:
                ticks = rows["x"].unique()
                axes.set_xscale("symlog", base=2, linthresh=options.logarithmic_x_from)
                axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
                axes.xaxis.set_minor_formatter("")
            if dots:
                axes.set_xticks(
                    range(len(categories)), [name.replace(" ", "\n") for name in categories]
                )
                axes.set_xlim(-0.5, len(categories) - 0.5)
            elif categories:
                axes.set_xticks(range(len(categories)), categories, rotation=45, ha="right")
            grid_lines(axes, "y")
        lows, highs = zip(*(axes.get_ylim() for axes in drawn), strict=True)
        if limits := options.limits or ((min(lows), max(highs)) if options.alike else None):
            for axes in drawn:
                axes.set_ylim(limits)
        legend_beside(
            drawn[-1], legend.values(), legend, right=1 + 0.06 / width, fontsize=8, handlelength=2.8
        )


def reach(estimates: pd.DataFrame) -> NDArray[np.float64]:
    """The distance that an interval goes below and above its mean: (2, n), NaN where that is
    infinite or unknown.
    """
    mean, low, high = estimates[["mean", "low", "high"]].to_numpy(float).T
    distance = np.array([mean - low, high - mean])
    return np.where(np.isfinite(distance), np.maximum(distance, 0), np.nan)


def _dots(axes: Any, points: pd.DataFrame) -> Any:
    style = {
        "color": points["colour"].iloc[0],
        "fmt": "o",
        "markersize": 4,
        "capsize": 2,
        "linewidth": 1.2,
    }
    return axes.errorbar(points["x"], points["mean"], reach(points), **style)


def _line(axes: Any, points: pd.DataFrame, style: str, marker: str, faint: bool) -> Any:
    x, mean, colour = points["x"], points["mean"], points["colour"].iloc[0]
    if faint:
        return axes.plot(x, mean, style, color=colour, linewidth=0.7, alpha=0.55, zorder=1.8)[0]
    below, above = reach(points)
    axes.fill_between(x, mean - below, mean + above, color=colour, alpha=0.15, linewidth=0)
    return axes.plot(x, mean, style, color=colour, marker=marker, markersize=3)[0]


def _make_logarithmic(axes: Any, points: pd.DataFrame, limited: bool) -> None:
    low, high = points["low"].min(), points["high"].max()
    y = {"ylim": (0, 1.25 * high)} if limited or high < FLAT * low else {"yscale": "log"}
    axes.set(xscale="log", xticks=points["x"].unique(), **y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
