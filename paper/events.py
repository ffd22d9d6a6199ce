"""Beyond the paper: does the kernel matter where time exists?

An image is the same at every step, so when a neuron fired says little about it. Before an event camera a digit moves,
and a spike of long ago is about a place where the digit no longer is. If weighing spikes by their age adds anything to
counting them, it should be here: on recordings of a moving digit (`saccade-digits`), whose outline is known in every
bin.

Measured, step by step: the share of a map's energy on the digit as it was in the bin that has just reached the layer.
Maps: SAM with both kernels; the spike count of the step; SAM whose earlier spikes lie at random among the steps before
(what their times are worth); and SAM whose spikes all lie at random (what time is worth at all). The last is drawn
once. A map that is the same everywhere scores the digit's share of the image. A map squared has more of its energy
where it is high, and SAM is nearly that: who fires now, times how often before. So the overlap with the digit of as
many pixels as it has is measured, too, in which only the order of pixels counts. Steps without a spike do not count.
Means over a recording's steps are compared, paired over recordings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.claims import Claim, compared
from paper.common.errors_by_kernel import COUNT, EQUATIONS, KERNELS, SCRIPT
from paper.common.event_recordings import EventSet, saccade_recordings
from paper.common.heatmaps import convolutions
from paper.common.result import Result
from paper.common.setup import Setup
from paper.common.shuffled import all_times_shuffled, earlier_times_shuffled
from paper.measures.overlap import iou_at_area
from paper.measures.tables import groups, minus, rows, summary
from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves
from spikesam.pipeline.drawing.grid import Cell, Row, draw_maps
from spikesam.pipeline.drawing.steps import thinned
from spikesam.pipeline.images.preprocessing import Box
from spikesam.pipeline.maps.sam import spike_activation_maps, spike_count_map
from spikesam.pipeline.measures.localisation import energy_in_object
from spikesam.pipeline.measures.maps import resize_map
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.recordings.raster.reader import RasterReader

CHECKPOINT = "saccade-digits"
SAM = {EQUATIONS: "SAM", SCRIPT: "SAM, authors' script"}
EARLIER, EVERYTHING, AREA = "SAM, earlier spikes at random", "SAM, all spikes at random", "the same everywhere"
ENERGY, OVERLAP = "energy on the moving digit", "IoU at the moving digit's area"
MEASURES = {ENERGY: energy_in_object, OVERLAP: iou_at_area}
AGAINST_COUNT = ", minus that of the spike count"
Maps = NDArray[np.float32]


def run(setup: Setup) -> Result:
    """Record, measure, draw."""
    settings = setup.settings
    checkpoint = load_checkpoint(CHECKPOINT, "snn")
    recordings = saccade_recordings(checkpoint, settings.images, settings.seed)
    path = setup.recording(checkpoint.network, recordings)
    with RasterReader(path) as raster:
        layers = convolutions(raster)
        by_step = energies(setup, raster, recordings, layers)
        by_gamma = energies_by_gamma(setup, raster, recordings, layers)
        draw_example(setup, raster, recordings, layers[-1])
        right = (raster.predictions == raster.samples.label).mean()
    means = by_step.groupby(["image", "measure", "layer", "map"], sort=False)["value"].mean().reset_index()
    steps = summary(by_step[["image", "measure", "layer", "map", "step", "value"]])
    draw(setup, rows(steps, measure=ENERGY), by_gamma)
    gamma = settings.gamma
    parts = [summary(means).assign(step="all", gamma=gamma), steps.assign(gamma=gamma), by_gamma.assign(step="all")]
    table = pd.concat(parts)[["measure", "layer", "map", "gamma", "step", "n", "mean", "low", "high"]]
    claims = [claim for layer in layers for claim in claims_of(layer, rows(means, layer=layer))]
    notes = [
        f"{len(recordings)} recordings, {right:.0%} of them recognised. γ = {settings.gamma:g} unless said otherwise.",
        *(note_on_gamma(measure, rows(by_gamma, measure=measure + AGAINST_COUNT)) for measure in MEASURES),
    ]
    every = means.assign(gamma=gamma, step="all")[["image", "measure", "layer", "map", "gamma", "step", "value"]]
    title, measured_on = "Does time matter where time exists? Recordings of events", checkpoint.network.sha256
    return Result(title, table, claims, notes, every, networks={"surrogate": measured_on})


def maps_of(setup: Setup, raster: RasterReader, layer: str, sample: int) -> dict[str, Maps]:
    """Every map of a recording at the steps that matter: name -> (T', h, w)."""
    spec, gamma = raster.layer(layer), setup.settings.gamma
    packed = raster.packed(spec, sample)[: raster.steps_that_matter(layer)]
    random = np.random.default_rng([setup.settings.seed, spec.number, int(raster.samples.index[sample])])
    found = {
        SAM[kernel]: spike_activation_maps(packed, spec.shape, [gamma], variant=variant)[0]
        for kernel, variant in KERNELS.items()
    }
    return found | {
        COUNT: spike_count_map(packed, spec.shape),
        EARLIER: earlier_times_shuffled(packed, spec.shape, gamma, spec.number),
        EVERYTHING: all_times_shuffled(packed, spec.shape, gamma, spec.number, random),
        AREA: np.ones((len(packed), *spec.shape[1:]), np.float32),
    }


def firing(count: Maps, masks: NDArray[np.bool_], delay: int) -> list[int]:
    """The steps at which a layer fires that a bin has reached: spike counts (T', h, w), masks (bins, H, W)."""
    return [step for step in range(delay, min(len(count), len(masks) + delay)) if count[step].any()]


def on_the_digit(maps: Maps, masks: NDArray[np.bool_], delay: int, steps: list[int]) -> dict[str, list[float]]:
    """How well maps (T', h, w) find the digit, masks (bins, H, W), at these steps: measure -> values.

    What a layer fires at step t is about the bin t - delay.
    """
    large = resize_map(maps[steps], masks.shape[1:])
    both = list(zip(large, masks[np.array(steps, int) - delay], strict=True))
    return {name: [float(measure(*each)) for each in both] for name, measure in MEASURES.items()}


def energies(setup: Setup, raster: RasterReader, recordings: EventSet, layers: list[str]) -> pd.DataFrame:
    """Every measure of every map at every step at which the layer fires: image, measure, layer, map, step, value."""
    found = []
    with setup.progress("energy on the digit", len(layers) * len(recordings)) as advance:
        for layer, sample, masks in _each(recordings, layers):
            maps, delay = maps_of(setup, raster, layer, sample), raster.layer(layer).number
            steps = firing(maps[COUNT], masks, delay)
            for name, of_name in maps.items():
                for measure, values in on_the_digit(of_name, masks, delay, steps).items():
                    found += [(sample, measure, layer, name, *each) for each in zip(steps, values, strict=True)]
            advance(1)
    return pd.DataFrame(found, columns=["image", "measure", "layer", "map", "step", "value"])


def energies_by_gamma(setup: Setup, raster: RasterReader, recordings: EventSet, layers: list[str]) -> pd.DataFrame:
    """What either kernel adds to counting at every γ: measure, layer, map, gamma, n, mean, low, high."""
    gammas, found = tuple(sorted(set(setup.settings.gammas))), []
    with setup.progress("energy on the digit against γ", len(layers) * len(recordings)) as advance:
        for layer, sample, masks in _each(recordings, layers):
            spec = raster.layer(layer)
            packed = raster.packed(spec, sample)[: raster.steps_that_matter(layer)]
            count = spike_count_map(packed, spec.shape)
            steps = firing(count, masks, spec.number)
            swept = {(COUNT, np.inf): count}
            for kernel, variant in KERNELS.items():
                maps = spike_activation_maps(packed, spec.shape, gammas, variant=variant)
                swept |= {(SAM[kernel], gamma): each for gamma, each in zip(gammas, maps, strict=True)}
            for about, of_gamma in swept.items():
                for measure, values in on_the_digit(of_gamma, masks, spec.number, steps).items():
                    found.append((sample, measure, layer, *about, float(np.mean(values)) if steps else 0.0))
            advance(1)
    means = pd.DataFrame(found, columns=["image", "measure", "layer", "map", "gamma", "value"])
    count = means["map"] == COUNT
    gains = minus(means[~count], means[count], "measure", "layer")
    return summary(gains.assign(measure=gains["measure"] + AGAINST_COUNT))


def _each(recordings: EventSet, layers: list[str]) -> Iterator[tuple[str, int, NDArray[np.bool_]]]:
    for layer in layers:
        for sample, masks in enumerate(recordings.digits):
            yield layer, sample, masks


def claims_of(layer: str, means: pd.DataFrame) -> list[Claim]:
    """SAM finds the moving digit better than maps that know less of time, by either measure."""
    about = {
        COUNT: "the kernel adds to counting",
        EARLIER: "when a neuron fired before matters",
        EVERYTHING: "when neurons fire matters",
        SAM[SCRIPT]: "the equations' kernel is better than the authors' script",
        AREA: "the map finds the digit",
    }
    return [
        compared(
            f"{layer}, {measure}: {what}",
            "assumed",
            {name: rows(means, measure=measure, map=name) for name in (SAM[EQUATIONS], baseline)},
        )
        for baseline, what in about.items()
        for measure in MEASURES
    ]


def note_on_gamma(measure: str, by_gamma: pd.DataFrame) -> str:
    """The γ at which each kernel is best, and what it then adds."""
    told = []
    for (name, layer), each in groups(by_gamma.reset_index(drop=True), ["map", "layer"]):
        best = each.loc[each["mean"].idxmax()]
        told.append(f"{name}, {layer} {best['mean']:+.4f} at γ = {best['gamma']:g}")
    return f"The most that a kernel adds to the spike count, {measure}: {'; '.join(told)}."


def draw(setup: Setup, steps: pd.DataFrame, by_gamma: pd.DataFrame) -> None:
    """Energy on the digit step by step, a panel per layer; and what a kernel adds at each γ, a panel per kernel."""
    about = f"mean of {int(steps['n'].max())} recordings, 95 % interval"
    points = steps.rename(columns={"layer": "panel", "map": "curve", "step": "x"})
    title, y = "Energy on the moving digit, step by step", "share of the map's energy"
    draw_curves(setup.out / "events.png", title, about, points, "step", y, CurveOptions(alike=True))
    points = by_gamma.rename(columns={"map": "panel", "layer": "curve", "gamma": "x"})
    points = points.assign(panel=points["panel"] + ":\n" + points["measure"].str.removesuffix(AGAINST_COUNT))
    title, y = "What a kernel adds to counting the spikes of a moving digit", "minus that of the spike count"
    options = CurveOptions(level=(0.0, COUNT), alike=True)
    draw_curves(setup.out / "events_gamma.png", title, about, points, "γ (1/step)", y, options)


def draw_example(setup: Setup, raster: RasterReader, recordings: EventSet, layer: str) -> None:
    """One recording: the events, then each map, at some steps; the frame is around the digit as it was in that bin."""
    events, number = recordings.events, raster.layer(layer).number
    assert events is not None
    frames = events.frames(0) / 255
    steps = thinned(min(raster.steps_that_matter(layer), len(frames) + number), first=number + 1)
    boxes = [_box(recordings.digits[0][step - number]) for step in steps]
    grid = [Row("events", [Cell(image=frames[step - number], box=box) for step, box in zip(steps, boxes, strict=True)])]
    for name, maps in maps_of(setup, raster, layer, 0).items():
        large = np.maximum(resize_map(maps, recordings.digits.shape[2:]), 0)
        cells = [
            Cell(large[step] / (large[step].max() or 1.0), frames[step - number], box=box)
            for step, box in zip(steps, boxes, strict=True)
        ]
        grid.append(Row(name.replace(", ", "\n"), cells))
    draw_maps(
        setup.out / "events_maps.png",
        f"Maps of a moving digit at {layer}",
        "each map relative to its largest value; framed: the digit in the bin that has just reached the layer",
        [f"t = {step}" for step in steps],
        grid,
    )


def _box(mask: NDArray[np.bool_]) -> Box | None:
    high, wide = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (float(wide[0]), float(high[0]), float(wide[-1] + 1), float(high[-1] + 1)) if len(high) else None
