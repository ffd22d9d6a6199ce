"""How much of a map is chance, and how much the network? Not in the paper, whose claims of difference it bounds.

SAM is summed over the steps that can still change the answer, and compared image by image:

* between Poisson seeds of one network; this is the noise floor: a smaller difference is none;
* between float32 and fixed point;
* between trainings of one configuration, over all pairs of them;
* between the surrogate-trained and the converted network;
* between converted networks whose thresholds were set by other rules;
* between different images, as the lower end.

Measures: Pearson's correlation, the overlap of the brightest fifth of the pixels, and how far the maps' centre of mass
moves in time, as a share of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.claims import Claim, compared, with_interval
from paper.common.heatmaps import sam_maps
from paper.common.result import Result
from paper.common.setup import Setup
from paper.measures.agreement import pearson, temporal_centre_of_mass, top_overlap
from paper.measures.inference import bootstrap_mean
from paper.measures.tables import mean_of, measured, rows, summary, values
from spikesam.pipeline.drawing.curves import draw_curves
from spikesam.recordings.raster.reader import RasterReader

SEEDS, FLOAT, TRAININGS, CONVERTED = "other spikes", "float32", "other training", "converted"
RULE, OTHER_IMAGE = "rule", "other image"
CORRELATION, OVERLAP, SHIFT = "correlation", "overlap of the top fifth", "shift in time"
MEASURES: Mapping[str, Callable[[NDArray[np.float64], NDArray[np.float64]], float]] = {
    CORRELATION: pearson,
    OVERLAP: top_overlap,
}


@dataclass(frozen=True, eq=False)
class Summary:
    """One layer's maps of all images: their sum over time (N, h, w), and their centre in time (N,) in 0 … 1."""

    maps: NDArray[np.float64]
    centres: NDArray[np.float64]


def run(setup: Setup) -> Result:
    """Record, compare, and say what is above the noise."""
    settings, images, own_rule = setup.settings, setup.images, setup.config.conversion.rule
    recordings = pairs(setup)
    own = recordings[SEEDS][0][0]
    of_path = cache(lambda path: summarise(setup, path))
    parts: list[pd.DataFrame] = []
    notes = [
        f"“{SEEDS}”: {settings.seeds - 1} further Poisson seeds. “{OTHER_IMAGE}”: each map beside the map of the next "
        f"image. “{RULE} …”: converted by that rule and by rule {own_rule}.",
    ]
    with setup.progress("comparing maps", len(recordings)) as advance:
        for comparison, paths in recordings.items():
            compared_maps = [compare(of_path(first), of_path(second)) for first, second in paths]
            parts.append(mean_of(compared_maps).assign(comparison=comparison))
            if comparison == TRAININGS:
                notes.append(note_on_trainings(compared_maps, max(settings.leaks), settings.leak_epochs))
            advance(1)
    if len(images) > 1:
        rolled = {
            layer: Summary(np.roll(one.maps, 1, axis=0), np.roll(one.centres, 1)) for layer, one in of_path(own).items()
        }
        parts.append(compare(of_path(own), rolled).assign(comparison=OTHER_IMAGE))
    found = pd.concat(parts)[["image", "comparison", "layer", "measure", "value"]]
    table = summary(found, settings.seed)
    draw(setup, table)
    claims = claims_of(rows(found, measure=CORRELATION), settings.seed)
    return Result("Agreement: what two maps of one image have in common", table, claims, notes, found)


def pairs(setup: Setup) -> dict[str, list[tuple[Path, Path]]]:
    """What is compared: name -> pairs of recordings. Poisson seeds come first, each beside the settings' own."""
    settings, images, networks = setup.settings, setup.images, setup.networks
    network = networks.surrogate.network
    own, *seeds = (setup.recording(network, images, seed=settings.seed + extra) for extra in range(settings.seeds))
    converted = setup.recording(networks.converted.network, images)
    recordings = {
        SEEDS: [(own, other) for other in seeds],
        FLOAT: [(own, setup.recording(network, images, precision="float32"))],
        CONVERTED: [(own, converted)],
    }
    if settings.trainings > 1:
        trained = [setup.recording(each.network, images) for each in networks.leaky(max(settings.leaks))]
        recordings[TRAININGS] = list(combinations(trained, 2))
    for rule in settings.rules:
        if rule != setup.config.conversion.rule:
            other = setup.recording(networks.converted_by(rule).network, images)
            recordings[f"{RULE} {rule}"] = [(converted, other)]
    return recordings


