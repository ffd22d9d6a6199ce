"""Pictures of a training: maps of one epoch beside each other, and those of all epochs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import DPI, MARGIN, SUBTITLE, TITLE, ShownFigure, drawable, style, text_width
from spikesam.pipeline.drawing.grid import HEAT
from spikesam.recordings.text import LONGEST_NAME, printable

SMALLEST, GAP = 64, 2  # pixels: side of a map in a picture of one epoch, and between two
CELL, BETWEEN = 1.0, 0.06  # inches: side of a map in the strip, and between two
MOST = 12  # epochs that a strip shows
ABOUT = "A row is a sample, a column an epoch; one scale of colour"


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
    rows, largest = max(len(maps[epoch]) for epoch in epochs), max(maps[epoch].max(initial=0) for epoch in epochs)
    above, step = 0.75, CELL + BETWEEN
    height = above + rows * step + MARGIN
    with style():
        title = drawable(f"SAM of layer {printable(layer, LONGEST_NAME)} while it was trained")
        width = 2 * MARGIN + max(text_width(title, **TITLE), text_width(ABOUT, **SUBTITLE), len(epochs) * step)
        figure = ShownFigure(figsize=(width, height), dpi=DPI, facecolor="white")
        figure.text(MARGIN / width, 1 - 0.25 / height, title, va="center", **TITLE)
        figure.text(MARGIN / width, 1 - 0.46 / height, ABOUT, **SUBTITLE)
        for column, epoch in enumerate(epochs):
            for row, pixels in enumerate(maps[epoch]):
                left, bottom = MARGIN + column * step, height - above - row * step - CELL
                axes = figure.add_axes((left / width, bottom / height, CELL / width, CELL / height))
                axes.imshow(pixels, cmap=HEAT, vmin=0, vmax=float(largest) or 1.0, interpolation="bilinear")
                axes.set_axis_off()
                if not row:
                    axes.set_title(f"epoch {epoch}", pad=3)
    return figure
