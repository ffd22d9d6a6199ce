"""Nodes and graphs of NIR in few words, for the cases.

Weights lie on a grid of 1/16, and most leaks are multiples of 1/4, so that sums are almost exact in
float32 in whatever order they are made: what differs is a rule, not rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

# Seconds in a step, as snnTorch and SpikingJelly have it, rounded to float32 as constants of nodes
# are, so that τ/dt is exact; 1 is the unit of time of sinabs.
DT = float(np.float32(1e-4))
MILLISECOND = float(np.float32(1e-3))
# The threshold of most neurons, which no sum of weights meets: cases of their own have one that is.
ABOVE_ONE = 1.01
DENSE, ROWS, MAP = (6,), (2, 16), (2, 8, 8)
NEW = hasattr(nir, "NIRGraphData")  # nir 1.0.8, or an older one


def random_weights(
    *shape: int, most: int = 16, least: int = -8, seed: int = 0
) -> NDArray[np.float32]:
    """Multiples of 1/16."""
    sixteenths = np.random.default_rng(seed).integers(least, most, shape, endpoint=True)
    return (sixteenths / 16).astype(np.float32)


def full(value: Any, shape: Any) -> NDArray[np.float32]:
    """An array of one value, or of values that broadcast."""
    return np.broadcast_to(np.asarray(value, np.float32), shape).copy()


def graph(nodes: dict[str, Any], edges: Sequence[tuple[str, str]]) -> Any:
    """A graph whose sizes nobody compares: older versions of nir refuse rows and pools."""
    return nir.NIRGraph(nodes, [*edges], **({"type_check": False} if NEW else {}))


def chain(
    first: tuple[int, ...],
    last: int | tuple[int, ...],
    more: Sequence[tuple[str, str]] = (),
    beside: Sequence[str] = (),
    **nodes: Any,
) -> Any:
    """Nodes one behind the other, of further edges, and of nodes that stand `beside` the chain."""
    ends = {"input": nir.Input(np.array(first)), "output": nir.Output(np.atleast_1d(last))}
    named = {"input": ends["input"], **nodes, "output": ends["output"]}
    return graph(named, [*pairwise(name for name in named if name not in beside), *more])


def resets(size: Any, to: Any = 0) -> dict[str, Any]:
    """The argument for the reset, which older versions of nir lack; they reset to 0."""
    return {"v_reset": full(to, size)} if np.any(to) or NEW else {}


def if_neurons(size: Any, threshold: Any = ABOVE_ONE, r: Any = 1 / DT, reset: Any = 0) -> Any:
    """IF; r = 1/dt adds its input as it is."""
    return nir.IF(r=full(r, size), v_threshold=full(threshold, size), **resets(size, reset))


def lif(
    size: Any,
    tau: Any = 4,
    gain: Any = 1,
    threshold: Any = ABOVE_ONE,
    leak: Any = 0,
    reset: Any = 0,
    dt: float = DT,
) -> Any:
    """LIF of a time constant in steps, whose input is multiplied by a gain: r = gain · τ/dt."""
    tau, gain = full(tau, size), full(gain, size)
    constants = {"v_leak": full(leak, size)} | resets(size, reset)
    seconds = np.asarray(tau * dt, np.float32)
    return nir.LIF(tau=seconds, r=tau * gain, v_threshold=full(threshold, size), **constants)


def cuba(
    size: Any,
    synapse: Any = 2,
    tau: Any = 4,
    r: Any = None,
    w_in: Any = None,
    threshold: Any = ABOVE_ONE,
    leak: Any = 0,
    reset: Any = 0,
    dt: float = DT,
) -> Any:
    """CubaLIF of time constants in steps; spikes enter currents, and these membranes, as they are,
    where neither r nor w_in is given.
    """
    return nir.CubaLIF(
        **synaptic(size, synapse, tau, r, w_in, leak, dt),
        v_threshold=full(threshold, size),
        **resets(size, reset),
    )


def synaptic(
    size: Any,
    synapse: Any = 2,
    tau: Any = 4,
    r: Any = None,
    w_in: Any = None,
    leak: Any = 0,
    dt: float = DT,
) -> dict[str, Any]:
    """The constants that CubaLI and CubaLIF share."""
    return {
        "tau_syn": full(np.multiply(synapse, dt), size),
        "tau_mem": full(np.multiply(tau, dt), size),
        "r": full(tau if r is None else r, size),
        "v_leak": full(leak, size),
        "w_in": full(synapse if w_in is None else w_in, size),
    }


def affine(outputs: int, inputs: int, bias: Any = 0, **options: int) -> Any:
    """Weights on the grid, and a bias."""
    return nir.Affine(random_weights(outputs, inputs, **options), full(bias, outputs))


def one(node: Any, inputs: int = 6, **options: Any) -> Any:
    """Weights and five neurons."""
    return chain((inputs,), 5, fc1=affine(5, inputs, **options), fc1_n=node)


def between(*nodes: Any, size: int = 5, bias: float = 0) -> Any:
    """Two layers of LIF, and nodes between them."""
    named = {f"between{number}": node for number, node in enumerate(nodes, 1)}
    return chain(
        DENSE,
        4,
        fc1=affine(5, 6, bias),
        fc1_n=lif(5),
        **named,
        fc2=affine(4, size, most=20),
        fc2_n=lif(4),
    )


def conv(
    outputs: int,
    inputs: int,
    sides: tuple[int, int] = MAP[1:],
    kernel: tuple[int, int] = (3, 3),
    bias: Any = 0,
    **options: Any,
) -> Any:
    """Conv2d of a map of these sides."""
    settings = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1} | options
    weight = random_weights(outputs, inputs // settings["groups"], *kernel, most=12)
    return nir.Conv2d(input_shape=sides, weight=weight, bias=full(bias, outputs), **settings)


def conv1d(outputs: int, kernel: int = 3, bias: Any = 0, **options: Any) -> Any:
    """Conv1d of rows (2, 16)."""
    settings = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1} | options
    weight = random_weights(outputs, ROWS[0] // settings["groups"], kernel, most=12)
    return nir.Conv1d(input_shape=ROWS[1], weight=weight, bias=full(bias, outputs), **settings)


def flatten(*shape: int, start: int | None = None, end: int = -1) -> Any:
    """Flatten a map (C, H, W), or rows (C, L), all of it."""
    return nir.Flatten({"input": np.array(shape)}, -len(shape) if start is None else start, end)


def answer(*shape: int, neurons: Callable[[Any], Any] = lif) -> dict[str, Any]:
    """Five neurons that read all of a map, or of rows."""
    fc1 = affine(5, int(np.prod(shape)), most=2, least=-1)
    return {"flatten": flatten(*shape), "fc1": fc1, "fc1_n": neurons(5)}


def network_of_maps(node: Any, *shape: int, neurons: Callable[[Any], Any] = lif) -> Any:
    """A convolution of maps (2, 8, 8) to maps of a shape, and a dense layer."""
    ends = {"conv1": node, "conv1_n": neurons(shape)}
    return chain(MAP, 5, **ends, **answer(*shape, neurons=neurons))


def network_of_rows(node: Any, *shape: int, neurons: Callable[[Any], Any] = lif) -> Any:
    """A convolution of rows (2, 16) to rows of a shape, and a dense layer."""
    ends = {"conv1": node, "conv1_n": neurons(shape)}
    return chain(ROWS, 5, **ends, **answer(*shape, neurons=neurons))


def pooled(
    kind: str,
    window: Any,
    stride: Any,
    shape: tuple[int, ...],
    padding: Any = 0,
    neurons: Callable[[Any], Any] = lif,
) -> Any:
    """Two layers with a pool between them, whose output has a shape."""
    settings = (np.broadcast_to(np.array(value), 2).copy() for value in (window, stride, padding))
    fc1 = affine(5, int(np.prod(shape)), most=8)
    ends = {"conv1": conv(3, 2), "conv1_n": neurons((3, 8, 8))}
    pool = getattr(nir, kind)(*settings)
    return chain(MAP, 5, **ends, pool=pool, flatten=flatten(*shape), fc1=fc1, fc1_n=neurons(5))


def recurrent_layer(node: Any, *back: Any, **options: int) -> Any:
    """Neurons whose spikes come back through nodes; named as snnTorch asks."""
    nodes = back or (affine(5, 5, seed=3, **{"most": 4} | options),)
    loop = {
        "rnn.rec" if number == 1 else f"rnn.rec{number}": node
        for number, node in enumerate(nodes, 1)
    }
    edges = [*pairwise(["rnn.n", *loop, "rnn.n"])]
    own = {"rnn.n": node, **loop}
    return chain(DENSE, 5, edges, [*loop], fc1=affine(5, 6), **own)


def read_out(node: Any, neurons: Any, **options: Any) -> Any:
    """A layer of five neurons, and three without spikes behind it."""
    out = affine(3, 5, seed=2, **options)
    return chain(DENSE, 3, fc1=affine(5, 6), fc1_n=neurons, out=out, out_n=node)
