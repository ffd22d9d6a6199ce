"""Cases of nodes without state, of delays, and of edges and names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import nir
import numpy as np

from spikesam.conformance._build import (
    DENSE,
    DT,
    MAP,
    ROWS,
    affine,
    answer,
    between,
    chain,
    conv,
    conv1d,
    cuba,
    flatten,
    full,
    graph,
    if_neurons,
    lif,
    network_of_maps,
    network_of_rows,
    one,
    pooled,
    random_weights,
    recurrent_layer,
)
from spikesam.conformance._case import Case

UNIT = partial(if_neurons, r=1)
BY_NEURON = np.arange(5)


def network_cases() -> Iterator[Case]:
    """All of them, by the kind of node."""
    yield from weight_cases()
    yield from row_cases()
    yield from map_cases()
    yield from pool_cases()
    yield from shape_cases()
    yield from delay_cases()
    yield from loop_cases()
    yield from graph_cases()


def weight_cases() -> Iterator[Case]:
    """Affine, Linear and Scale."""
    yield Case("Affine", "bias by neuron", lambda: one(lif(5), bias=np.arange(5) / 8 - 0.25))
    yield Case("Affine", "one output", lambda: chain(DENSE, 1, fc1=affine(1, 6), fc1_n=lif(1)))
    yield Case("Affine", "two in a row", _two_affine)
    yield Case(
        "Linear",
        "before LIF",
        lambda: chain(DENSE, 5, fc1=nir.Linear(random_weights(5, 6)), fc1_n=lif(5)),
    )
    linear = {"fc1": nir.Linear(random_weights(5, 6)), "fc1_n": UNIT(5)}
    yield Case("Linear", "before IF, dt = 1", lambda: chain(DENSE, 5, **linear), 1)
    yield Case("Scale", "1/2 of spikes", lambda: between(nir.Scale(full(0.5, 5))))
    yield Case("Scale", "by neuron", lambda: between(nir.Scale(full(BY_NEURON / 2, 5))))
    negative = nir.Scale(full([1, -1, 2, -0.5, 1], 5))
    yield Case("Scale", "negative", lambda: between(negative))
    yield Case(
        "Scale",
        "of currents",
        lambda: chain(DENSE, 5, fc1=affine(5, 6, 0.25), half=nir.Scale(full(0.5, 5)), n=lif(5)),
    )


def row_cases() -> Iterator[Case]:
    """Conv1d, of rows (2, 16)."""

    def case(name: str, node: Any, *shape: int, neurons: Any = lif, dt: float = DT) -> Case:
        build = partial(_of_rows, node, shape, neurons)
        return Case("Conv1d", name, build, dt, ROWS)

    yield case("padding 1", partial(conv1d, 3), 3, 16)
    yield case("no padding", partial(conv1d, 3, padding=0), 3, 14)
    yield case("stride 2", partial(conv1d, 3, stride=2), 3, 8)
    yield case("dilation 2", partial(conv1d, 3, dilation=2, padding=2), 3, 16)
    yield case("groups 2", partial(conv1d, 4, groups=2), 4, 16)
    all_four: dict[str, Any] = {"stride": 2, "dilation": 2, "padding": 2, "groups": 2}
    yield case("stride, dilation, padding and groups 2", partial(conv1d, 4, **all_four), 4, 8)
    yield case("padding 'same', IF", partial(conv1d, 3, padding="same"), 3, 16, neurons=UNIT, dt=1)
    yield case("padding 'valid'", partial(conv1d, 3, padding="valid"), 3, 14)
    yield case("bias", partial(conv1d, 3, bias=[0.5, 0.25, -0.5]), 3, 16)
    yield case("kernel of 1", partial(conv1d, 4, kernel=1, padding=0, bias=0.25), 4, 16)


def map_cases() -> Iterator[Case]:
    """Conv2d, of maps (2, 8, 8)."""

    def case(name: str, node: Any, *shape: int, neurons: Any = lif, dt: float = DT) -> Case:
        build = partial(_of_maps, node, shape, neurons)
        return Case("Conv2d", name, build, dt, MAP)

    yield case("padding 1", partial(conv, 3, 2), 3, 8, 8)
    yield case("no padding", partial(conv, 3, 2, padding=0), 3, 6, 6)
    yield case("padding (2, 0)", partial(conv, 3, 2, padding=(2, 0)), 3, 10, 6)
    yield case("stride 2", partial(conv, 3, 2, stride=2), 3, 4, 4)
    yield case("stride (1, 2)", partial(conv, 3, 2, stride=(1, 2)), 3, 8, 4)
    yield case("dilation 2", partial(conv, 3, 2, dilation=2, padding=2), 3, 8, 8)
    yield case(
        "dilation (2, 1)",
        partial(conv, 3, 2, dilation=(2, 1)),
        3,
        6,
        8,
        neurons=partial(lif, threshold=1.02),
    )
    yield case("groups 2", partial(conv, 4, 2, groups=2), 4, 8, 8)
    all_four: dict[str, Any] = {"stride": 2, "dilation": 2, "padding": 2, "groups": 2}
    yield case("stride, dilation, padding and groups 2", partial(conv, 4, 2, **all_four), 4, 4, 4)
    yield case("padding 'same'", partial(conv, 3, 2, padding="same"), 3, 8, 8)
    yield case(
        "padding 'valid', IF", partial(conv, 3, 2, padding="valid"), 3, 6, 6, neurons=UNIT, dt=1
    )
    yield case("kernel (3, 1)", partial(conv, 3, 2, kernel=(3, 1), padding=(1, 0)), 3, 8, 8)
    yield case("kernel (2, 2)", partial(conv, 3, 2, kernel=(2, 2), padding=0), 3, 7, 7)
    yield case("kernel (1, 1)", partial(conv, 3, 2, kernel=(1, 1), padding=0), 3, 8, 8)
    yield case("bias", partial(conv, 3, 2, bias=[0.5, 0.25, -0.5]), 3, 8, 8)
    yield case("before CubaLIF", partial(conv, 3, 2), 3, 8, 8, neurons=cuba)


def pool_cases() -> Iterator[Case]:
    """SumPool2d and AvgPool2d, of maps (3, 8, 8)."""
    for kind in ("SumPool2d", "AvgPool2d"):
        windows: dict[str, Any] = {
            "2 × 2": (2, 2, (3, 4, 4)),
            "3 × 3, stride 2": (3, 2, (3, 3, 3)),
            "stride 1": (2, 1, (3, 7, 7)),
            "(2, 4)": ((2, 4), (2, 4), (3, 4, 2)),
            "padding 1": (2, 2, (3, 5, 5), 1),
        }
        for name, settings in windows.items():
            yield Case(kind, name, partial(pooled, kind, *settings), shape=MAP)
    sum_pool = partial(pooled, "SumPool2d", 2, 2, (3, 4, 4), neurons=UNIT)
    yield Case("SumPool2d", "IF, r = 1", sum_pool, 1, MAP)


def shape_cases() -> Iterator[Case]:
    """Flatten."""
    yield Case("Flatten", "a map of spikes", partial(_flattened, flatten(*MAP)), shape=MAP)
    yield Case("Flatten", "start_dim = 0", partial(_flattened, flatten(*MAP, start=0)), shape=MAP)
    yield Case("Flatten", "rows", partial(_flat_rows, flatten(*ROWS)), shape=ROWS)
    yield Case(
        "Flatten", "end_dim = 2", partial(_flattened, flatten(*MAP, start=0, end=2)), shape=MAP
    )


def delay_cases() -> Iterator[Case]:
    """Delay."""

    def delay(steps: Any, size: int = 5, dt: float = DT) -> Any:
        return nir.Delay(full(np.multiply(steps, dt), size))

    def case(name: str, build: Any, equation: str = "") -> Case:
        return Case("Delay", name, build, equation=equation)

    yield case("one step", lambda: between(delay(1)))
    yield case("three steps", lambda: between(delay(3)))
    yield case("no step", lambda: between(delay(0)))
    yield case("by neuron", lambda: between(delay(BY_NEURON)))
    yield case("two in a row", lambda: between(delay(1), delay(2)))
    later = "y(t) = x(t - τ): nothing, a bias neither, comes before τ"
    yield case("of currents with a bias", partial(_delayed_currents, delay(3)), later)
    yield case("with a bias in front and behind", lambda: between(delay(3), bias=0.25), later)
    yield case("behind the input", lambda: chain(DENSE, 5, wait=delay(2, 6), **_dense()))
    yield case("before the output", lambda: chain(DENSE, 5, **_dense(), wait=delay(2)))
    yield case("beside a direct edge", _delayed_beside, "the sum of both edges")
    yield Case("Delay", "dt = 1", partial(_delayed_unit, delay(3, dt=1)), 1)


def loop_cases() -> Iterator[Case]:
    """Spikes that come back."""

    def case(name: str, build: Any, dt: float = DT) -> Case:
        return Case("graph", f"recurrent {name}", build, dt)

    yield case("LIF", lambda: recurrent_layer(lif(5)))
    yield case("CubaLIF", lambda: recurrent_layer(cuba(5)))
    yield case("IF, dt = 1", lambda: recurrent_layer(UNIT(5)), 1)
    yield case("LIF, inhibition", lambda: recurrent_layer(lif(5), most=-4, least=-12))
    yield case("LIF without weights", lambda: _self_edge(lif(5, threshold=1.51)))
    delayed = nir.Delay(full(2 * DT, 5))
    yield case(
        "LIF through a Delay", lambda: recurrent_layer(lif(5), affine(5, 5, seed=3), delayed)
    )
    yield case(
        "LIF with a bias", lambda: recurrent_layer(lif(5), affine(5, 5, 0.125, seed=3, most=4))
    )


def graph_cases() -> Iterator[Case]:
    """Edges, graphs inside graphs, and names."""
    yield Case("graph", "LIF alone", lambda: chain(DENSE, 6, n=lif(6, gain=2)))
    yield Case("graph", "LIF behind LIF", lambda: between(lif(5, gain=1.5)))
    yield Case("graph", "six layers", _deep)
    yield Case("graph", "two ways to one layer", _two_ways)
    yield Case("graph", "a skipped layer", _skipped)
    yield Case("graph", "spikes and currents summed", _summed)
    yield Case("graph", "edges in another order", _shuffled_edges)
    yield Case("graph", "nodes in another order", _shuffled_nodes)
    inside = {"fc": affine(5, 6), "n": lif(5)}
    yield Case("graph", "a graph inside", lambda: _nested(chain(DENSE, 5, **inside)))
    yield Case("graph", "a graph inside a graph inside", _nested_twice)
    yield Case("graph", "a recurrent graph inside", lambda: _nested(recurrent_layer(lif(5))))
    for label, names in {
        "names with dots": ("layer.0.weight", "layer.0.neuron", "layer.1.weight", "layer.1.neuron"),
        "names of digits": ("0", "1", "2", "3"),
        "names with spaces": ("first layer", "its neurons", "second layer", "their neurons"),
        "names of other letters": ("schicht_ä", "neurone_é", "层", "ニューロン"),
        "names of Python": ("class", "None", "forward", "__init__"),
    }.items():
        yield Case("graph", label, partial(_named, names))


def _dense() -> dict[str, Any]:
    return {"fc1": affine(5, 6), "fc1_n": lif(5)}


def _second() -> dict[str, Any]:
    return {"fc2": affine(4, 5, most=20), "fc2_n": lif(4)}


def _of_rows(node: Any, shape: tuple[int, ...], neurons: Any) -> Any:
    return network_of_rows(node(), *shape, neurons=neurons)


def _of_maps(node: Any, shape: tuple[int, ...], neurons: Any) -> Any:
    return network_of_maps(node(), *shape, neurons=neurons)


def _two_affine() -> Any:
    return chain(DENSE, 5, fc1=affine(4, 6, 0.25), fc2=affine(5, 4, 0.125, most=8), fc2_n=lif(5))


def _flattened(node: Any) -> Any:
    nodes = answer(*MAP) | {"flatten": node}
    return chain(MAP, 5, **nodes)


def _flat_rows(node: Any) -> Any:
    nodes = answer(*ROWS) | {"flatten": node}
    return chain(ROWS, 5, **nodes)


def _delayed_currents(delay: Any) -> Any:
    return chain(DENSE, 5, fc1=affine(5, 6, 0.375, most=8), wait=delay, fc1_n=lif(5))


def _delayed_beside() -> Any:
    wait = {"wait": nir.Delay(full(2 * DT, 5))}
    more = [("fc1_n", "wait"), ("wait", "fc2")]
    return chain(DENSE, 4, more, ["wait"], **_dense(), **wait, **_second())


def _delayed_unit(delay: Any) -> Any:
    second = {"fc2": affine(4, 5, most=20), "fc2_n": UNIT(4)}
    return chain(DENSE, 4, fc1=affine(5, 6), fc1_n=UNIT(5), wait=delay, **second)


def _self_edge(node: Any) -> Any:
    return chain(DENSE, 5, [("fc1_n", "fc1_n")], fc1=affine(5, 6), fc1_n=node)


def _deep() -> Any:
    layers: dict[str, Any] = {"fc1": affine(5, 6), "fc1_n": lif(5)}
    for number in range(2, 7):
        layers[f"fc{number}"] = affine(5, 5, most=20, least=-6, seed=number)
        layers[f"fc{number}_n"] = lif(5)
    return chain(DENSE, 5, **layers)


def _two_ways() -> Any:
    """The input reaches the second layer directly, too."""
    more = [("input", "skip"), ("skip", "fc2_n")]
    skip = affine(4, 6, seed=4, most=6)
    return chain(DENSE, 4, more, ["skip"], **_dense(), skip=skip, **_second())


def _skipped() -> Any:
    """The first layer's spikes reach the third directly, too."""
    nodes = _dense() | {"fc2": affine(5, 5, most=20), "fc2_n": lif(5)}
    third = {"fc3": affine(4, 5), "fc3_n": lif(4)}
    return chain(DENSE, 4, [("fc1_n", "fc3")], **nodes, **third)


def _summed() -> Any:
    """Spikes, as they are, and currents meet at neurons."""
    more = [("fc1_n", "fc2_n")]
    nodes = _dense() | {"fc2": affine(5, 5), "fc2_n": lif(5)}
    return chain(DENSE, 5, more, **nodes)


def _shuffled_edges() -> Any:
    made = between()
    return graph(made.nodes, [*reversed(made.edges)])


def _shuffled_nodes() -> Any:
    made = between()
    return graph(dict(reversed(made.nodes.items())), made.edges)


def _nested(graph_inside: Any) -> Any:
    return chain(DENSE, 4, inside=graph_inside, **_second())


def _nested_twice() -> Any:
    innermost = chain((5,), 5, fc=affine(5, 5, most=20), n=lif(5))
    return _nested(chain(DENSE, 5, **_dense(), second=innermost))


def _named(names: tuple[str, ...]) -> Any:
    nodes = dict(zip(names, (*_dense().values(), *_second().values()), strict=True))
    ends = {"input": nir.Input(np.array(DENSE)), "output": nir.Output(np.array([4]))}
    made = {"input": ends["input"], **nodes, "output": ends["output"]}
    return graph(made, [*pairwise(made)])
