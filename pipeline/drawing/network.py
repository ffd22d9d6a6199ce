"""A network as a picture: a box for every layer, an arrow for everything that is read, and how much
is fired.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from spikesam.backends.network import Input, Network, Source
from spikesam.backends.network.table import steps_of
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.pipeline.drawing.canvas import GREY, ShownFigure, drawable, shortened, style
from spikesam.recordings.raster.reader import RasterReader, opened_raster

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint

WIDTH, HEIGHT, SHORT = 1.12, 0.62, 16  # inches of a box; characters of a name in it
ACROSS, DOWN = 1.8, 1.05  # inches from box to box
ARROW: Any = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 1}


@checked_arguments
def draw_network(
    network: Network | Checkpoint, raster: RasterReader | str | PathLike[str] | None = None
) -> ShownFigure:
    """Draw what every layer reads: arrows from left to right, shortcuts as bows, feedback as a bow
    below.

    Where a raster is given, arrows are as dark as the layer behind them fires, and say how often:
    spikes per neuron and step.

    Parameters
    ----------
    network : of any kind; also a :class:`~spikesam.pipeline.networks.checkpoint.Checkpoint`
    raster : its recording; the recording's file, or the folder of its run

    Returns
    -------
    a :class:`matplotlib.figure.Figure`, which a notebook shows

    Raises
    ------
    InputError : if the raster has a layer that the network has not

    Examples
    --------
    >>> import spikesam
    >>> figure = spikesam.draw_network(spikesam.load("cluttered-digits"))
    >>> figure.savefig("network.png")
    """
    network = getattr(network, "network", network)
    if not isinstance(network, Network):
        raise InputError(
            f"draw_network: got {type(network).__name__}, expected a Network or a Checkpoint"
        )
    rates = {} if raster is None else _rates(network, raster)
    places = _places(network)
    columns = 2 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    reads = [
        (source, layer_input, layer.name)
        for layer in network.layers
        for layer_input in layer.inputs
        for source in layer_input.sources
    ]
    longest = max(
        (places[target][0] - places[source.layer][0] for source, _, target in reads), default=1
    )
    above = 0.75 + 0.08 * longest
    size = ACROSS * columns, DOWN * rows + above
    with style():
        figure = ShownFigure(figsize=size, dpi=120)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.6 * ACROSS, size[0] - 0.6 * ACROSS), ylim=(above - size[1], above))
        axes.set_axis_off()
        for name, shape in zip(network.names, network.shapes, strict=True):
            _box(axes, places[name], name, "×".join(map(str, shape)), name == "input")
        places["readout"] = columns - 1, 0
        _box(axes, places["readout"], "readout", f"{network.classes}", True)
        for source, layer_input, target in [
            *reads,
            (Source(network.layers[-1].name), None, "readout"),
        ]:
            _arrow(axes, places, source, layer_input, target, rates)
    return figure


def _rates(network: Network, source: RasterReader | str | PathLike[str]) -> dict[str, float]:
    """Spikes per neuron and step of each layer."""
    with opened_raster(source) as raster:
        rates = {layer.name: raster.rate(layer) for layer in raster.layers}
    if unknown := rates.keys() - set(network.names):
        raise InputError(
            f"draw_network: the raster has a layer {min(unknown)!r}, which the network has not"
        )
    return rates


def _places(network: Network) -> dict[str, tuple[int, int]]:
    """Column and row of every layer: columns by the longest way from the input, without
    feedback.
    """
    columns, taken = {"input": 0}, {0: 1}
    places = {"input": (0, 0)}
    for layer in network.layers:
        source_columns = [
            columns[source.layer] for source in layer.sources if source.layer in columns
        ]
        column = columns[layer.name] = 1 + max(source_columns, default=0)
        places[layer.name] = column, taken.get(column, 0)
        taken[column] = taken.get(column, 0) + 1
    return places


def _box(axes: Any, place: tuple[int, int], name: str, shape: str, plain: bool) -> None:
    x, y = place[0] * ACROSS, -place[1] * DOWN
    corner = x - WIDTH / 2, y - HEIGHT / 2
    style: Any = {"facecolor": "white" if plain else "#e8eef6", "edgecolor": GREY, "linewidth": 0.8}
    axes.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.08", **style)
    )
    text_style: Any = {"ha": "center", "va": "center"}
    axes.text(
        x, y + 0.11, drawable(shortened(name, SHORT)), fontsize=8, fontweight="bold", **text_style
    )
    axes.text(x, y - 0.13, shape, fontsize=7, color=GREY, **text_style)


def _arrow(
    axes: Any,
    places: Any,
    source: Source,
    layer_input: Input | None,
    target: str,
    rates: dict[str, float],
) -> None:
    """From a layer to one that reads it, with the delay, the sign and the rate."""
    (left, upper), (right, lower) = places[source.layer], places[target]
    rate = rates.get(source.layer)
    colour = (
        GREY if rate is None else str(round(0.72 * (1 - min(1.0, rate / 0.3)), 3))
    )  # black from 30 % on
    line: Any = {
        "color": colour,
        "linestyle": "--" if layer_input is not None and not layer_input.synapse.tensors else "-",
        "zorder": 0,
        **ARROW,
    }
    labels = [] if rate is None else [f"{100 * rate:.1f} %"]
    if layer_input is not None and source.longest > 1:
        labels.append(steps_of(source))
    if source.sign < 0:
        labels.append("−")
    x0, x1, y0, y1 = left * ACROSS, right * ACROSS, -upper * DOWN, -lower * DOWN
    if right == left + 1:
        start, end, height = (x0 + WIDTH / 2, y0), (x1 - WIDTH / 2, y1), 0.0
    elif source.layer == target:
        start, end, height = (x0 - 0.25, y0 - HEIGHT / 2), (x0 + 0.25, y0 - HEIGHT / 2), -0.35
    elif right < left:  # back, under the layers between
        start, end, height = (
            (x0, y0 - HEIGHT / 2),
            (x1, y1 - HEIGHT / 2),
            0.3 + 0.08 * (left - right),
        )
    elif upper == lower == 0:  # over them
        start, end, height = (
            (x0, y0 + HEIGHT / 2),
            (x1, y1 + HEIGHT / 2),
            0.3 + 0.08 * (right - left),
        )
    elif upper == lower:
        start, end, height = (x0, y0 - HEIGHT / 2), (x1, y1 - HEIGHT / 2), -0.3
    elif upper > lower:  # between the rows
        start, end, height = (x0 + WIDTH / 2, y0), (x1 - 0.3, y1 - HEIGHT / 2), 0.0
    else:
        start, end, height = (x0 + 0.3, y0 - HEIGHT / 2), (x1 - WIDTH / 2, y1), 0.0
    across, up = end[0] - start[0], end[1] - start[1]
    bend = (
        -2 * height / float(np.hypot(across, up))
    )  # as far as a bow stands off, in shares of its length
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **line))
    if labels:
        x, y = (start[0] + end[0]) / 2 + bend / 2 * up, (start[1] + end[1]) / 2 - bend / 2 * across
        below = y < min(start[1], end[1])
        background = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
        text_style: Any = {
            "ha": "center",
            "va": "top" if below else "bottom",
            "fontsize": 6.5,
            "bbox": background,
        }
        axes.text(x, y + (-0.05 if below else 0.04), ", ".join(labels), **text_style)
