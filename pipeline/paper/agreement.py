"""How much of a map is chance, and how much the network? Not in the paper, whose claims of difference it bounds.

SAM is summed over the steps that can still change the answer, and compared image by image:

* between Poisson seeds of one network; this is the noise floor: a smaller difference is none;
* between float32 and fixed point;
* between two trainings of one configuration;
* between the surrogate-trained and the converted network;
* between different images, as the lower end.

Measures: Pearson's correlation, the overlap of the brightest fifth of the pixels, and how far the maps' centre of mass
moves in time, as a share of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.agreement import pearson, temporal_centre_of_mass, top_overlap
from pipeline.measures.statistics import bootstrap_mean
from pipeline.measures.tables import measured, rows, summary, values
from recordings.raster.reader import RasterReader

from .study.claims import Claim, compared, with_interval
from .study.heatmaps import sam_maps
from .study.result import Result
from .study.study import Study

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


def run(study: Study) -> Result:
    """Record, compare, and say what is above the noise."""
    settings, images, networks = study.settings, study.images, study.networks
    network, leak = networks.surrogate.network, max(settings.leaks)
    own, *seeds = (study.recording(network, images, seed=settings.seed + extra) for extra in range(settings.seeds))
    twins = [networks.leaky(leak, study.config.training.seed), networks.twin(leak)]
    trainings = [study.recording(twin.network, images) for twin in twins]
    recordings: dict[str, list[tuple[Path, Path]]] = {
        "other spikes": [(own, other) for other in seeds],
        "float32": [(own, study.recording(network, images, precision="float32"))],
        "other training": [(trainings[0], trainings[1])],
        "converted": [(own, study.recording(networks.converted.network, images))],
    }
    of_path = cache(lambda path: summarise(study, path))
    parts = []
    with study.progress("comparing maps", len(recordings)) as advance:
        for comparison, paths in recordings.items():
            compared_maps = [compare(of_path(first), of_path(second)) for first, second in paths]
            parts.append(mean_of(compared_maps).assign(comparison=comparison))
            advance(1)
    if len(images) > 1:
        rolled = {
            layer: Summary(np.roll(one.maps, 1, axis=0), np.roll(one.centres, 1)) for layer, one in of_path(own).items()
        }
        parts.append(compare(of_path(own), rolled).assign(comparison="other image"))
    found = pd.concat(parts)[["image", "comparison", "layer", "measure", "value"]]
    table = summary(found, settings.seed)
    draw(study, table)
    epochs = "1 epoch" if settings.leak_epochs == 1 else f"{settings.leak_epochs} epochs"
    notes = (
        f"“Other spikes”: {settings.seeds - 1} further Poisson seeds. “Other training”: two networks of leak {leak}, "
        f"{epochs} each, that differ in the seed of training only. “Other image”: each map beside the map of the next "
        "image.",
    )
    claims = claims_of(rows(found, measure=CORRELATION), settings.seed)
    return Result("Agreement: what two maps of one image have in common", table, claims, notes)


def summarise(study: Study, path: Path) -> dict[str, Summary]:
    """Maps of every image in the layers of interest, summed over time."""
    with RasterReader(path) as raster:
        found = {}
        for layer in study.layers(raster):
            maps = [sam_maps(raster, layer, sample, study.settings.gamma) for sample in range(raster.n_samples)]
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


def mean_of(comparisons: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean of several comparisons, which have their rows in one order."""
    return comparisons[0].assign(value=np.mean([values(each) for each in comparisons], axis=0))


def claims_of(found: pd.DataFrame, seed: int) -> list[Claim]:
    """Which maps differ by more than those of two Poisson seeds, by their correlation."""
    claims = []
    for layer, of_layer in found.groupby("layer", sort=False):
        floor = rows(of_layer, comparison="other spikes")
        estimate = bootstrap_mean(values(floor), seed)
        what = f"{layer}: correlation of two Poisson seeds (noise floor)"
        claims.append(Claim(what, "–", with_interval(estimate), "cannot say", estimate.n))
        for comparison, maps, paper in (
            ("converted", "of the surrogate and the converted network", "they differ"),
            ("other training", "of two trainings of one network", "–"),
            ("float32", "in float32 and in fixed point", "–"),
        ):
            what = f"{layer}: maps {maps} differ by more than maps of two Poisson seeds"
            other = rows(of_layer, comparison=comparison)
            claims.append(compared(what, paper, {"noise floor": floor, "correlation": other}, seed))
    return claims


def draw(study: Study, table: pd.DataFrame) -> None:
    """A panel per measure, a group per comparison, a colour per layer."""
    points = table.rename(columns={"measure": "panel", "layer": "curve", "comparison": "x"})
    subtitle = f"SAM summed over time, {len(study.images)} images; mean and 95 % interval"
    title, y = "What two maps of one image have in common", {CORRELATION: "", OVERLAP: "", SHIFT: "share of the steps"}
    draw_curves(study.out / "agreement.png", title, subtitle, points, "", y)
