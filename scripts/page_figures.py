"""Figures of pages that no command draws: `python scripts/page_figures.py
convert|sounds|attention`.

`convert` needs docs/performance/convert.json, the other two bundled networks and their data, which
are made on the fly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

import spikesam
from spikesam.common.parsing import parse_json
from spikesam.pipeline.drawing.canvas import GREY, PALETTE, drawing, grid_lines

DOCS = Path(__file__).resolve().parents[1] / "docs"
NETWORKS = {"resnet18": "ResNet-18, 64×64 photographs", "vgg": "VGG, digits in clutter"}
CURVES = {
    "ANN": (GREY, "--"),
    "spikesam": (PALETTE[0], "-"),
    "spikesam, integers": (PALETTE[0], "--"),
    "spikesam, up to 4 spikes a step": (PALETTE[2], "-"),
    "spikesam, up to 4 spikes a step, integers": (PALETTE[2], "--"),
    "SpikingJelly, max": (PALETTE[1], "-"),
    "SpikingJelly, 99.9 %": (PALETTE[1], "--"),
    "SpikingJelly, 99.9 % by channel, half threshold": (PALETTE[1], ":"),
    "SpikingJelly, local balancing": (PALETTE[1], "-."),
    "sinabs": (PALETTE[3], "-"),
}
APART = 6.0  # percent points between two labels
SAMPLE, WINDOW_MS, SCENES = 0, 8, 4


def draw_convert() -> None:
    """Right answers over T, from 0 to 100 %, each curve named at its end."""
    text = (DOCS / "performance" / "convert.json").read_bytes()
    measured: dict[tuple[str, str], dict[int, float]] = {}
    for row in parse_json(text)["rows"]["convert"]:
        if row["unit"] == "%" and row["way"] in CURVES:
            network = row["case"].split(",")[0]
            measured.setdefault((network, row["way"]), {})[row["x"]] = row["median"]
    about = "500 images of each; SpikingJelly 2.0.0, sinabs 3.1.3; T steps"
    with drawing(
        DOCS / "convert.png", "Right answers over time, of two ANNs converted", about, 13.7, 5.0
    ) as canvas:
        for number, (network, title) in enumerate(NETWORKS.items()):
            axes = canvas.axes(0.7 + 6.75 * number, 1.15, 3.2, 3.2)
            ends = {}
            for name, (colour, style) in CURVES.items():
                points = measured[network, name]
                axes.plot([*points], [*points.values()], color=colour, linestyle=style, lw=1.5)
                ends[name] = points[max(points)]
            for name, height in spread(ends).items():
                line = {"arrowstyle": "-", "color": CURVES[name][0], "lw": 0.6, "relpos": (0, 0.5)}
                axes.annotate(
                    name,
                    (128, ends[name]),
                    (185, height),
                    fontsize=7.5,
                    va="center",
                    color=CURVES[name][0],
                    arrowprops=line,
                    annotation_clip=False,
                )
            axes.set(title=title, xlabel="T", ylabel="right, %", xscale="log", ylim=(0, 100))
            axes.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"])
            axes.xaxis.set_minor_formatter("")
            grid_lines(axes, "y")


def spread(ends: dict[str, float]) -> dict[str, float]:
    """Heights of labels, in the order of the curves' ends and so far apart that none covers
    another.
    """
    names = sorted(ends, key=lambda name: ends[name])
    heights, lowest = {}, -np.inf
    for name in names:
        heights[name] = lowest = max(ends[name], lowest + APART)
    above = heights[names[-1]] - 100
    if above > 0:
        upper = np.inf
        for name in reversed(names):
            heights[name] = upper = min(heights[name], upper - APART, 100.0)
    return heights


def draw_sounds() -> None:
    """Events of a chirp and relevance of every layer, channels or neurons against milliseconds."""
    raster = spikesam.simulate("chirps", samples=8, backend="event")
    layers = ["input", "fc1", "fc2"]
    maps = spikesam.explain(
        raster, method="relevance", network="chirps", layers=layers, steps="all"
    )
    from scripts.chirps import by_bin
    from spikesam.pipeline.images.datasets.chirps import Chirps

    dataset, index = Chirps("val"), int(raster.samples.index[SAMPLE])
    decides = by_bin(dataset.deciding(index), raster.timesteps)
    events = raster["input"][SAMPLE].reshape(raster.timesteps, 2, -1)
    paint = np.ones((*events.shape[::2], 3))
    for plane, colour in ((0, (0.85, 0.5, 0.15)), (1, (0.2, 0.45, 0.75))):
        paint[events[:, plane]] = colour
    panels: list[tuple[str, str, NDArray[Any]]] = [
        ("events: ON orange, OFF blue", "channel", paint.swapaxes(0, 1))
    ]
    for name in maps:
        band = np.maximum(maps[name][SAMPLE][..., 0].T, 0)
        unit = "channel" if name == "input" else "neuron"
        panels.append((f"relevance, {name}", unit, band / band.max()))
    about = "green: the channels and moments of the chirp; each map relative to its largest value"
    with drawing(DOCS / "sounds.png", "Relevance finds the chirp", about, 13.9, 4.2) as canvas:
        for number, (title, unit, shown) in enumerate(panels):
            axes = canvas.axes(0.75 + 3.1 * number, 1.15, 2.35, 2.35)
            end = raster.timesteps * WINDOW_MS
            extent = (0, end, -0.5, shown.shape[0] - 0.5)
            picture = axes.imshow(
                shown, origin="lower", aspect="auto", extent=extent, cmap="inferno", vmin=0, vmax=1
            )
            axes.set(title=title, xlabel="ms", ylabel=unit)
            if unit == "channel":
                moments = (np.arange(raster.timesteps) + 0.5) * WINDOW_MS
                axes.contour(
                    moments, np.arange(decides.shape[1]), decides.T, [0.5], colors="#1fe07a"
                )
        bar = canvas.axes(0.75 + 3.1 * len(panels) - 0.45, 1.15, 0.12, 2.35)
        canvas.figure.colorbar(picture, cax=bar, label="share of the largest value")


def draw_attention() -> None:
    """Attention of two tokens, SAM and relevance, beside the input's spikes; tokens in green."""
    raster = spikesam.simulate("spikformer-digits", samples=SCENES)
    maps = {
        "SAM, conv3": spikesam.explain(raster, layers=["conv3"])["conv3"],
        "relevance, conv3": spikesam.explain(
            raster, method="relevance", network="spikformer-digits", layers=["conv3"]
        )["conv3"],
    }
    names = ["input: spikes", "attention of the token\non the digit", "of the other token", *maps]
    about = "each map relative to its largest value; green: the tokens, on a grid of 8 × 8"
    with drawing(
        DOCS / "attention.png",
        "Whom tokens of a spiking transformer attend to",
        about,
        1.75 * len(names) + 1.0,
        1.6 + 1.75 * SCENES,
    ) as canvas:
        for scene in range(SCENES):
            spikes = raster["input"][scene].sum(axis=(0, 1)).astype(float)
            grid = spikes.reshape(8, spikes.shape[0] // 8, 8, -1).sum(axis=(1, 3))
            row, column = np.unravel_index(int(grid.argmax()), grid.shape)
            tokens = [(int(row), int(column)), (7 - int(row), 7 - int(column))]
            attended = [
                spikesam.attention_map(
                    raster, query="block1_q", key="block1_k", heads=4, token=token
                )[scene]
                for token in tokens
            ]
            shown = [spikes, *attended, *(each.sum[scene] for each in maps.values())]
            for number, (name, values) in enumerate(zip(names, shown, strict=True)):
                axes = canvas.axes(0.3 + 1.75 * number, 1.35 + 1.75 * scene, 1.6, 1.6)
                values = np.maximum(values, 0)
                picture = axes.imshow(
                    values / values.max(),
                    extent=(0, 8, 8, 0),
                    cmap="gray" if number == 0 else "inferno",
                    vmin=0,
                    vmax=1,
                )
                for token in tokens if number == 0 else tokens[number - 1 : number]:
                    axes.add_patch(
                        Rectangle(token[::-1], 1, 1, fill=False, edgecolor="#1fe07a", lw=1.5)
                    )
                axes.set(xticks=[], yticks=[], title=name if scene == 0 else "")
                axes.title.set_fontsize(8.5)
        bar = canvas.axes(0.3 + 1.75 * len(names), 1.35, 0.12, 1.75 * SCENES - 0.15)
        canvas.figure.colorbar(picture, cax=bar, label="share of the largest value")


DRAW: dict[str, Callable[[], None]] = {
    "convert": draw_convert,
    "sounds": draw_sounds,
    "attention": draw_attention,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or DRAW:
        DRAW[name]()
