"""How much of a map is chance, and how much the network? Not in the paper, whose claims of difference it bounds.

SAM, summed over the steps that can still change the answer, is compared image by image: between Poisson seeds of one
network (the noise floor: what differs less does not differ), between float32 and fixed point, between two trainings of
one configuration, between surrogate and converted networks, and, as the lower end, between different images. Pearson's
correlation, overlap of the brightest fifth of the pixels, and by how much of the time the maps' centre of mass moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.drawing.curves import draw_curves
from pipeline.measures.agreement import pearson, temporal_centre_of_mass, top_overlap
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import sam_maps
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study

MEASURES = ("correlation", "overlap of the top fifth", "shift in time")


@dataclass(frozen=True, eq=False)
class Summary:
    """One layer's maps of all images: their sum over time (N, h, w), and their centre in time (N,) in 0 … 1."""

    maps: NDArray[np.float64]
    centres: NDArray[np.float64]


Summaries = Mapping[str, Summary]
Values = dict[tuple[str, str, str], NDArray[np.float64]]  # (comparison, layer, measure) -> one value per image


def run(study: Study) -> Result:
    """Record, compare, and say what is above the noise."""
    settings, images = study.settings, study.images
    network = study.surrogate.network
    leak = max(settings.leaks)
    seeds = [study.recording(network, images, seed=settings.seed + extra) for extra in range(settings.seeds)]
    twins = [study.leaky(leak, study.config.training.seed), study.twin(leak)]
    pairs = {
        "other spikes": [(seeds[0], other) for other in seeds[1:]],
        "float32": [(seeds[0], study.recording(network, images, precision="float32"))],
        "other training": [(study.recording(twins[0].network, images), study.recording(twins[1].network, images))],
        "converted": [(seeds[0], study.recording(study.converted.network, images))],
    }
    values: Values = {}
    summaries: dict[Path, Summaries] = {}
    with study.progress("comparing maps", len(pairs)) as advance:
        for comparison, paths in pairs.items():
            for path in {path for pair in paths for path in pair} - summaries.keys():
                summaries[path] = summarise(study, path)
            compared = [compare(summaries[first], summaries[second]) for first, second in paths]
            for key in compared[0]:
                values[comparison, key[0], key[1]] = np.mean([each[key] for each in compared], axis=0)
            advance(1)
    if len(images) > 1:
        rolled = {
            layer: Summary(np.roll(one.maps, 1, axis=0), np.roll(one.centres, 1))
            for layer, one in summaries[seeds[0]].items()
        }
        values |= {("other image", *key): found for key, found in compare(summaries[seeds[0]], rolled).items()}
    _draw(study, values)
    table = [
        {
            "comparison": comparison,
            "layer": layer,
            "measure": measure,
            **bootstrap_mean(found, settings.seed)._asdict(),
        }
        for (comparison, layer, measure), found in values.items()
    ]
    notes = (
        f"“Other spikes”: {settings.seeds - 1} further Poisson seeds. “Other training”: two networks of leak {leak}, "
        f"{settings.leak_epochs} epochs each, that differ in the seed of training only. “Other image”: each map "
        "beside that of the next image.",
    )
    return Result("Agreement: what two maps of one image have in common", table, _claims(study, values), notes)


def summarise(study: Study, path: Path) -> Summaries:
    """Maps of every image in the layers of interest, summed over time."""
    with RasterReader(path) as raster:
        found = {}
        for layer in study.layers(raster):
            maps = [sam_maps(raster, layer, sample, study.settings.gamma) for sample in range(raster.n_samples)]
            centres = [float(temporal_centre_of_mass(each)) / max(len(each) - 1, 1) for each in maps]
            found[layer] = Summary(np.stack([each.sum(axis=0, dtype=np.float64) for each in maps]), np.array(centres))
        return found


def compare(first: Summaries, second: Summaries) -> dict[tuple[str, str], NDArray[np.float64]]:
    """(layer, measure) -> one value per image."""
    measures: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], float]] = {
        MEASURES[0]: pearson,
        MEASURES[1]: top_overlap,
    }
    values = {}
    for layer, one in first.items():
        other = second[layer]
        for name, measure in measures.items():
            values[layer, name] = np.array([measure(*pair) for pair in zip(one.maps, other.maps, strict=True)])
        values[layer, MEASURES[2]] = np.abs(one.centres - other.centres)
    return values


def _claims(study: Study, values: Values) -> list[Claim]:
    seed, n = study.settings.seed, len(study.images)
    claims = []
    for layer in dict.fromkeys(layer for _, layer, _ in values):
        floor = values["other spikes", layer, MEASURES[0]]
        ours = with_interval(bootstrap_mean(floor, seed))
        claims.append(Claim(f"{layer}: correlation of two Poisson seeds (noise floor)", "–", ours, "cannot say", n))
        for comparison, what, paper in (
            ("converted", "surrogate and converted maps differ by more than two seeds", "they differ"),
            ("other training", "so do two trainings of one network", "–"),
            ("float32", "so do float32 and fixed point", "–"),
        ):
            difference = paired_difference(floor, values[comparison, layer, MEASURES[0]], seed)
            mean = values[comparison, layer, MEASURES[0]].mean()
            text = f"correlation {mean:.3g}; lower than the floor by {with_interval(difference)}"
            claims.append(Claim(f"{layer}: {what}", paper, text, verdict(difference), n))
    return claims


def _draw(study: Study, values: Values) -> None:
    points = [
        {"panel": measure, "curve": layer, "x": name} | bootstrap_mean(found, study.settings.seed)._asdict()
        for (name, layer, measure), found in values.items()
    ]
    subtitle = f"SAM summed over time, {len(study.images)} images; mean and 95 % interval"
    title, y = "What two maps of one image have in common", dict.fromkeys(MEASURES, "")
    y[MEASURES[2]] = "share of the steps"
    draw_curves(study.out / "agreement.png", title, subtitle, pd.DataFrame(points), "", y)
