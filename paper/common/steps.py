"""A measure of maps at every step, and what becomes of it over steps: the largest, its step, and the mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from paper.common.claims import Claim, compared
from paper.common.heatmaps import Maps, count_maps, sam_maps, snn_grad_cams
from paper.common.setup import Setup
from paper.measures.tables import rows
from spikesam.recordings.raster.reader import RasterReader

MAPS = ("SAM", "spike count", "SNN Grad-CAM")
Measure = Callable[[Maps], float]


def measured_by_step(
    setup: Setup, raster: RasterReader, layers: Sequence[str], maps: Sequence[str], measures: Mapping[str, Measure]
) -> pd.DataFrame:
    """Measure the maps of the setup's images at every step that matters: image, measure, layer, map, step, value.

    Parameters
    ----------
    raster : recording of the setup's images through the surrogate-trained network
    layers : convolutions
    maps : names in :data:`MAPS`
    measures : name -> function of (1, H, W) maps
    """
    grad_cams = snn_grad_cams(setup, setup.images, raster)
    gamma, found = setup.settings.gamma, []
    with setup.progress(", ".join(measures), len(layers) * len(setup.images)) as advance:
        for layer in layers:
            for image in range(len(setup.images)):
                of_image = {
                    "SAM": sam_maps(raster, layer, image, gamma),
                    "spike count": count_maps(raster, layer, image),
                    "SNN Grad-CAM": grad_cams[layer][image],
                }
                for name in maps:
                    for measure, function in measures.items():
                        values = by_step(function, of_image[name])
                        found += [(image, measure, layer, name, step, value) for step, value in enumerate(values)]
                advance(1)
    return pd.DataFrame(found, columns=["image", "measure", "layer", "map", "step", "value"])


def by_step(measure: Measure, maps: Maps) -> list[float]:
    """A measure of (T', H, W) maps at each step by itself."""
    return [measure(maps[step : step + 1]) for step in range(len(maps))]


def largest(by_step: pd.DataFrame) -> pd.DataFrame:
    """The largest value over steps, of every image under every condition."""
    return by_step.groupby(_conditions(by_step), sort=False)["value"].max().reset_index()


def step_of_largest(by_step: pd.DataFrame) -> pd.DataFrame:
    """The step of the largest value, the first of several; of every image under every condition."""
    at = by_step.reset_index(drop=True).groupby(_conditions(by_step), sort=False)["value"].idxmax()
    return at.map(by_step["step"].reset_index(drop=True).astype(float)).reset_index()


def mean_where_not_flat(by_step: pd.DataFrame) -> pd.DataFrame:
    """Mean over the steps whose map is not flat, where a measure of spread is zero; 0 if all are flat."""
    grouped = by_step.assign(counted=by_step["value"] > 0).groupby(_conditions(by_step), sort=False)
    return (grouped["value"].sum() / grouped["counted"].sum().clip(lower=1)).rename("value").reset_index()


def sam_above_grad_cam(measure: str, paper: str, found: pd.DataFrame, seed: int) -> list[Claim]:
    """At every layer, SAM has more of a measure than SNN-crafted Grad-CAM."""
    return [
        compared(f"{measure} at {layer}", paper, {name: rows(each, map=name) for name in ("SAM", "SNN Grad-CAM")}, seed)
        for layer, each in found.groupby("layer", sort=False)
    ]


def _conditions(by_step: pd.DataFrame) -> list[str]:
    return [column for column in by_step.columns if column not in ("step", "value")]
