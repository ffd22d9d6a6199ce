"""Do the maps depend on what was learnt? Weights are shuffled from the readout down; not in the paper.

Every layer's map is correlated with the map of the trained network, image by image (Adebayo et al. 2018,
arXiv:1810.03292). SAM of a layer sees only the layers up to this one: shuffling the layers above cannot change it.
SNN-crafted Grad-CAM also sees the layers above. Maps are summed over the steps that can still change the answer. The
dashed line is the noise floor: the trained network with other Poisson spikes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backends.network import Network
from pipeline.drawing.curves import draw_curves
from pipeline.measures.agreement import pearson
from pipeline.measures.randomisation import randomise_from_top
from pipeline.measures.statistics import bootstrap_mean
from pipeline.measures.tables import difference, groups, measured, rows, summary, values
from recordings.raster.reader import RasterReader

from .study.claims import Claim, judged, with_interval
from .study.heatmaps import sam_maps, snn_grad_cams
from .study.images import ImageSet
from .study.result import Result
from .study.study import Study

TRAINED, FLOOR = "trained", "nothing, other spikes"
DOWN_TO = "shuffled down to"
Maps = dict[tuple[str, str], NDArray[np.float64]]  # (map, layer) -> (N, h, w), summed over time


def run(study: Study) -> Result:
    """Shuffle, record, compare."""
    settings = study.settings
    images, network = study.images.take(settings.randomised), study.networks.surrogate.network
    trained = summed_maps(study, network, images, settings.seed)
    parts = [correlations(trained, trained, TRAINED)]
    with study.progress("shuffling weights", len(network.layers) + 1) as advance:
        for name, shuffled in randomise_from_top(network, settings.seed):
            parts.append(correlations(trained, summed_maps(study, shuffled, images, settings.seed), name))
            advance(1)
    parts.append(correlations(trained, summed_maps(study, network, images, settings.seed + 1), FLOOR))
    found = pd.concat(parts)
    table = summary(found, settings.seed)
    draw(study, table)
    claims = [claim for _, each in groups(found, ["map", "layer"]) for claim in claims_of(each, settings.seed)]
    notes = (
        "SAM of a layer cannot depend on the layers above it, the readout least of all. It shows what the layer "
        "attends to, not what the answer rests on.",
    )
    return Result("Randomisation: do the maps depend on what was learnt?", table, claims, notes)


def summed_maps(study: Study, network: Network, images: ImageSet, seed: int) -> Maps:
    """SAM and SNN-crafted Grad-CAM of every image and layer of interest, summed over time."""
    found: Maps = {}
    with RasterReader(study.recording(network, images, seed=seed)) as raster:
        gradients = snn_grad_cams(study, images, raster, network, seed)
        for layer in study.layers(raster):
            maps = [sam_maps(raster, layer, sample, study.settings.gamma) for sample in range(raster.n_samples)]
            found["SAM", layer] = np.stack([each.sum(axis=0, dtype=np.float64) for each in maps])
            found["SNN Grad-CAM", layer] = gradients[layer].sum(axis=1, dtype=np.float64)
    return found


def correlations(trained: Maps, other: Maps, down_to: str) -> pd.DataFrame:
    """Pearson's correlation of maps with those of the trained network: image, shuffled down to, map, layer, value."""
    parts = [
        measured(
            [pearson(*both) for both in zip(maps, other[name, layer], strict=True)],
            **{DOWN_TO: down_to, "map": name, "layer": layer},
        )
        for (name, layer), maps in trained.items()
    ]
    return pd.concat(parts)


def claims_of(found: pd.DataFrame, seed: int) -> list[Claim]:
    """One map in one layer changes when every weight is shuffled, and when the readout alone is shuffled."""
    where = f"{found['map'].iloc[0]}, {found['layer'].iloc[0]}"
    _, readout, *_, everything, _ = found[DOWN_TO].unique()
    floor = rows(found, **{DOWN_TO: FLOOR})
    claims = []
    for down_to, what in ((everything, "every weight is"), (readout, "the readout is")):
        shuffled = rows(found, **{DOWN_TO: down_to})
        loss = difference(floor, shuffled, seed)
        ours = f"correlation {with_interval(bootstrap_mean(values(shuffled), seed))}"
        ours += f"; noise floor − correlation: {with_interval(loss)}"
        claims.append(judged(f"{where}: changes when {what} shuffled", "–", ours, loss))
    return claims


def draw(study: Study, table: pd.DataFrame) -> None:
    """A panel per kind of map, a colour per layer; dashed: the noise floor."""
    points = table.rename(columns={"map": "panel", "layer": "curve", DOWN_TO: "x"})
    lines = [points[points["x"] != FLOOR].assign(style="-")]
    ends = lines[0]["x"].iloc[[0, -1]]
    lines += [rows(points, x=FLOOR).assign(x=end, low=np.nan, high=np.nan, style="--") for end in ends]
    subtitle = f"weights shuffled from the readout down; {points['n'].max()} images; dashed: trained, other spikes"
    title, y = "Do the maps depend on what was learnt?", "correlation with the trained map"
    draw_curves(study.out / "randomisation.png", title, subtitle, pd.concat(lines), "", y, joined=True)
