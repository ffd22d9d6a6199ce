"""Views of maps, rasters and networks in a notebook; of the first two also as a figure, see
`maps.plot()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from spikesam.backends.network import Network
from spikesam.backends.network.table import by_sides, in_columns
from spikesam.common.arguments import listed
from spikesam.common.errors import InputError, at
from spikesam.pipeline.drawing.activity import draw_raster
from spikesam.pipeline.drawing.canvas import DPI, ShownFigure
from spikesam.pipeline.drawing.figures import draw_overview
from spikesam.pipeline.drawing.network import draw_network
from spikesam.pipeline.drawing.notebook import html, png_of
from spikesam.pipeline.drawing.subject import recorded_subjects
from spikesam.pipeline.maps.method import method_of
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.reader import position


def plot_maps(
    maps: MapReader, samples: int | Iterable[int] = 4, layers: Sequence[str | int] = ()
) -> Figure:
    """Samples beside each other, the first ones or those at some positions: image, name and answer,
    and below the summed maps of some layers.
    """
    return figure_of(_maps(maps, samples, layers))


def plot_raster(raster: RasterReader, layer: str | int | None = None, sample: int = 0) -> Figure:
    """The spikes of a layer, the last one if none is named, in one sample: a line per neuron, a
    tick per spike.
    """
    return figure_of(_raster(raster, layer, sample))


def notebook_html(shown: MapReader | RasterReader | Network) -> str:
    """The HTML that a notebook shows: the layers, and a picture."""
    if isinstance(shown, Network):
        return html([str(shown)], lambda: draw_network(shown)._repr_png_())
    if isinstance(shown, MapReader):
        return html([repr(shown)], lambda: _maps(shown))
    layers = [(layer.name, by_sides(layer.shape), f"{layer.neurons:,}") for layer in shown.layers]
    return html(
        [repr(shown), "", in_columns([("layer", "shape", "neurons"), *layers])],
        lambda: _raster(shown),
    )


def _maps(
    maps: MapReader, samples: int | Iterable[int] = 4, layers: Sequence[str | int] = ()
) -> bytes:
    shown = _positions(samples, maps.n_samples)
    names = [maps.layer(layer).name for layer in ((layers,) if isinstance(layers, str) else layers)]
    subjects = recorded_subjects(maps, maps.predictions[: max(shown) + 1])
    with at(maps.file_name):
        method = method_of(maps.header)
    return png_of(
        lambda path: draw_overview(
            path, maps, method, [subjects[sample] for sample in shown], names, samples=shown
        )
    )


def _positions(samples: int | Iterable[int], n_samples: int) -> list[int]:
    """Of the first samples, as many as there are, or of those at some positions."""
    if not isinstance(samples, Iterable):
        if samples < 1:
            raise InputError(f"plot: samples is {samples!r}, expected a whole number ≥ 1")
        return list(range(min(samples, n_samples)))
    with at("plot"):
        shown = [position(sample, n_samples) for sample in listed(samples, "samples")]
    if not shown:
        raise InputError("plot: samples is empty, expected at least one position")
    return shown


def _raster(raster: RasterReader, layer: str | int | None = None, sample: int = 0) -> bytes:
    spec = raster.layer(raster.layers[-1].name if layer is None else layer)
    with at("plot"):
        sample_number = position(sample, raster.n_samples)
    subject = recorded_subjects(raster, raster.predictions[: sample_number + 1])[sample_number]
    facts = ", ".join(subject.facts)
    return png_of(
        lambda path: draw_raster(
            path, spec.name, raster.packed(spec, sample_number), spec.neurons, facts
        )
    )


def figure_of(picture: bytes) -> ShownFigure:
    """A figure that shows a PNG pixel by pixel."""
    pixels = np.asarray(Image.open(BytesIO(picture)).convert("RGB"))
    figure = ShownFigure(figsize=(pixels.shape[1] / DPI, pixels.shape[0] / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels)
    axes.set_axis_off()
    return figure
