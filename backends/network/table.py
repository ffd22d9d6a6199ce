"""Parts of a network as text for people: what a layer reads, its shape and its weights, in columns."""

from __future__ import annotations

from collections.abc import Sequence

from spikesam.backends.network.inputs import PLAIN, WHOLE, Input, Shape, Source


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def sources_of(each: Input) -> str:
    """The sources of an input, with their signs and delays."""
    sums = [
        " ".join(map(_source, sources)).removeprefix("+ ")
        for sources in each.summands(each.sources)
    ]
    return " · ".join(f"({one})" if " + " in one and len(sums) > 1 else one for one in sums)


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


def weights_of(each: Input) -> str:
    """The weights of an input, and what is not plain of it."""
    said = [
        f"{name} {getattr(each, name)}"
        for name, value in PLAIN.items()
        if getattr(each, name) != value
    ]
    if each.pooling == "sum":
        said.append("summed")
    if each.current_sum:
        said.append("currents summed")
    if each.spread != WHOLE:
        said.insert(0, f"spread {by_sides(each.spread)}")
    for name in ("rows", "columns"):
        if numbers := getattr(each, name):
            said.insert(0, f"{len(numbers)} {name}")
    if each.heads:
        said.insert(0, f"{each.heads} heads")
    return ", ".join([each.kind if each.weight is None else by_sides(each.weight.shape), *said])


def by_sides(shape: Shape | tuple[int, ...]) -> str:
    """A shape as people read it: 3×32×32."""
    return "×".join(map(str, shape))
