"""How the layers of a network are connected: what each reads, the shapes that follow, and the ways to the readout."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.inputs import Input, Shape, Source
from spikesam.backends.network.layers import Layer
from spikesam.backends.network.table import by_sides
from spikesam.recordings.text import LONGEST_NAME, printable


def with_plain_sources(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The same layers; one that names the layer before as its only source is written as one that names nothing."""
    before = ["input", *(layer.name for layer in layers)]
    return tuple(
        replace(layer, source=()) if layer.source == (Source(name),) else layer
        for layer, name in zip(layers, before, strict=False)
    )


def named_inputs(layers: Sequence[Layer]) -> tuple[tuple[Input, ...], ...]:
    """All inputs of every layer, with their sources by name.

    Raises
    ------
    NetworkError : if a source is no layer of the network
    """
    before = ["input", *(layer.name for layer in layers)]
    known, found = set(before), []
    for layer, name in zip(layers, before, strict=False):
        first = replace(layer.first, source=layer.source or (Source(name),))
        for source in (source for each in (first, *layer.more) for source in each.sources):
            if source.layer not in known:
                near = difflib.get_close_matches(source.layer, before, 1) or ["'input' or a layer of this network"]
                raise NetworkError(
                    f"layer {layer.name!r}: reads {printable(source.layer, LONGEST_NAME)!r}, which is not there; "
                    f"expected {near[0]}"
                )
        found.append((first, *layer.more))
    return tuple(found)


def shapes_of(input_shape: Shape, layers: Sequence[Layer], inputs: Sequence[tuple[Input, ...]]) -> tuple[Shape, ...]:
    """(C, H, W) of the input, then of each layer.

    Raises
    ------
    NetworkError : if parts do not fit, naming both
    """
    shapes, readers = {"input": input_shape}, _readers(inputs)
    ways = readers.pop("input", [])[::-1]
    while ways:
        number, place, source = ways.pop()
        layer, each = layers[number], inputs[number][place]
        if layer.name not in shapes:
            shapes[layer.name] = each.output_shape(shapes[source.layer], _where(layer, place), _called(source))
            ways += readers.pop(layer.name, [])[::-1]
    if waiting := [layer.name for layer in layers if layer.name not in shapes]:
        names = " and ".join(map(repr, waiting[:2]))
        raise NetworkError(f"layer {names}: nothing on the way from 'input' is read there, expected that it is")
    for layer, each_input in zip(layers, inputs, strict=True):
        for number, each in enumerate(each_input):
            _check_input(layer, number, each, shapes)
    return tuple(shapes[name] for name in ("input", *(layer.name for layer in layers)))


def _check_input(layer: Layer, number: int, each: Input, shapes: Mapping[str, Shape]) -> None:
    """Refuse an input whose sources have other shapes than each other, or give another shape than the layer's."""
    where, (first, *others) = _where(layer, number), each.sources
    for other in others:
        if shapes[other.layer] != shapes[first.layer]:
            raise NetworkError(
                f"{where}: adds {first.layer!r} of {by_sides(shapes[first.layer])} and {other.layer!r} of "
                f"{by_sides(shapes[other.layer])}, expected equal shapes"
            )
    shape = each.output_shape(shapes[first.layer], where, _called(first))
    if shape != shapes[layer.name]:
        raise NetworkError(
            f"{where}: {first.layer!r} gives {by_sides(shape)} there, the layer is {by_sides(shapes[layer.name])}; "
            "expected equal shapes"
        )


def steps_to_readout(layers: Sequence[Layer], inputs: Sequence[tuple[Input, ...]]) -> dict[str, int]:
    """The steps that a spike of each layer, and of "input", needs at least until the readout reads its effect.

    0 of the last layer, which the readout reads. A layer from which no way leads there is not among them.
    """
    reads = dict(zip((layer.name for layer in layers), inputs, strict=True))
    steps, ways = dict[str, int](), [(0, layers[-1].name)]
    while ways:  # the shortest first
        way, name = heapq.heappop(ways)
        if name not in steps:
            steps[name] = way
            for source in (source for each in reads.get(name, ()) for source in each.sources):
                heapq.heappush(ways, (way + source.delay, source.layer))
    return steps


def dependents(layers: Sequence[Layer], inputs: Sequence[tuple[Input, ...]], name: str) -> tuple[str, ...]:
    """The layers that a way leads to from a layer or from "input", in order; itself only where it lies in a loop."""
    readers, found = _readers(inputs), set[str]()
    changed = [name]
    while changed:
        new = {layers[number].name for number, _, _ in readers.get(changed.pop(), ())} - found
        found |= new
        changed += new
    return tuple(layer.name for layer in layers if layer.name in found)


def _readers(inputs: Sequence[tuple[Input, ...]]) -> dict[str, list[tuple[int, int, Source]]]:
    """Name of a layer, or "input" -> who reads it: number of the layer and of its input, from 0, and how it is read."""
    found: dict[str, list[tuple[int, int, Source]]] = {}
    for number, of_layer in enumerate(inputs):
        for place, each in enumerate(of_layer):
            for source in each.sources:
                found.setdefault(source.layer, []).append((number, place, source))
    return found


def _where(layer: Layer, number: int) -> str:
    return f"layer {layer.name!r}, input {number + 1}" if layer.more else f"layer {layer.name!r}"


def _called(source: Source) -> str:
    return "the input" if source.layer == "input" else f"layer {source.layer!r}"
