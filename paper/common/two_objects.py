"""Which of two objects in an image is predicted, and how much of a map's energy lies on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paper.common.heatmaps import count_maps, sam_maps
from paper.common.scenes import Scenes
from paper.common.setup import Setup
from spikesam.pipeline.measures.maps import resize_map
from spikesam.recordings.raster.reader import RasterReader

SAM, COUNT = "SAM", "spike count"
Floats = NDArray[np.float64]


def taken_for_one(scenes: Scenes, predictions: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images that are taken for one of their two objects, and which of them: (n,) and (n,) of 0 or 1."""
    hits = scenes.labels == predictions[:, None]
    chosen = np.flatnonzero(hits.any(axis=1))
    return chosen, hits[chosen].argmax(axis=1)


def attention(
    setup: Setup, raster: RasterReader, scenes: Scenes, chosen: NDArray[np.int64], predicted: NDArray[np.int64]
) -> pd.DataFrame:
    """Share of the energy on the predicted object: image, map, layer, when, value; no row where a map has no energy.

    `when` is "early", "late" or "step t", from the image's arrival to the last step that matters.
    """
    found, gamma = [], setup.settings.gamma
    with setup.progress("two objects", len(chosen)) as advance:
        for sample, side in zip(chosen.tolist(), predicted.tolist(), strict=True):
            objects = np.stack([mask for mask in scenes.masks[sample] if mask is not None])[[side, 1 - side]]
            for layer in setup.layers(raster):
                first = min(raster.layer(layer).number, raster.steps_that_matter(layer) - 1)
                maps = {SAM: sam_maps(raster, layer, sample, gamma), COUNT: count_maps(raster, layer, sample)}
                for kind, of_kind in maps.items():
                    by_time = shares(energy_on(of_kind[first:], objects), first)
                    found += [(sample, kind, layer, when, float(share)) for when, share in by_time.items()]
            advance(1)
    return pd.DataFrame(found, columns=["image", "map", "layer", "when", "value"]).dropna()


def energy_on(maps: NDArray[np.float32], objects: NDArray[np.bool_]) -> Floats:
    """Mean over each object's pixels: maps (T, h, w), resized bilinearly, and (K, H, W) bool -> (T, K)."""
    resized = resize_map(maps, objects.shape[1:])
    return np.stack([resized[:, where].mean(axis=1) for where in objects], axis=1)


def shares(energies: Floats, first: int) -> dict[str, Floats]:
    """Energy on the predicted object as a share of that on both, (...); NaN where both are zero.

    Parameters
    ----------
    energies : (..., T', 2) — mean energy on the predicted object and on the other one
    first : the step of the first of them

    Returns
    -------
    "early", "late" (first and last third) and "step t" -> share
    """
    steps = energies.shape[-2]
    third = max(1, steps // 3)
    windows = {"early": energies[..., :third, :].sum(axis=-2), "late": energies[..., -third:, :].sum(axis=-2)}
    windows |= {f"step {first + step}": energies[..., step, :] for step in range(steps)}
    totals = {when: of_window.sum(axis=-1) for when, of_window in windows.items()}
    return {
        when: np.divide(windows[when][..., 0], total, out=np.full(total.shape, np.nan), where=total > 0)
        for when, total in totals.items()
    }
