"""The cost of a recording, as bars by layer and lines over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.activity import DEPTH
from spikesam.pipeline.drawing.canvas import (
    PALETTE,
    drawable,
    drawing,
    grid_lines,
    legend_beside,
    shortened,
    step_axis,
)

HIGH, SHORT = 0.3, 14  # inches of a layer's bars; characters of its name


def draw_energy(
    path: Path,
    title: str,
    subtitle: str,
    unit: str,
    layers: Mapping[str, tuple[float, float]],
    steps: Mapping[str, NDArray[np.floating[Any]]],
) -> None:
    """Draw what layers cost, beside an ANN's in one pass, NaN if unknown, and what they cost at
    every step, (T,).
    """
    height = max(1.6, HIGH * len(layers))
    with drawing(path, title, subtitle, 9.4, height + 1.5) as canvas:
        bars = canvas.axes(1.0, 0.85, 3.4, height)
        positions, names = np.arange(len(layers)), list(layers)
        spent, dense = (np.array(column) for column in zip(*layers.values(), strict=True))
        bars.barh(positions - 0.19, spent, 0.36, color=PALETTE[0], label="as recorded")
        if np.isfinite(dense).any():
            bars.barh(positions + 0.19, dense, 0.36, color="0.75", label="an ANN, one pass")
            bars.legend(loc="lower right", frameon=False, fontsize=8)
        bars.set(
            yticks=positions,
            yticklabels=[drawable(shortened(name, SHORT)) for name in names],
            xlabel=f"{unit} a sample",
        )
        bars.invert_yaxis()
        grid_lines(bars, "x")
        lines = canvas.axes(5.2, 0.85, 3.0, height)
        _draw_steps(lines, steps, unit)


def _draw_steps(
    axes: Any, steps: Mapping[str, Sequence[float] | NDArray[np.floating[Any]]], unit: str
) -> None:
    """Layers on top of each other, the first one lowest."""
    timesteps = len(next(iter(steps.values())))
    edges = np.arange(timesteps + 1) - 0.5
    below = np.zeros(timesteps)
    for name, colour in zip(steps, DEPTH(np.linspace(0, 1, len(steps))), strict=True):
        above = below + steps[name]
        axes.stairs(
            above,
            edges,
            baseline=below,
            fill=True,
            color=colour,
            label=drawable(shortened(name, SHORT)),
        )
        below = above
    step_axis(axes, timesteps)
    axes.set_ylabel(f"{unit} a step")
    axes.set_ylim(bottom=0)
    grid_lines(axes, "y")
    legend_beside(axes, fontsize=7, reverse=True)
