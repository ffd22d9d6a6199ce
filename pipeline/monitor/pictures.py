"""Pictures of a training: maps of one epoch beside each other, and those of all epochs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import ShownFigure
from spikesam.pipeline.drawing.grid import HEAT, Cell, Row, draw_maps
from spikesam.pipeline.drawing.notebook import png_of
from spikesam.pipeline.maps.plot import figure_of
from spikesam.recordings.text import LONGEST_NAME, printable

SMALLEST, GAP = 64, 2  # pixels: side of a map in a picture of one epoch, and between two
MOST = 12  # epochs that a strip shows
ABOUT = "A row is a sample, a column an epoch; one scale of colour."


def beside(sums: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Maps of samples, (N, H, W), in a row, by one scale of colour: (3, H', W') as loggers take pictures."""
    times = max(1, -(-SMALLEST // max(sums.shape[1:])))
    enlarged = sums.repeat(times, axis=1).repeat(times, axis=2)
    coloured = HEAT(enlarged / (enlarged.max() or 1))[..., :3]
    framed = np.pad(coloured, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=1.0)
    row = np.concatenate(list(framed), axis=1)[:, :-GAP]
    return np.rint(255 * row.transpose(2, 0, 1)).astype(np.uint8)


def draw_strip(maps: Mapping[int, NDArray[np.float32]], layer: str) -> ShownFigure:
    """The maps of a layer by epoch, (N, H, W) each; of many epochs some, the first and the last among them."""
    epochs = list(maps)
    if len(epochs) > MOST:
        epochs = [epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, MOST)]
    largest = max(maps[epoch].max(initial=0) for epoch in epochs) or 1
    each = ([Cell(heat / largest) for heat in maps[epoch]] for epoch in epochs)
    rows = [Row("", cells) for cells in zip_longest(*each)]
    title = f"SAM of layer {printable(layer, LONGEST_NAME)} while it was trained"
    return figure_of(png_of(lambda path: draw_maps(path, title, ABOUT, [f"epoch {epoch}" for epoch in epochs], rows)))
