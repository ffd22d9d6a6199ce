"""Picture of the spikes in which two rasters differ, by layer and step, and both membranes of a
neuron that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import GREY, PALETTE, drawing, grid_lines, step_axis

LEFT, WIDTH, ROW, MEMBRANES = (
    1.05,
    6.0,
    0.26,
    1.9,
)  # inches: to the axes, of them, of a layer's row, of the membranes
LOWEST = -200  # % of the threshold: what silences a layer after its own steps lies far below
WRITTEN = 24  # steps: cells of more are too narrow for their numbers
MOST_ROWS = 40  # layers: of more, rows are lower
DIFFER = mpl.colors.LinearSegmentedColormap.from_list(
    "differ", ["#ffffff", "#f6c9a8", "#c8553d", "#6e1040"]
)
NAMES = ("A", "B")


@dataclass(frozen=True, eq=False)
class DrawnNeuron:
    """A neuron that differs."""

    layer: int  # row of its layer
    step: int  # at which it differs
    title: str
    membranes: dict[str, NDArray[np.floating[Any]]]  # by name, (steps,), shares of the threshold
    fired: dict[str, NDArray[np.bool_]]  # by name, (steps,)


def draw_difference(
    path: Path,
    subtitle: str,
    layers: Sequence[str],
    counts: NDArray[np.int64],
    bits: Sequence[int],
    neuron: DrawnNeuron | None = None,
) -> None:
    """Draw how many `bits` of a layer in a step differ, `counts` (layers, steps); below it a
    neuron's membranes.
    """
    rows, steps = counts.shape
    height = ROW * min(rows, MOST_ROWS)
    below = 1.2 + MEMBRANES if neuron is not None and neuron.membranes else 0.0
    shares = 100 * counts / np.asarray(bits)[:, None]
    framed = (
        ""
        if neuron is None
        else " The frame: the neuron below."
        if below
        else " The frame: the first of them."
    )
    legend = "No bit differs."
    if counts.any():
        legend = (
            "A cell is a layer at a step: the darker, the more of its bits differ, "
            f"up to {shares.max():.2g}%.{framed}"
        )
    with drawing(
        path, "Spikes that differ", f"{subtitle} {legend}", 7.4, height + below + 1.4
    ) as canvas:
        axes = canvas.axes(LEFT, 0.8, WIDTH, height)
        axes.imshow(
            shares,
            cmap=DIFFER,
            vmin=0,
            vmax=max(shares.max(), 1e-9),
            aspect="auto",
            interpolation="nearest",
        )
        axes.set(yticks=range(rows), yticklabels=layers)
        step_axis(axes, steps)
        axes.tick_params(axis="y", length=0)
        if steps <= WRITTEN and rows <= MOST_ROWS:
            _write(axes, counts, shares)
        if neuron is not None:
            axes.add_patch(
                mpl.patches.Rectangle(
                    (neuron.step - 0.5, neuron.layer - 0.5), 1, 1, fill=False, linewidth=1.8
                )
            )
        if neuron is not None and below:
            _draw_membranes(canvas.axes(LEFT, height + 2.0, WIDTH, MEMBRANES), neuron, steps)
            lowest = 100 * min(membrane.min() for membrane in neuron.membranes.values())
            cut = f". What is below {LOWEST} % is drawn there" if lowest < LOWEST else ""
            canvas.text(LEFT, height + 1.68, f"{neuron.title}{cut}", fontsize=9, color=GREY)


def _write(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """The number of bits in each cell where there are any."""
    for row, step in np.argwhere(counts).tolist():
        dark = shares[row, step] > 0.45 * shares.max()
        text = (
            f"{counts[row, step]}"
            if counts[row, step] < 10_000
            else f"{counts[row, step] / 1000:.0f}k"
        )
        axes.text(
            step, row, text, ha="center", va="center", fontsize=6, color="white" if dark else "0.25"
        )


def _draw_membranes(axes: Any, neuron: DrawnNeuron, steps: int) -> None:
    """Membranes as shares of their thresholds; a triangle where the neuron has fired."""
    times = np.arange(steps)
    for name, membrane in neuron.membranes.items():
        style = {"color": PALETTE[NAMES.index(name)], "linestyle": ("-", "--")[NAMES.index(name)]}
        axes.plot(
            times,
            np.maximum(100 * membrane, LOWEST),
            label=f"membrane in {name}",
            linewidth=1.4,
            **style,
        )
    top = 100 * max(1.0, *(float(membrane.max()) for membrane in neuron.membranes.values()))
    for name, fired in neuron.fired.items():
        spike_steps = np.flatnonzero(fired)
        height = np.full(len(spike_steps), top + 12 + 14 * NAMES.index(name))
        axes.plot(
            spike_steps,
            height,
            "v",
            markersize=4,
            color=PALETTE[NAMES.index(name)],
            label=f"{name} fires",
        )
    axes.axhline(100, color="0.2", linewidth=0.8)
    axes.axvline(neuron.step, color="0.9", linewidth=6, zorder=0)
    step_axis(axes, steps)
    axes.set_ylabel("% of the threshold")
    grid_lines(axes, "y")
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        fontsize=7,
        frameon=False,
        ncols=4,
        borderaxespad=0.2,
    )
