"""A map laid over its image, in colours."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from pipeline.measures.maps import resize_map

HEAT = mpl.colors.ListedColormap(mpl.colormaps["inferno"](np.linspace(0.2, 1, 256)))  # black would look like shadow


def overlay(
    image: NDArray[np.floating[Any]] | None, heat: NDArray[np.floating[Any]], size: tuple[int, int]
) -> NDArray[np.float64]:
    """A map over its image, (H, W, 3) in 0 … 1. Low values let the image through, high ones cover it.

    Parameters
    ----------
    image : (H, W, 3) in 0 … 1; None shows the map alone
    heat : (h, w) in 0 … 1, resized bilinearly
    size : (H, W)
    """
    heat = np.clip(resize_map(heat, size), 0, 1)
    colours: NDArray[np.float64] = HEAT(heat)[..., :3]
    if image is None:
        return colours
    alpha = 0.95 * heat[..., None]
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    return (1 - alpha) * (0.5 * grey + 0.2 * image + 0.05) + alpha * colours
