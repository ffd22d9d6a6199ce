"""Parts of a network as text for people: what a layer reads, its shape and weights, in columns."""

from __future__ import annotations

from collections.abc import Sequence

from spikesam.backends.network.inputs import Input
from spikesam.backends.network.sources import Source
from spikesam.backends.network.synapses.synapse import Shape

SIDES = ("pool", "stride", "padding", "current_pool", "current_stride", "current_padding")


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def sources_of(layer_input: Input) -> str:
    """The sources of an input, with their signs and delays."""
    sums = [
        " ".join(map(_source, sources)).removeprefix("+ ")
        for sources in layer_input.summands(layer_input.sources)
    ]
    return " · ".join(f"({term})" if " + " in term and len(sums) > 1 else term for term in sums)


def _source(source: Source) -> str:
    sign, late = (
        "-" if source.sign < 0 else "+",
        f" ({steps_of(source)})" if source.longest > 1 else "",
    )
    return f"{sign} {source.layer}{late}"


def steps_of(source: Source) -> str:
    """The delay of a source as people read it: 3 steps, or 1 … 3 steps where channels differ."""
    shortest = "" if source.shortest == source.longest else f"{source.shortest} … "
    return f"{shortest}{source.longest} steps"


def weights_of(layer_input: Input) -> str:
    """The weights of an input, or its kind, and what is not plain of it."""
    synapse = layer_input.synapse
    geometry = synapse.geometry
    parts = [f"{geometry['heads']} heads"] if "heads" in geometry else []
    maps = (name for name in ("columns", "rows") if name in geometry)
    parts += [f"{len(geometry[name])} {name}" for name in maps]
    if "spread" in geometry:
        parts.append(f"spread {by_sides(synapse.spread)}")
    parts += [f"{name} {getattr(synapse, name)}" for name in SIDES if name in geometry]
    if synapse.pooling == "sum":
        parts.append("summed")
    if synapse.current_sum:
        parts.append("currents summed")
    shapes = [by_sides(weight.shape) for weight in synapse.tensors.values()]
    return ", ".join([*(shapes or [synapse.kind]), *parts])


def by_sides(shape: Shape | tuple[int, ...]) -> str:
    """A shape as people read it: 3×32×32."""
    return "×".join(map(str, shape))
