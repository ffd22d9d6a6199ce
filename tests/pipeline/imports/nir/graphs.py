"""Small NIR graphs, and what their equations say, step by step and without delay between nodes."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import Network
from spikesam.conformance._equations import Equations
from spikesam.pipeline.imports.nir._graph import opened_graph
from spikesam.pipeline.imports.nir._nodes import Rules

nir = pytest.importorskip("nir")

DT = 1e-4


def graph(*nodes: Any, **named: Any) -> Any:
    """A chain of nodes, called "0", "1", … or by their names, between Input and Output."""
    by_name = {**{str(number): node for number, node in enumerate(nodes)}, **named}
    order = list(by_name)
    return nir.NIRGraph(by_name, list(pairwise(order)), type_check=False)


def weights(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Multiples of 1/16, whose sums are exact in float32 and often meet the threshold exactly."""
    return (rng.integers(-10, 12, shape) / 16).astype(np.float32)


def conv(
    rng: np.random.Generator,
    *shape: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
):
    bias = rng.integers(-2, 5, shape[0]).astype(np.float32) / 16
    return nir.Conv2d(None, weights(rng, *shape), stride, padding, dilation, groups, bias)


def lif(shape: tuple[int, ...], leak: float = 0.75, threshold: Any = 1.0) -> Any:
    """Neurons as snnTorch and SpikingJelly write them."""
    one = np.ones(shape)
    return nir.LIF(DT / (1 - leak) * one, one / (1 - leak), 0 * one, threshold * one)


def integrate(shape: tuple[int, ...], dt: float = DT) -> Any:
    return nir.IF(np.full(shape, 1 / dt), np.ones(shape))


def pool(kind: str, side: int) -> Any:
    return getattr(nir, kind)(np.array([side, side]), np.array([side, side]), np.array([0, 0]))


def interpret(
    graph: Any, spikes: NDArray[np.bool_], dt: float = DT, reset: Any = None, at: bool = False
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[Any]]:
    """Spikes (T, …) of every node of neurons, and values (T, K) of the last, by NIR's equations."""
    equations = Equations(opened_graph(graph), Rules(dt, True, reset, at).reading, spikes[:, None])
    fired = {name: equations.spikes(name)[:, 0] for name in equations.neurons}
    return fired, np.array(equations.output)[:, 0]


def run(
    network: Network, spikes: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[Any]]:
    """Spikes (T, C, H, W) of every layer in the time of the input, and (K,) readout; of spikes (T,
    C, H, W).
    """
    with spikesam.simulate(
        network, spikes[:, None], backend="event", precision="float32"
    ) as raster:
        fired = {
            name: raster[name][0][number : len(spikes) + number]
            for number, name in enumerate(raster)
        }
        return fired, raster.readout[0]


def small(neuron: Any = lif, **layers: Any) -> Any:
    """Convolution, pooling, dense."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input(np.array([2, 8, 8])),
        "conv1": conv(rng, 3, 2, 3, 3, padding=1),
        "neurons1": neuron((3, 8, 8)),
        "pool": pool("SumPool2d", 2),
        "flatten": nir.Flatten(np.array([3, 4, 4]), 0, -1),
        "fc": nir.Affine(weights(rng, 5, 48) / 4, np.full(5, 0.125, np.float32)),
        "neurons2": neuron((5,)),
        "output": nir.Output(np.array([5])),
    }
    return graph(**{**nodes, **layers})
