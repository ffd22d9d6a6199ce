"""Beyond the paper: does the kernel matter where time exists?

An image is the same at every step, so when a neuron fired says little about it. Before an event camera a digit moves,
and a spike of long ago is about a place where the digit no longer is. If weighing spikes by their age adds anything to
counting them, it should be here: on recordings of a moving digit (`saccade-digits`), whose outline is known in every
bin.

Measured, step by step: the share of a map's energy on the digit as it was in the bin that has just reached the layer.
Maps: SAM with both kernels; the spike count of the step; SAM whose earlier spikes lie at random among the steps before
(what their times are worth); and SAM whose spikes all lie at random (what time is worth at all). The last is drawn
once. A map that is the same everywhere scores the digit's share of the image. Steps without a spike do not count. Means
over a recording's steps are compared, paired over recordings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.drawing.grid import Cell, Row, draw_maps
from pipeline.drawing.steps import thinned
from pipeline.images.preprocessing import Box
from pipeline.maps.sam import spike_activation_maps, spike_count_map
from pipeline.measures.localisation import energy_in_object
from pipeline.measures.maps import resize_map
from pipeline.measures.tables import difference, groups, rows, summary
from pipeline.networks.checkpoint import load_checkpoint
from recordings.raster.reader import RasterReader

from .study.claims import Claim, compared
from .study.errors import COUNT, EQUATIONS, KERNELS, SCRIPT
from .study.event_recordings import EventSet, saccade_recordings
from .study.heatmaps import convolutions
from .study.result import Result
from .study.shuffled import all_times_shuffled, earlier_times_shuffled
from .study.study import Study

CHECKPOINT = "saccade-digits"
SAM = {EQUATIONS: "SAM", SCRIPT: "SAM, authors' script"}
EARLIER, EVERYTHING, AREA = "SAM, earlier spikes at random", "SAM, all spikes at random", "the digit's area"
OVER_TIME = "energy on the moving digit"
AGAINST_COUNT = "energy on the moving digit, minus that of the spike count"
Maps = NDArray[np.float32]


def run(study: Study) -> Result:
    """Record, measure, draw."""
    settings = study.settings
    checkpoint = load_checkpoint(CHECKPOINT, "snn")
    recordings = saccade_recordings(checkpoint, settings.images, settings.seed)
    path = study.recording(checkpoint.network, recordings)
    with RasterReader(path) as raster:
        layers = convolutions(raster)
        by_step = energies(study, raster, recordings, layers)
        by_gamma = energies_by_gamma(study, raster, recordings, layers)
        draw_example(study, raster, recordings, layers[-1])
        right = (raster.predictions == raster.samples.label).mean()
    means = by_step.groupby(["image", "layer", "map"], sort=False)["value"].mean().reset_index()
    steps = summary(by_step[["image", "layer", "map", "step", "value"]])
    draw(study, steps, by_gamma)
    table = pd.concat(
        [
            summary(means).assign(measure=OVER_TIME, step="all", gamma=settings.gamma),
            steps.assign(measure=OVER_TIME, gamma=settings.gamma),
            by_gamma.assign(step="all"),
        ]
    )[["measure", "layer", "map", "gamma", "step", "n", "mean", "low", "high"]]
    claims = [claim for layer in layers for claim in claims_of(layer, rows(means, layer=layer))]
    notes = [
        f"{len(recordings)} recordings, {right:.0%} of them recognised. γ = {settings.gamma:g} unless said otherwise.",
        note_on_gamma(by_gamma),
    ]
    return Result("Does time matter where time exists? Recordings of events", table, claims, notes)


def maps_of(study: Study, raster: RasterReader, layer: str, sample: int) -> dict[str, Maps]:
    """Every map of a recording at the steps that matter: name -> (T', h, w)."""
    spec, gamma = raster.layer(layer), study.settings.gamma
    packed = raster.packed(spec, sample)[: raster.steps_that_matter(layer)]
    random = np.random.default_rng([study.settings.seed, spec.number, int(raster.samples.index[sample])])
    found = {
        SAM[kernel]: spike_activation_maps(packed, spec.shape, [gamma], variant=variant)[0]
        for kernel, variant in KERNELS.items()
    }
    return found | {
        COUNT: spike_count_map(packed, spec.shape),
        EARLIER: earlier_times_shuffled(packed, spec.shape, gamma, spec.number),
        EVERYTHING: all_times_shuffled(packed, spec.shape, gamma, spec.number, random),
    }


def on_the_digit(maps: Maps, masks: NDArray[np.bool_], delay: int) -> dict[int, float]:
    """Share of the energy on the digit, step by step: maps (T', h, w) and masks (bins, H, W) -> step -> share.

    What a layer fires at step t is about the bin t - delay.
    """
    large = resize_map(maps, masks.shape[1:])
    last = min(len(maps), len(masks) + delay)
    return {
        step: float(energy_in_object(large[step], masks[step - delay]))
        for step in range(delay, last)
        if masks[step - delay].any()
    }


def energies(study: Study, raster: RasterReader, recordings: EventSet, layers: list[str]) -> pd.DataFrame:
    """Energy on the digit at every step at which the layer fires: image, layer, map, step, value."""
    found = []
    with study.progress("energy on the digit", len(layers) * len(recordings)) as advance:
        for layer, sample, masks in _each(recordings, layers):
            maps, delay = maps_of(study, raster, layer, sample), raster.layer(layer).number
            fires = maps[COUNT].any(axis=(1, 2))
            for name, of_name in maps.items():
                shares = on_the_digit(of_name, masks, delay)
                found += [(sample, layer, name, step, share) for step, share in shares.items() if fires[step]]
            found += [(sample, layer, AREA, step, float(masks[step - delay].mean())) for step in shares if fires[step]]
            advance(1)
    return pd.DataFrame(found, columns=["image", "layer", "map", "step", "value"])


def energies_by_gamma(study: Study, raster: RasterReader, recordings: EventSet, layers: list[str]) -> pd.DataFrame:
    """What either kernel adds to counting at every γ: measure, layer, map, gamma, n, mean, low, high."""
    gammas, found = tuple(sorted(set(study.settings.gammas))), []
    with study.progress("energy on the digit against γ", len(layers) * len(recordings)) as advance:
        for layer, sample, masks in _each(recordings, layers):
            spec = raster.layer(layer)
            packed = raster.packed(spec, sample)[: raster.steps_that_matter(layer)]
            count = spike_count_map(packed, spec.shape)
            fires = count.any(axis=(1, 2))
            swept = {(COUNT, np.inf): count}
            for kernel, variant in KERNELS.items():
                maps = spike_activation_maps(packed, spec.shape, gammas, variant=variant)
                swept |= {(SAM[kernel], gamma): each for gamma, each in zip(gammas, maps, strict=True)}
            for (name, gamma), of_gamma in swept.items():
                shares = [share for step, share in on_the_digit(of_gamma, masks, spec.number).items() if fires[step]]
                found.append((sample, layer, name, gamma, float(np.mean(shares))))
            advance(1)
    means = pd.DataFrame(found, columns=["image", "layer", "map", "gamma", "value"])
    apart = []
    for (layer, name, gamma), each in groups(means, ["layer", "map", "gamma"]):
        if name != COUNT:
            gain = difference(each, rows(means, layer=layer, map=COUNT))
            apart.append({"measure": AGAINST_COUNT, "layer": layer, "map": name, "gamma": gamma, **gain._asdict()})
    return pd.DataFrame(apart)


def _each(recordings: EventSet, layers: list[str]) -> Iterator[tuple[str, int, NDArray[np.bool_]]]:
    for layer in layers:
        for sample, masks in enumerate(recordings.masks):
            yield layer, sample, masks


def claims_of(layer: str, means: pd.DataFrame) -> list[Claim]:
    """SAM has more of its energy on the moving digit than maps that know less of time."""
    about = {
        COUNT: "the kernel adds to counting",
        EARLIER: "when a neuron fired before matters",
        EVERYTHING: "when neurons fire matters",
        SAM[SCRIPT]: "the equations' kernel is better than the authors' script",
        AREA: "the map finds the digit",
    }
    return [
        compared(
            f"{layer}: {what}",
            "assumed",
            {name: rows(means, map=name) for name in (SAM[EQUATIONS], rival)},
        )
        for rival, what in about.items()
    ]


def note_on_gamma(by_gamma: pd.DataFrame) -> str:
    """The γ at which each kernel is best, and what it then adds."""
    told = []
    for (name, layer), each in groups(by_gamma.reset_index(drop=True), ["map", "layer"]):
        best = each.loc[each["mean"].idxmax()]
        told.append(f"{name}, {layer} {best['mean']:+.4f} at γ = {best['gamma']:g}")
    return f"The most that a kernel adds to the spike count's energy on the digit: {'; '.join(told)}."


def draw(study: Study, steps: pd.DataFrame, by_gamma: pd.DataFrame) -> None:
    """Energy on the digit step by step, a panel per layer; and what a kernel adds at each γ, a panel per kernel."""
    about = f"mean of {int(steps['n'].max())} recordings, 95 % interval"
    points = steps.rename(columns={"layer": "panel", "map": "curve", "step": "x"})
    title, y = "Energy on the moving digit, step by step", "share of the map's energy"
    draw_curves(study.out / "events.png", title, about, points, "step", y, alike=True)
    points = by_gamma.rename(columns={"map": "panel", "layer": "curve", "gamma": "x"})
    title, y = "What a kernel adds to counting events' spikes", "energy on the digit, minus the count's"
    level = (0.0, COUNT)
    draw_curves(study.out / "events_gamma.png", title, about, points, "γ (1/step)", y, level=level, alike=True)


def draw_example(study: Study, raster: RasterReader, recordings: EventSet, layer: str) -> None:
    """One recording: the events, then each map, at some steps; the frame is around the digit as it was in that bin."""
    events, number = recordings.samples.events, raster.layer(layer).number
    assert events is not None
    frames = events.frames(0) / 255
    steps = thinned(min(raster.steps_that_matter(layer), len(frames) + number), first=number + 1)
    boxes = [_box(recordings.masks[0][step - number]) for step in steps]
    grid = [Row("events", [Cell(image=frames[step - number], box=box) for step, box in zip(steps, boxes, strict=True)])]
    for name, maps in maps_of(study, raster, layer, 0).items():
        large = np.maximum(resize_map(maps, recordings.masks.shape[2:]), 0)
        cells = [
            Cell(large[step] / (large[step].max() or 1.0), frames[step - number], box=box)
            for step, box in zip(steps, boxes, strict=True)
        ]
        grid.append(Row(name.replace(", ", "\n"), cells))
    draw_maps(
        study.out / "events_maps.png",
        f"Maps of a moving digit at {layer}",
        "each map relative to its largest value; framed: the digit in the bin that has just reached the layer",
        [f"t = {step}" for step in steps],
        grid,
    )


def _box(mask: NDArray[np.bool_]) -> Box | None:
    high, wide = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (float(wide[0]), float(high[0]), float(wide[-1] + 1), float(high[-1] + 1)) if len(high) else None
