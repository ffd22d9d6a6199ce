"""The spikes of a layer: neurons by steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import GREY, drawing, step_axis, text_width

MOST_NEURONS = 40
WIDTH, LINE, LEAST = 6.35, 0.085, 0.9  # inches: of the axes, of a neuron's line, of the axes' height
INK = "#1b2a41"
LABEL = "neurons, most active on top"
LONGEST, THINNEST, THICKEST = 0.72, 0.6, 2.4  # of a line: a spike's height; points: its width


def draw_raster(path: Path, layer: str, packed: NDArray[np.uint8], neurons: int, sample: str) -> None:
    """Draw the packed spikes of one sample, (T, bytes), of a layer of C·H·W neurons: a line a neuron, a tick a spike.

    The most active neurons are on top, evenly thinned if there are many.
    """
    timesteps, counts = len(packed), np.zeros(neurons, np.int32)
    for step in packed:
        counts += np.unpackbits(step, count=neurons)
    firing = np.flatnonzero(counts)
    firing = firing[np.argsort(-counts[firing], kind="stable")]
    shown = firing[np.linspace(0, len(firing) - 1, min(len(firing), MOST_NEURONS)).round().astype(int)]
    about = f"{len(firing):,} of {neurons:,} neurons fire."
    if len(shown) < len(firing):
        about += f" One in {len(firing) / len(shown):.0f} is shown, from the most to the least active."
    if len(shown):
        about += " A line is a neuron, a tick a spike."
    height = max(LINE * len(shown), LEAST)
    with drawing(path, f"Spikes of {layer}: {sample}", about, WIDTH + 0.85, height + 1.4) as canvas:
        axes = canvas.axes(0.65, 0.8, WIDTH, height)
        step_axis(axes, timesteps)
        axes.set(ylabel=LABEL if text_width(LABEL) < height else LABEL.partition(",")[0], yticks=[])
        if len(shown):
            fired = packed[:, shown // 8] << (shown % 8).astype(np.uint8) & 0x80  # the first bit is the highest
            lines = np.arange(len(shown))
            axes.hlines(lines, -0.5, timesteps - 0.5, color="0.92", linewidth=0.5)
            wide = min(max(0.35 * 72 * WIDTH / timesteps, THINNEST), THICKEST)
            spikes = [np.flatnonzero(neuron) for neuron in fired.T]
            axes.eventplot(spikes, lineoffsets=lines, linelengths=LONGEST, linewidths=wide, colors=INK)
            axes.set_ylim(len(shown) - 0.4, -0.6)
        else:
            axes.text(0.5, 0.5, "no spikes", transform=axes.transAxes, ha="center", va="center", color=GREY)
