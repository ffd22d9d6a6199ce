"""Connections of the layers of a network: what each reads, the shapes that follow, and the ways
to the readout.
"""

from __future__ import annotations

import difflib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from spikesam.backends.network._layers import Layer
from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.inputs import Input
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
    wired = tuple(layer.behind(previous) for layer, previous in zip(layers, names, strict=False))
    for layer in wired:
        for source in layer.sources:
            if source.layer not in names:
                near = difflib.get_close_matches(source.layer, names, 1) or [
                    "'input' or a layer of this network"
                ]
                raise NetworkError(
                    f"layer {layer.name!r}: reads {printable(source.layer, LONGEST_NAME)!r}, which "
                    f"is not there; expected {near[0]}"
                )
    return wired


def with_plain_delays(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers, with one delay for equal ones of all channels, so that a network is described in
    one way.
    """

    def plain(source: Source) -> Source:
        return (
            replace(source, delay=source.shortest) if source.shortest == source.longest else source
        )

    plain_layers = []
    for layer in layers:
        inputs = [
            replace(layer_input, source=tuple(map(plain, layer_input.sources)))
            for layer_input in layer.inputs
        ]
        same = [layer_input.sources for layer_input in inputs] == [
            layer_input.sources for layer_input in layer.inputs
        ]
        plain_layers.append(layer if same else layer.reading(inputs))
    return tuple(plain_layers)


def reads_alone(layer: Layer, previous: str) -> bool:
    """True if a layer reads the layer of a name one step later, and nothing else."""
    return [layer_input.sources for layer_input in layer.inputs] == [(Source(previous),)]


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
            read_shape = shapes[source.layer]
            with at(layer.place_of_input(place)):
                shapes[layer.name] = layer.inputs[place].output_shape(read_shape, _called(source))
            ways += readers.pop(layer.name, [])[::-1]
    if waiting := [layer.name for layer in layers if layer.name not in shapes]:
        names = " and ".join(map(repr, waiting[:2]))
        raise NetworkError(
            f"layer {names}: nothing on the way from 'input' is read there, expected that it is"
        )
    for layer in layers:
        for number, layer_input in enumerate(layer.inputs):
            with at(layer.place_of_input(number)):
                _check_input(layer, layer_input, shapes)
    return tuple(shapes[name] for name in ("input", *(layer.name for layer in layers)))


def _check_input(layer: Layer, layer_input: Input, shapes: Mapping[str, Shape]) -> None:
    """Refuse an input whose sources have other shapes than each other, or give another shape than
    the layer's.
    """
    first, *further_sources = layer_input.sources
    for source in layer_input.sources:
        channels = shapes[source.layer][0]
        if isinstance(source.delay, tuple) and len(source.delay) != channels:
            raise NetworkError(
                f"has delays for {len(source.delay)} channels of {source.layer!r}, expected "
                f"{channels}"
            )
    shape_of_first = shapes[first.layer]
    _, *expected_shapes = layer_input.synapse.source_shapes(layer_input, shape_of_first)
    for place, (further_source, expected) in enumerate(
        zip(further_sources, expected_shapes, strict=True), 1
    ):
        if shapes[further_source.layer] != expected:
            raise NetworkError(
                f"{layer_input.synapse.meets} {first.layer!r} of {by_sides(shape_of_first)} and "
                f"{further_source.layer!r} of {by_sides(shapes[further_source.layer])}, expected "
                f"{layer_input.synapse.expected_shapes(layer_input, place)}"
            )
    shape = layer_input.output_shape(shape_of_first, _called(first))
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
    earliest, waiting = dict[str, int](), sorted((steps, name) for name, steps in begin.items())
    while waiting:  # the shortest first
        steps, name = heapq.heappop(waiting)
        if name not in earliest:
            earliest[name] = steps
            for steps_onward, end in onward[name]:
                heapq.heappush(waiting, (steps + steps_onward, end))
    return earliest


def dependents(layers: Sequence[Layer], name: str) -> tuple[str, ...]:
    """The layers that a way leads to from a layer or from "input", in order; itself only where it
    lies in a loop.
    """
    readers, reached = _readers(layers), set[str]()
    changed = [name]
    while changed:
        new = {layers[number].name for number, _, _ in readers.get(changed.pop(), ())} - reached
        reached |= new
        changed += new
    return tuple(layer.name for layer in layers if layer.name in reached)


def _readers(layers: Sequence[Layer]) -> dict[str, list[tuple[int, int, Source]]]:
    """Name of a layer, or "input" -> who reads it: number of the layer and of its input, from 0,
    and how it is read.
    """
    readers: dict[str, list[tuple[int, int, Source]]] = {}
    for number, layer in enumerate(layers):
        for place, layer_input in enumerate(layer.inputs):
            for source in layer_input.sources:
                readers.setdefault(source.layer, []).append((number, place, source))
    return readers


def _called(source: Source) -> str:
    return "the input" if source.layer == "input" else f"layer {source.layer!r}"