def summarise(setup: Setup, path: Path) -> dict[str, Summary]:
    """Maps of every image in the layers of interest, summed over time."""
    with RasterReader(path) as raster:
        found = {}
        for layer in setup.layers(raster):
            maps = [sam_maps(raster, layer, sample, setup.settings.gamma) for sample in range(raster.n_samples)]
            centres = [float(temporal_centre_of_mass(each)) / max(len(each) - 1, 1) for each in maps]
            found[layer] = Summary(np.stack([each.sum(axis=0, dtype=np.float64) for each in maps]), np.array(centres))
        return found


def compare(first: Mapping[str, Summary], second: Mapping[str, Summary]) -> pd.DataFrame:
    """Every measure of agreement, image by image: image, layer, measure, value."""
    parts = []
    for layer, one in first.items():
        other = second[layer]
        for name, measure in MEASURES.items():
            alike = [measure(*maps) for maps in zip(one.maps, other.maps, strict=True)]
            parts.append(measured(alike, layer=layer, measure=name))
        parts.append(measured(np.abs(one.centres - other.centres), layer=layer, measure=SHIFT))
    return pd.concat(parts)


def note_on_trainings(pairs: list[pd.DataFrame], leak: float, epochs: int) -> str:
    """How alike the maps of the least and of the most similar two trainings are."""
    means = [rows(pair, measure=CORRELATION).groupby("layer", sort=False)["value"].mean() for pair in pairs]
    ends = pd.concat(means, axis=1)
    told = ", ".join(f"{layer} {row.min():.3g} and {row.max():.3g}" for layer, row in ends.iterrows())
    return (
        f"“{TRAININGS}”: networks of leak {leak:g}, {epochs} epoch{'s' if epochs > 1 else ''} each, that differ in the "
        f"seed of training only; mean over {len(pairs)} pair{'s' if len(pairs) > 1 else ''}. Correlation of the least "
        f"and of the most similar pair: {told}."
    )


def claims_of(found: pd.DataFrame, seed: int) -> list[Claim]:
    """Which maps differ by more than those of two Poisson seeds, by their correlation; and which differ most."""
    claims, compared_with = [], set(found["comparison"])
    for layer, of_layer in found.groupby("layer", sort=False):
        by = {name: rows(of_layer, comparison=name) for name in compared_with}
        estimate = bootstrap_mean(values(by[SEEDS]), seed)
        what = f"{layer}: correlation of two Poisson seeds (noise floor)"
        claims.append(Claim(what, "–", with_interval(estimate), "cannot say", estimate.n))
        for comparison, maps, paper in (
            (CONVERTED, "of the surrogate and the converted network", "they differ"),
            (TRAININGS, "of two trainings of one network", "–"),
            (FLOAT, "in float32 and in fixed point", "–"),
        ):
            if comparison in by:
                what = f"{layer}: maps {maps} differ by more than maps of two Poisson seeds"
                claims.append(compared(what, paper, {"noise floor": by[SEEDS], "correlation": by[comparison]}, seed))
        if TRAININGS in by:
            what = f"{layer}: the surrogate and the converted network differ by more than two trainings of one network"
            claims.append(compared(what, "–", {"two trainings": by[TRAININGS], "converted": by[CONVERTED]}, seed))
    return claims


def draw(setup: Setup, table: pd.DataFrame) -> None:
    """A panel per measure, a group per comparison, a colour per layer."""
    points = table.rename(columns={"measure": "panel", "layer": "curve", "comparison": "x"})
    subtitle = f"SAM summed over time, {len(setup.images)} images; mean and 95 % interval"
    title, y = "What two maps of one image have in common", {CORRELATION: "", OVERLAP: "", SHIFT: "share of the steps"}
    draw_curves(setup.out / "agreement.png", title, subtitle, points, "", y)
