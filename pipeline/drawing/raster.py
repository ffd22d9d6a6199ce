"""Which neurons of a layer fire when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .canvas import GREY, drawing

MOST_NEURONS = 200


def draw_raster(path: Path, layer: str, packed: NDArray[np.uint8], neurons: int, sample: str) -> None:
    """The most active neurons on top, evenly thinned if there are many.

    Parameters
    ----------
    layer : its name
    packed : (T, bytes) uint8, the spikes of one sample, see :func:`recordings.raster.batch.pack`
    neurons : how many the layer has, C·H·W
    sample : what it is called
    """
    timesteps, counts = len(packed), np.zeros(neurons, np.int32)
    for step in packed:
        counts += np.unpackbits(step, count=neurons)
    firing = np.flatnonzero(counts)
    firing = firing[np.argsort(-counts[firing], kind="stable")]
    shown = firing[np.linspace(0, len(firing) - 1, min(len(firing), MOST_NEURONS)).round().astype(int)]
    about = f"{len(firing):,} of {neurons:,} neurons fire."
    if len(shown) < len(firing):
        about += f" One in {len(firing) / len(shown):.0f} is shown."
    with drawing(path, f"Spikes of {layer}: {sample}", about, 7.2, 3.8) as canvas:
        axes = canvas.axes(0.65, 0.8, 6.35, 2.5)
        axes.set(xlabel="step t", ylabel="neurons, most active on top", yticks=[])
        if len(shown):
            fired = packed[:, shown // 8] << (shown % 8).astype(np.uint8) & 0x80  # the first bit is the highest
            axes.imshow(fired.T > 0, cmap="binary", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_xticks(np.arange(1, timesteps) - 0.5, minor=True)
            axes.grid(axis="x", which="minor", color="0.9", linewidth=0.4)
            axes.tick_params(which="minor", length=0)
        else:
            axes.set_xlim(-0.5, timesteps - 0.5)
            axes.text(0.5, 0.5, "no spikes", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
