"""Spikes: the rates of all layers over time, and those of one layer, neurons by steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import (
    GREY,
    drawing,
    grid_lines,
    legend_beside,
    step_axis,
    text_width,
)

# From the input to the deepest layer. All are dark enough on white, and neighbours differ more than
# viridis's would.
DEPTH = mpl.colors.LinearSegmentedColormap.from_list(
    "depth",
    [
        "#26266b",
        "#2166c4",
        "#2aa7c9",
        "#2f9e62",
        "#9bb02c",
        "#e0a215",
        "#e0651b",
        "#c0232c",
        "#6e1040",
    ],
)
MARKERS = "os^D"  # so that neighbours also differ to the colour-blind
MARKED = 20  # markers along a line, at most about
MOST_NEURONS = 40
WIDTH, LINE, LEAST = (
    6.35,
    0.085,
    0.9,
)  # inches: of the axes, of a neuron's line, of the axes' height
INK = "#1b2a41"
LABEL = "neurons, most active on top"
LONGEST, THINNEST, THICKEST = 0.72, 0.6, 2.4  # of a line: a spike's height; points: its width


def draw_rates(
    path: Path, rates: Mapping[str, NDArray[np.floating[Any]]], matter: Mapping[str, int]
) -> None:
    """Draw the fraction of neurons that fire, (N, T), as mean and percentiles; dotted after the
    steps that `matter`.
    """
    n_samples, timesteps = next(iter(rates.values())).shape
    samples = (
        "One sample."
        if n_samples == 1
        else f"Mean of {n_samples:,} samples. Band: 10th to 90th percentile."
    )
    late = " Dotted: too late to change the answer." if min(matter.values()) < timesteps else ""
    steps = np.arange(timesteps)
    with drawing(path, "Spike rate by layer", samples + late, 7.2, 3.8) as canvas:
        axes = canvas.axes(0.65, 0.8, 5.3, 2.5)
        colours = DEPTH(np.linspace(0, 1, len(rates)))
        for (name, rate), colour, marker in zip(
            rates.items(), colours, cycle(MARKERS), strict=False
        ):
            percent = 100 * rate
            axes.fill_between(
                steps,
                *np.percentile(percent, [10, 90], axis=0),
                color=colour,
                alpha=0.13,
                linewidth=0,
            )
            mean, end = percent.mean(axis=0), matter[name]
            style = {"marker": marker, "markersize": 3.5, "markevery": max(1, timesteps // MARKED)}
            axes.plot(steps[:end], mean[:end], color=colour, label=name, **style)
            axes.plot(steps[end - 1 :], mean[end - 1 :], color=colour, linestyle=":", linewidth=1)
        step_axis(axes, timesteps)
        axes.set_ylabel("neurons that fire, %")
        axes.set_ylim(bottom=0)
        grid_lines(axes, "y")
        legend_beside(axes)


def draw_raster(
    path: Path, layer: str, packed: NDArray[np.uint8], neurons: int, sample: str
) -> None:
    """Draw packed spikes of one sample, (T, bytes): a line a neuron, the most active on top,
    thinned if many.
    """
    timesteps, counts = len(packed), np.zeros(neurons, np.int32)
    for step in packed:
        counts += np.unpackbits(step, count=neurons)
    firing = np.flatnonzero(counts)
    firing = firing[np.argsort(-counts[firing], kind="stable")]
    shown = firing[
        np.linspace(0, len(firing) - 1, min(len(firing), MOST_NEURONS)).round().astype(int)
    ]
    caption = f"{len(firing):,} of {neurons:,} neurons fire."
    if len(shown) < len(firing):
        caption += (
            f" One in {len(firing) / len(shown):.0f} is shown, from the most to the least active."
        )
    if len(shown):
        caption += " A line is a neuron, a tick a spike."
    height = max(LINE * len(shown), LEAST)
    with drawing(
        path, f"Spikes of {layer}: {sample}", caption, WIDTH + 0.85, height + 1.4
    ) as canvas:
        axes = canvas.axes(0.65, 0.8, WIDTH, height)
        step_axis(axes, timesteps)
        axes.set(ylabel=LABEL if text_width(LABEL) < height else LABEL.partition(",")[0], yticks=[])
        if len(shown):
            fired = (
                packed[:, shown // 8] << (shown % 8).astype(np.uint8) & 0x80
            )  # the first bit is the highest
            lines = np.arange(len(shown))
            axes.hlines(lines, -0.5, timesteps - 0.5, color="0.92", linewidth=0.5)
            line_width = min(max(0.35 * 72 * WIDTH / timesteps, THINNEST), THICKEST)
            spikes = [np.flatnonzero(neuron) for neuron in fired.T]
            axes.eventplot(
                spikes, lineoffsets=lines, linelengths=LONGEST, linewidths=line_width, colors=INK
            )
            axes.set_ylim(len(shown) - 0.4, -0.6)
        else:
            axes.text(
                0.5,
                0.5,
                "no spikes",
                transform=axes.transAxes,
                ha="center",
                va="center",
                color=GREY,
            )
