"""Do the maps depend on what was learnt? Weights shuffled from the readout down; not in the paper.

For every layer of interest, the correlation of its map with that of the trained network, image by image (Adebayo et al.
2018, arXiv:1810.03292). SAM of a layer sees the layers up to it alone: shuffling what is above cannot change it.
SNN-crafted Grad-CAM also sees what is above. Maps are summed over the steps that can still change the answer. The
dashed line is the noise floor: the trained network with other Poisson spikes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backends.network.graph import Network
from pipeline.drawing.curves import draw_curves
from pipeline.measures.agreement import pearson
from pipeline.measures.randomisation import randomise_from_top
from pipeline.measures.statistics import bootstrap_mean, paired_difference
from recordings.raster.reader import RasterReader

from .study.heatmaps import sam_maps, snn_grad_cams
from .study.images import ImageSet
from .study.result import Claim, Result, verdict, with_interval
from .study.study import Study

METHODS = ("SAM", "SNN Grad-CAM")
Maps = dict[tuple[str, str], NDArray[np.float64]]  # (method, layer) -> (N, h, w), summed over time


def run(study: Study) -> Result:
    """Shuffle, record, compare."""
    settings = study.settings
    images, network = study.images.take(settings.randomised), study.surrogate.network
    trained = _maps(study, network, images, settings.seed)
    noise = _correlations(trained, _maps(study, network, images, settings.seed + 1))
    names = ["trained"]
    values = [{key: np.ones(len(images)) for key in trained}]
    with study.progress("shuffling weights", len(network.layers) + 1) as advance:
        for name, shuffled in randomise_from_top(network, settings.seed):
            names.append(name)
            values.append(_correlations(trained, _maps(study, shuffled, images, settings.seed)))
            advance(1)
    table = [
        {"shuffled down to": name, "method": method, "layer": layer} | bootstrap_mean(found, settings.seed)._asdict()
        for name, by_map in zip([*names, "nothing, other spikes"], [*values, noise], strict=True)
        for (method, layer), found in by_map.items()
    ]
    _draw(study, names, values, noise)
    claims = []
    for method, layer in trained:
        first, all_shuffled = values[1][method, layer], values[-1][method, layer]
        loss = paired_difference(noise[method, layer], all_shuffled, settings.seed)
        text = f"correlation {with_interval(bootstrap_mean(all_shuffled, settings.seed))}"
        what = f"{method}, {layer}: changes when every weight is shuffled"
        claims.append(Claim(what, "–", f"{text}; below the floor by {with_interval(loss)}", verdict(loss), len(images)))
        loss = paired_difference(noise[method, layer], first, settings.seed)
        text = f"correlation {with_interval(bootstrap_mean(first, settings.seed))}"
        what = f"{method}, {layer}: changes when the readout is shuffled"
        claims.append(Claim(what, "–", text, verdict(loss), len(images)))
    notes = (
        "SAM of a layer cannot depend on the layers above it, the readout least of all: it shows what the layer "
        "attends to, not what the answer rests on.",
    )
    return Result("Randomisation: do the maps depend on what was learnt?", table, claims, notes)


def _maps(study: Study, network: Network, images: ImageSet, seed: int) -> Maps:
    found: Maps = {}
    with RasterReader(study.recording(network, images, seed=seed)) as raster:
        layers = study.layers(raster)
        gradients = snn_grad_cams(study, images, raster, network, seed)
        for layer in layers:
            maps = [sam_maps(raster, layer, sample, study.settings.gamma) for sample in range(raster.n_samples)]
            found["SAM", layer] = np.stack([each.sum(axis=0, dtype=np.float64) for each in maps])
            found["SNN Grad-CAM", layer] = gradients[layer].sum(axis=1, dtype=np.float64)
    return found


def _correlations(trained: Maps, other: Maps) -> dict[tuple[str, str], NDArray[np.float64]]:
    return {
        key: np.array([pearson(*pair) for pair in zip(maps, other[key], strict=True)]) for key, maps in trained.items()
    }


def _draw(
    study: Study,
    names: list[str],
    values: list[dict[tuple[str, str], NDArray[np.float64]]],
    noise: dict[tuple[str, str], NDArray[np.float64]],
) -> None:
    points: list[dict[str, Any]] = []
    for (method, layer), floor in noise.items():
        curve = {"panel": method, "curve": layer}
        for name, each in zip(names, values, strict=True):
            estimate = bootstrap_mean(each[method, layer], study.settings.seed)
            points.append(curve | {"x": name, "style": "-"} | estimate._asdict())
        points += [curve | {"x": name, "style": "--", "mean": floor.mean()} for name in (names[0], names[-1])]
    table = pd.DataFrame(points)
    count = len(next(iter(noise.values())))
    subtitle = f"weights shuffled from the readout down; {count} images; dashed: trained, other spikes"
    title, y = "Do the maps depend on what was learnt?", "correlation with the trained map"
    draw_curves(study.out / "randomisation.png", title, subtitle, table, "", y, joined=True)
