"""Spike rates over time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import drawing, grid_lines, legend_beside, step_axis

# From the input to the deepest layer. All are dark enough on white, and neighbours differ more than viridis's would.
DEPTH = mpl.colors.LinearSegmentedColormap.from_list(
    "depth", ["#26266b", "#2166c4", "#2aa7c9", "#2f9e62", "#9bb02c", "#e0a215", "#e0651b", "#c0232c", "#6e1040"]
)
MARKERS = "os^D"  # so that neighbours also differ to the colour-blind
MARKED = 20  # markers along a line, at most about


def draw_rates(path: Path, rates: Mapping[str, NDArray[np.floating[Any]]], matter: Mapping[str, int]) -> None:
    """Draw the fraction of each layer's neurons that fire, (N, T): its mean over samples, and a band of percentiles.

    Steps after the first ones that `matter`, because they can change the answer, are dotted.
    """
    n_samples, timesteps = next(iter(rates.values())).shape
    samples = "One sample." if n_samples == 1 else f"Mean of {n_samples:,} samples. Band: 10th to 90th percentile."
    late = " Dotted: too late to change the answer." if min(matter.values()) < timesteps else ""
    steps = np.arange(timesteps)
    with drawing(path, "Spike rate by layer", samples + late, 7.2, 3.8) as canvas:
        axes = canvas.axes(0.65, 0.8, 5.3, 2.5)
        colours = DEPTH(np.linspace(0, 1, len(rates)))
        for (name, rate), colour, marker in zip(rates.items(), colours, cycle(MARKERS), strict=False):
            percent = 100 * rate
            axes.fill_between(steps, *np.percentile(percent, [10, 90], axis=0), color=colour, alpha=0.13, linewidth=0)
            mean, end = percent.mean(axis=0), matter[name]
            style = {"marker": marker, "markersize": 3.5, "markevery": max(1, timesteps // MARKED)}
            axes.plot(steps[:end], mean[:end], color=colour, label=name, **style)
            axes.plot(steps[end - 1 :], mean[end - 1 :], color=colour, linestyle=":", linewidth=1)
        step_axis(axes, timesteps)
        axes.set_ylabel("neurons that fire, %")
        axes.set_ylim(bottom=0)
        grid_lines(axes, "y")
        legend_beside(axes)
