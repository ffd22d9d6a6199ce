"""Small NIR graphs, and what their equations say, step by step and without delay between nodes."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

import spikesam
from spikesam.backends.network import Network

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
    graph: Any, spikes: NDArray[np.bool_], dt: float = DT, reset: str = "zero", at: bool = False
) -> Any:
    """Spikes (T, …) of every node that fires, and values (T, K) of the last, by NIR's equations in
    double precision.
    """
    nodes = dict(graph.nodes)
    after = dict(graph.edges)
    (name,) = (name for name, node in nodes.items() if isinstance(node, nir.Input))
    x = torch.tensor(spikes, dtype=torch.float64)
    fired = {}
    while name in after:
        name = after[name]
        node, kind = nodes[name], type(nodes[name]).__name__
        if kind == "Conv2d":
            options = {
                name: getattr(node, name) for name in ("stride", "padding", "dilation", "groups")
            }
            x = functional.conv2d(
                x, torch.tensor(node.weight).double(), torch.tensor(node.bias).double(), **options
            )
        elif kind in ("Affine", "Linear"):
            x = (
                x @ torch.tensor(node.weight).double().T
                + torch.tensor(getattr(node, "bias", 0)).double()
            )
        elif kind in ("SumPool2d", "AvgPool2d"):
            k = int(np.ravel(node.kernel_size)[0])
            x = functional.avg_pool2d(x, k) * (k**2 if kind == "SumPool2d" else 1)
        elif kind == "Flatten":
            x = x.flatten(1)
        elif kind == "Scale":
            x = x * torch.tensor(node.scale)
        elif kind == "Threshold":
            x = (x > torch.tensor(node.threshold)).double()
            fired[name] = x.numpy() > 0
        elif kind in ("IF", "LIF", "CubaLIF", "LI", "I"):
            x = _neurons(node, kind, x.numpy(), dt, reset, at)
            fired[name] = x.numpy() > 0
    return fired, x.numpy()


def _neurons(node: Any, kind: str, current: NDArray[Any], dt: float, reset: str, at: bool) -> Any:
    rest = getattr(node, "v_reset", 0.0)
    membrane, out = np.zeros(current.shape[1:]) + rest, []
    synaptic = 0.0
    for i in current:
        if kind == "CubaLIF":
            synaptic = synaptic + dt / node.tau_syn * (node.w_in * i - synaptic)
            i = synaptic
        if kind in ("IF", "I"):
            membrane = membrane + dt * node.r * i
        else:
            tau = node.tau_mem if kind == "CubaLIF" else node.tau
            membrane = membrane + dt / tau * (node.v_leak - membrane + node.r * i)
        if kind in ("I", "LI"):
            out.append(membrane.copy())
            continue
        membrane = np.round(
            membrane, 9
        )  # thresholds are met exactly in float32, with which this is compared
        spikes = membrane >= node.v_threshold if at else membrane > node.v_threshold
        membrane = (
            membrane - node.v_threshold * spikes
            if reset == "subtract"
            else np.where(spikes, rest, membrane)
        )
        out.append(spikes)
    return torch.tensor(np.array(out)).double()


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
