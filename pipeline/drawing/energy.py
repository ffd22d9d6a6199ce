"""What a recording costs, as bars by layer and lines over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import PALETTE, drawable, drawing, grid_lines
from spikesam.pipeline.drawing.rates import DEPTH

HIGH = 0.3  # inches of a layer's bars


def draw_energy(
    path: Path,
    title: str,
    subtitle: str,
    unit: str,
    layers: Mapping[str, tuple[float, float]],
    steps: Mapping[str, NDArray[np.floating[Any]]],
) -> None:
    """Draw and save.

    Parameters
    ----------
    unit : of all numbers, such as "µJ"
    layers : layer -> what it costs, and what an ANN's costs in one pass; NaN of what is not known
    steps : layer -> (T,) what it costs at every step
    """
    height = max(1.6, HIGH * len(layers))
    with drawing(path, title, subtitle, 9.4, height + 1.5) as canvas:
        bars = canvas.axes(1.0, 0.85, 3.4, height)
        at, names = np.arange(len(layers)), list(layers)
        spent, dense = (np.array(each) for each in zip(*layers.values(), strict=True))
        bars.barh(at - 0.19, spent, 0.36, color=PALETTE[0], label="as recorded")
        if np.isfinite(dense).any():
            bars.barh(at + 0.19, dense, 0.36, color="0.75", label="an ANN, one pass")
            bars.legend(loc="lower right", frameon=False, fontsize=8)
        bars.set(yticks=at, yticklabels=[drawable(_short(name)) for name in names], xlabel=f"{unit} a sample")
        bars.invert_yaxis()
        grid_lines(bars, "x")
        lines = canvas.axes(5.2, 0.85, 3.0, height)
        _draw_steps(lines, steps, unit)


def _draw_steps(axes: Any, steps: Mapping[str, Sequence[float] | NDArray[np.floating[Any]]], unit: str) -> None:
    """Layers on top of each other, the first one lowest."""
    timesteps = len(next(iter(steps.values())))
    edges = np.arange(timesteps + 1) - 0.5
    below = np.zeros(timesteps)
    for name, colour in zip(steps, DEPTH(np.linspace(0, 1, len(steps))), strict=True):
        above = below + steps[name]
        axes.stairs(above, edges, baseline=below, fill=True, color=colour, label=drawable(_short(name)))
        below = above
    axes.set(xlabel="step t", ylabel=f"{unit} a step", xlim=(-0.5, timesteps - 0.5))
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    grid_lines(axes, "y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.03), frameon=False, borderaxespad=0, fontsize=7, reverse=True)


def _short(name: str) -> str:
    return name if len(name) <= SHORT else f"{name[: SHORT - 5]}…{name[-4:]}"


SHORT = 14  # characters of a layer's name
