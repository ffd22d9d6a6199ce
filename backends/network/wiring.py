"""How the layers of a network are connected: what each reads, the shapes that follow, and the ways
to the readout.
"""

from __future__ import annotations

import difflib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.inputs import Input
from spikesam.backends.network.layers import Layer
from spikesam.backends.network.sources import Source
from spikesam.backends.network.synapses.synapse import Shape
from spikesam.backends.network.table import by_sides
from spikesam.common.errors import at
from spikesam.common.text import LONGEST_NAME, printable


def with_named_sources(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, with the sources of all their inputs by name; refuses a source that is no layer
    among them.
    """
    names = ["input", *(layer.name for layer in layers)]
    found = tuple(layer.behind(before) for layer, before in zip(layers, names, strict=False))
    for layer in found:
        for source in layer.sources:
            if source.layer not in names:
                near = difflib.get_close_matches(source.layer, names, 1) or [
                    "'input' or a layer of this network"
                ]
                raise NetworkError(
                    f"layer {layer.name!r}: reads {printable(source.layer, LONGEST_NAME)!r}, which "
                    "is not there; "
                    f"expected {near[0]}"
                )
    return found


def with_plain_delays(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, with one delay for equal ones of all channels, so that a network is described in
    one way.
    """

    def plain(source: Source) -> Source:
        return (
            replace(source, delay=source.shortest) if source.shortest == source.longest else source
        )

    found = []
    for layer in layers:
        inputs = [replace(each, source=tuple(map(plain, each.sources))) for each in layer.inputs]
        same = [each.sources for each in inputs] == [each.sources for each in layer.inputs]
        found.append(layer if same else layer.reading(inputs))
    return tuple(found)


def reads_alone(layer: Layer, before: str) -> bool:
    """True if a layer reads the layer of a name one step later, and nothing else."""
    return [each.sources for each in layer.inputs] == [(Source(before),)]


def shapes_of(input_shape: Shape, layers: Sequence[Layer]) -> tuple[Shape, ...]:
    """(C, H, W) of the input, then of each layer; a NetworkError that names both parts which do not
    fit.
    """
    shapes, readers = {"input": input_shape}, _readers(layers)
    ways = readers.pop("input", [])[::-1]
    while ways:
        number, place, source = ways.pop()
        layer = layers[number]
        if layer.name not in shapes:
            before = shapes[source.layer]
            with at(layer.where(place)):
                shapes[layer.name] = layer.inputs[place].output_shape(before, _called(source))
            ways += readers.pop(layer.name, [])[::-1]
    if waiting := [layer.name for layer in layers if layer.name not in shapes]:
        names = " and ".join(map(repr, waiting[:2]))
        raise NetworkError(
            f"layer {names}: nothing on the way from 'input' is read there, expected that it is"
        )
    for layer in layers:
        for number, each in enumerate(layer.inputs):
            with at(layer.where(number)):
                _check_input(layer, each, shapes)
    return tuple(shapes[name] for name in ("input", *(layer.name for layer in layers)))


def _check_input(layer: Layer, given: Input, shapes: Mapping[str, Shape]) -> None:
    """Refuse an input whose sources have other shapes than each other, or give another shape than
    the layer's.
    """
    first, *others = given.sources
    for source in given.sources:
        channels = shapes[source.layer][0]
        if isinstance(source.delay, tuple) and len(source.delay) != channels:
            raise NetworkError(
                f"has delays for {len(source.delay)} channels of {source.layer!r}, expected "
                f"{channels}"
            )
    shape_of_first = shapes[first.layer]
    _, *expected_shapes = given.synapse.source_shapes(given, shape_of_first)
    for place, (other, expected) in enumerate(zip(others, expected_shapes, strict=True), 1):
        if shapes[other.layer] != expected:
            raise NetworkError(
                f"{given.synapse.meets} {first.layer!r} of {by_sides(shape_of_first)} and "
                f"{other.layer!r} of {by_sides(shapes[other.layer])}, expected "
                f"{given.synapse.expected_shapes(given, place)}"
            )
    shape = given.output_shape(shape_of_first, _called(first))
    if shape != shapes[layer.name]:
        raise NetworkError(
            f"{first.layer!r} gives {by_sides(shape)} there, the layer is "
            f"{by_sides(shapes[layer.name])}; expected equal shapes"
        )


def steps_to_readout(layers: Sequence[Layer]) -> dict[str, int]:
    """The steps that a spike of each layer, or "input", needs at least until the readout reads its
    effect, if ever.
    """
    ways = (
        (layer.name, source.shortest, source.layer) for layer in layers for source in layer.sources
    )
    return least_steps({layers[-1].name: 0}, ways)


def least_steps(begin: Mapping[str, int], ways: Iterable[tuple[str, int, str]]) -> dict[str, int]:
    """The least steps to each layer that is reached by ways (from, steps, to) from where one begins
    with so many.
    """
    onward = defaultdict[str, list[tuple[int, str]]](list)
    for start, steps, end in ways:
        onward[start].append((steps, end))
    found, waiting = dict[str, int](), sorted((steps, name) for name, steps in begin.items())
    while waiting:  # the shortest first
        steps, name = heapq.heappop(waiting)
        if name not in found:
            found[name] = steps
            for more, end in onward[name]:
                heapq.heappush(waiting, (steps + more, end))
    return found


def dependents(layers: Sequence[Layer], name: str) -> tuple[str, ...]:
    """The layers that a way leads to from a layer or from "input", in order; itself only where it
    lies in a loop.
    """
    readers, found = _readers(layers), set[str]()
    changed = [name]
    while changed:
        new = {layers[number].name for number, _, _ in readers.get(changed.pop(), ())} - found
        found |= new
        changed += new
    return tuple(layer.name for layer in layers if layer.name in found)


def _readers(layers: Sequence[Layer]) -> dict[str, list[tuple[int, int, Source]]]:
    """Name of a layer, or "input" -> who reads it: number of the layer and of its input, from 0,
    and how it is read.
    """
    found: dict[str, list[tuple[int, int, Source]]] = {}
    for number, layer in enumerate(layers):
        for place, each in enumerate(layer.inputs):
            for source in each.sources:
                found.setdefault(source.layer, []).append((number, place, source))
    return found


def _called(source: Source) -> str:
    return "the input" if source.layer == "input" else f"layer {source.layer!r}"
