"""Pictures of the timing tasks: their classes side by side, maps of one sample of each, and what the maps are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from paper.common.intervals import draw_intervals
from paper.common.setup import Setup
from paper.common.timing_measures import (
    COUNT,
    EARLIER,
    MOMENTS,
    NO_GAMMA,
    PLACES,
    RANDOM,
    RELEVANCE,
    SAM,
    SHARE,
    SHUFFLED,
    maps_of,
    relevances,
)
from paper.common.timing_tasks import BINS, TimedSpikes
from paper.measures.tables import rows
from spikesam.backends.network import Network
from spikesam.pipeline.drawing.canvas import GREY, MARGIN, PALETTE, drawing
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.drawing.grid import Cell, Row, draw_maps
from spikesam.recordings.raster.reader import RasterReader

SHOWN, WIDE, HIGH, GAP = 4, 1.9, 2.0, 0.45  # classes in a picture of a task; inches
ABOUT = {
    "manifold": "Random manifolds: the quarter in blue fires at times that belong to the class",
    "latency": "Latency-coded digits: the more ink, the earlier the one spike of a place",
    "bursts": "Two shapes: the class is the one that fires in bursts (blue)",
    "regular": "Two shapes: the class is the one that fires regularly (blue)",
}
LAYER = "conv1"  # whose maps are shown


def draw_task(setup: Setup, task: str, samples: TimedSpikes) -> None:
    """One sample of each of the first classes: where it fires first, and every spike over time, a line per place."""
    labels, chosen = np.unique(samples.table.label, return_index=True)
    subtitle = (
        "Above: the grid, darker places fire earlier; blue decides, grey does not. Below: every spike, a line for each "
        "place. Every place that is drawn fires equally often, in every class."
    )
    with drawing(
        setup.out / f"timing_{task}.png", ABOUT[task], subtitle, MARGIN + 0.4 + SHOWN * (WIDE + GAP), 5.4
    ) as canvas:
        for number, (label, sample) in enumerate(zip(labels[:SHOWN], chosen[:SHOWN], strict=True)):
            x = MARGIN + 0.4 + number * (WIDE + GAP)
            spikes, deciding = samples.values[:, sample, 0], samples.deciding[sample]
            fires = spikes.any(axis=0)
            early = 1 - np.where(fires, spikes.argmax(axis=0), BINS) / BINS  # 0 where silent, 1 for step 0
            colours = np.where(deciding[..., None], _rgb(PALETTE[0]), 0.25)
            canvas.picture(x + 0.1, 1.1, 1.6, 1.6, 1 - (early * 0.85 + 0.15 * fires)[..., None] * (1 - colours))
            canvas.text(x + 0.9, 1.03, f"class {label}", ha="center", fontsize=9)
            axes = canvas.axes(x, 2.85, WIDE, HIGH)
            places = [*np.argwhere(deciding), *np.argwhere(fires & ~deciding)]
            for place, (row, column) in enumerate(places):
                steps = np.flatnonzero(spikes[:, row, column])
                colour = PALETTE[0] if deciding[row, column] else GREY
                axes.plot(
                    steps, np.full(len(steps), place), "s", color=colour, markersize=160 / max(60, len(places)) / 2
                )
            axes.set(xlim=(-0.5, BINS - 0.5), ylim=(-1, len(places)), xlabel="step", yticks=[])
            if number == 0:
                axes.set_ylabel("place")


def draw_maps_of(setup: Setup, task: str, network: Network, samples: TimedSpikes) -> None:
    """The first samples that are answered rightly: what decides, and every map of one layer, summed over steps."""
    grid, gamma = [], setup.settings.gamma
    with RasterReader(setup.recording(network, samples, precision="float32")) as raster:
        right = np.flatnonzero(raster.predictions == samples.table.label)
        for sample in right[:3].tolist():
            of_relevance = relevances(network, raster, sample)
            maps = maps_of(raster, LAYER, sample, of_relevance[LAYER], [gamma], gamma, setup.settings.seed)
            deciding, others = samples.deciding[sample], samples.others[sample]
            paint = np.where(deciding[..., None], _rgb(PALETTE[0]), np.where(others[..., None], 0.6, 1.0))
            cells = [Cell(image=paint)]
            for name in ((COUNT, NO_GAMMA), (SAM, gamma), (SHUFFLED, gamma), (RELEVANCE, NO_GAMMA)):
                total = np.maximum(maps[name].sum(axis=0), 0)
                cells.append(Cell(total / (total.max() or 1.0)))
            grid.append(Row(f"class {samples.table.label[sample]}", cells))
    columns = ["blue decides", COUNT, f"SAM, γ = {gamma:g}", "SAM, times\nshuffled", RELEVANCE]
    title = f"{task}: maps at {LAYER}, summed over steps"
    draw_maps(setup.out / f"timing_{task}_maps.png", title, "each map relative to its largest value", columns, grid)


def draw_answer(setup: Setup, table: pd.DataFrame) -> None:
    """Every map by every measure: a row of panels per measure, a column per task, a colour per layer."""
    gamma = setup.settings.gamma
    kept = {COUNT: NO_GAMMA, SAM: gamma, SHUFFLED: gamma, EARLIER: gamma, RELEVANCE: NO_GAMMA, RANDOM: NO_GAMMA}
    names = {SHUFFLED: "times shuffled", EARLIER: "times shuffled", SAM: f"SAM, γ = {gamma:g}"}
    parts = [rows(table, map=name, gamma=each).assign(method=names.get(name, name)) for name, each in kept.items()]
    shown = pd.concat(parts)
    shown = pd.concat([rows(shown, measure=measure) for measure in (SHARE, PLACES, MOMENTS)])
    short = {SHARE: "share ↑", PLACES: "places ↓", MOMENTS: "moments ↓"}
    shown = shown.assign(row=shown["measure"].map(short), column=shown["task"], series=shown["layer"])
    about = (
        f"↑ {SHARE}: higher is better, 0.5 says nothing. ↓ {PLACES}, {MOMENTS}: lower is better. "
        f"{setup.config.timing.samples} samples, all trainings; 95 % intervals over both"
    )
    draw_intervals(setup.out / "timing.png", "Timing or counts?", about, shown)


def draw_gammas(setup: Setup, gains: pd.DataFrame) -> None:
    """What SAM's kernel adds to the spike count at every γ, in deletions: a panel per task, a curve per layer."""
    shown = gains[(gains["map"] == f"{SAM} better than {COUNT} by") & gains["outcome"].isna()]
    shown = shown[shown["layer"] != "convolutions"]
    title = "What SAM adds to the spike count, over γ"
    for measure, name in ((SHARE, "share"), (PLACES, "places"), (MOMENTS, "moments")):
        points = rows(shown, measure=measure).rename(columns={"task": "panel", "layer": "curve"})
        points = points.assign(x=[f"{gamma:g}" for gamma in points["gamma"]])
        options = CurveOptions(joined=True, level=(0.0, COUNT), alike=True, width=2.2)
        about = f"{measure}; above 0 SAM is better; 95 % intervals over trainings and samples"
        draw_curves(setup.out / f"timing_gamma_{name}.png", title, about, points, "γ (1/step)", "better by", options)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
