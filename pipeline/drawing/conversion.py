"""The accuracy of a converted network over time, and by layer the errors of its activations, by
cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from spikesam.pipeline.drawing.canvas import (
    GREY,
    PALETTE,
    drawable,
    drawing,
    grid_lines,
    legend_beside,
    shortened,
)

HIGH, SHORT = 0.22, 18  # inches of a layer's bar; characters of its name


def draw_conversion(
    path: Path,
    title: str,
    subtitle: str,
    curves: Mapping[str, pd.Series],
    reference: float,
    errors: pd.DataFrame,
) -> None:
    """Curves over steps t, shares in 0 … 1, beside the ANN's; errors in %, a row per layer and a
    column per cause.
    """
    height = max(2.2, HIGH * len(errors))
    with drawing(path, title, subtitle, 11.0, height + 1.7) as canvas:
        axes = canvas.axes(0.8, 0.85, 3.6, height)
        axes.axhline(
            100 * reference, color=GREY, linestyle="--", linewidth=1, label=f"ANN {reference:.1%}"
        )
        for (name, curve), colour, style in zip(
            curves.items(), PALETTE, ("-", "-", ":"), strict=False
        ):
            axes.plot(curve.index, 100 * curve, style, color=colour, label=name, linewidth=1.4)
        axes.set(xlabel="steps t", ylabel="accuracy, %", xscale="log", ylim=(0, 102))
        axes.set_xticks(
            ticks := [
                1 << power for power in range(int(np.log2(max(map(len, curves.values())))) + 1)
            ],
            ticks,
        )
        axes.minorticks_off()
        axes.legend(loc="lower right", frameon=False, fontsize=8)
        grid_lines(axes, "y")
        bars, positions, left = (
            canvas.axes(5.6, 0.85, 3.6, height),
            np.arange(len(errors)),
            np.zeros(len(errors)),
        )
        squares = errors**2
        lengths = squares.div(squares.sum(axis=1).replace(0, 1), axis=0).mul(
            np.sqrt(squares.sum(axis=1)), axis=0
        )
        for cause, colour in zip(errors, PALETTE, strict=False):
            bars.barh(positions, lengths[cause], left=left, color=colour, label=cause)
            left = left + lengths[cause].to_numpy()
        bars.set(
            yticks=positions,
            yticklabels=[drawable(shortened(name, SHORT)) for name in errors.index],
        )
        bars.set_xlabel("error of activations, % of their RMS, by each cause's share of the square")
        bars.invert_yaxis()
        grid_lines(bars, "x")
        legend_beside(bars, fontsize=8)
