"""Small graphs of NIR, made by code, on which libraries may or may not agree. Imports NIR and NumPy
alone.

Weights lie on a grid of 1/16, and most leaks are multiples of 1/4: sums are exact in float32 in
whatever order they are made, so that what differs is a rule, not rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

DT = (
    1e-4  # seconds in a step, as snnTorch and SpikingJelly have it; 1 is the unit of time of sinabs
)
STEPS, SAMPLES, RATE = 48, 2, 0.3
SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
MAP, ROWS, DENSE = (2, 8, 8), (2, 16), (6,)


@dataclass(frozen=True)
class Example:
    """A graph, and how many seconds a step of it takes."""

    name: str
    build: Callable[[], Any]
    dt: float = DT
    shape: tuple[int, ...] = DENSE

    def spikes(self) -> NDArray[np.bool_]:
        """Spikes (N, T, …) that it gets."""
        return np.random.default_rng(1).random((SAMPLES, STEPS, *self.shape)) < RATE


def spiking_nodes(graph: Any) -> list[str]:
    """Names of the nodes that fire, in the order in which they stand."""
    return [name for name, node in graph.nodes.items() if type(node).__name__ in SPIKING]


def weights(*shape: int, most: int = 16, least: int = -8, seed: int = 0) -> NDArray[np.float32]:
    """Multiples of 1/16."""
    found = np.random.default_rng(seed).integers(least, most, shape, endpoint=True)
    return (found / 16).astype(np.float32)


def chain(
    first: tuple[int, ...], last: int, more: Sequence[tuple[str, str]] = (), **nodes: Any
) -> Any:
    """A graph of nodes one behind the other, and of further edges."""
    named = {"input": nir.Input(np.array(first)), **nodes, "output": nir.Output(np.array([last]))}
    names = [
        name for name in named if name not in {end for edge in more for end in edge if end in AWAY}
    ]
    edges = [*pairwise(names), *more]
    return nir.NIRGraph(
        named, edges, **({"type_check": False} if hasattr(nir, "NIRGraphData") else {})
    )


AWAY = ("rnn.rec", "skip")  # nodes that stand beside the chain


def full(value: Any, shape: Any) -> NDArray[np.float32]:
    """The same value everywhere, in an array."""
    return np.broadcast_to(np.asarray(value, np.float32), shape).copy()


def lif(
    size: Any,
    tau: Any = 4,
    gain: Any = 1,
    threshold: Any = 1,
    leak: float = 0,
    reset: float = 0,
    dt: float = DT,
) -> Any:
    """LIF of a time constant in steps, whose input is multiplied by a gain."""
    tau, gain, constants = (
        full(tau, size),
        full(gain, size),
        {"v_leak": full(leak, size)} | resets(size, reset),
    )
    return nir.LIF(tau=tau * dt, r=tau * gain, v_threshold=full(threshold, size), **constants)


def resets(size: Any, to: float = 0) -> dict[str, Any]:
    """The argument for the reset of neurons, which older versions of NIR take only where it is not
    0.
    """
    return {"v_reset": full(to, size)} if to or hasattr(nir, "NIRGraphData") else {}


def integrate(size: Any, threshold: Any = 1, r: float = 1 / DT) -> Any:
    """IF, which fires above a threshold; r = 1/dt adds its input as it is."""
    return nir.IF(r=full(r, size), v_threshold=full(threshold, size), **resets(size))


def cuba(
    size: Any,
    synapse: float = 2,
    tau: float = 4,
    scaled: bool = True,
    threshold: float = 1,
    dt: float = DT,
) -> Any:
    """CubaLIF of time constants in steps; `scaled` so that spikes enter currents, and these
    membranes, as they are.
    """
    return nir.CubaLIF(
        tau_syn=full(synapse * dt, size),
        tau_mem=full(tau * dt, size),
        r=full(tau if scaled else 1, size),
        v_leak=full(0, size),
        v_threshold=full(threshold, size),
        w_in=full(synapse if scaled else 1, size),
        **resets(size),
    )


def conv(
    outputs: int,
    inputs: int,
    sides: tuple[int, int],
    kernel: int = 3,
    padding: int = 1,
    **options: Any,
) -> Any:
    """Conv2d without a bias, of a map of these sides."""
    about = {"stride": 1, "dilation": 1, "groups": 1} | options
    weight = weights(outputs, inputs // about["groups"], kernel, kernel)
    return nir.Conv2d(
        input_shape=sides,
        weight=weight,
        padding=padding,
        bias=np.zeros(outputs, np.float32),
        **about,
    )


def flatten(*shape: int, start: int | None = None) -> Any:
    """Flatten a map (C, H, W), or rows (C, L), all of it."""
    return nir.Flatten({"input": np.array(shape)}, -len(shape) if start is None else start, -1)


def of_rows(
    outputs: int, length: int, neurons: Callable[[Any], Any] | None = None, **options: Any
) -> Any:
    """A convolution of rows (C, L) to rows of this length, and a dense layer."""
    about = {"stride": 1, "dilation": 1, "groups": 1} | options
    weight = weights(outputs, ROWS[0] // about["groups"], 3)
    conv1 = nir.Conv1d(
        input_shape=ROWS[1], weight=weight, bias=np.zeros(outputs, np.float32), **about
    )
    size, fires = outputs * length, neurons or lif
    fc1 = affine(5, size, most=2, least=-1)
    conv1_n, rows = fires((outputs, length)), flatten(outputs, length)
    return chain(ROWS, 5, conv1=conv1, conv1_n=conv1_n, flatten=rows, fc1=fc1, fc1_n=fires(5))


def affine(outputs: int, inputs: int, bias: float = 0, **options: int) -> Any:
    """Weights on the grid, and one bias."""
    return nir.Affine(weights(outputs, inputs, **options), full(bias, outputs))


def one(node: Any, inputs: int = 6, **options: Any) -> Any:
    """Weights and neurons."""
    return chain((inputs,), 5, fc1=affine(5, inputs, **options), fc1_n=node)


def pooled(pool: Any, dt: float, neurons: Callable[[Any], Any]) -> Any:
    """Two layers with pooling between them."""
    return chain(
        MAP,
        5,
        conv1=conv(3, 2, (8, 8)),
        conv1_n=neurons((3, 8, 8)),
        pool=pool(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        flatten=flatten(3, 4, 4),
        fc1=affine(5, 48, most=8),
        fc1_n=neurons(5),
    )


def recurrent(node: Any) -> Any:
    """Called as snnTorch asks: the neurons and their own weights share a name in front of a dot."""
    own = {"rnn.n": node, "rnn.rec": affine(5, 5, most=4, seed=3)}
    return chain((6,), 5, (("rnn.n", "rnn.rec"), ("rnn.rec", "rnn.n")), fc1=affine(5, 6), **own)


def skipped() -> Any:
    """The input reaches the second layer directly, too."""
    nodes = {
        "skip": affine(5, 6, seed=4),
        "fc1": affine(5, 6),
        "fc1_n": lif(5),
        "fc2": affine(5, 5),
        "fc2_n": lif(5),
    }
    return chain((6,), 5, (("input", "skip"), ("skip", "fc2_n")), **nodes)


def two(between: Any, size: int = 5) -> Any:
    """Two layers, and a node between the first one's spikes and the second one's weights."""
    return chain(
        (6,),
        4,
        fc1=affine(size, 6),
        fc1_n=lif(size),
        between=between,
        fc2=affine(4, size),
        fc2_n=lif(4),
    )


def with_readout(node: Any) -> Any:
    """A layer, and neurons without spikes behind it."""
    return chain((6,), 3, fc1=affine(5, 6), fc1_n=lif(5), out=affine(3, 5), out_n=node)


def examples() -> Iterator[Example]:
    """All graphs."""
    yield Example("IF", lambda: one(integrate(5)))
    yield Example("IF, r = 1", lambda: one(integrate(5, r=1)), dt=1)
    small = {"most": 1, "least": 1}
    yield Example(
        "IF that integrates small inputs", lambda: one(integrate(5, r=1), **small), 1
    )  # snntorch#452
    yield Example("IF that meets its threshold", lambda: one(integrate(5, 0.5), most=4, least=4))
    yield Example("LIF, τ = 4 steps", lambda: one(lif(5)))
    yield Example("LIF, τ = 2 steps, r = 1", lambda: one(lif(5, 2, 0.5)))
    yield Example("LIF, τ = 20 steps", lambda: one(lif(5, 20)))
    yield Example("LIF, τ = 20, dt = 1, r = 1", lambda: one(lif(5, 20, 0.05, 0.25, dt=1)), dt=1)
    yield Example("LIF, τ = 4, dt = 1, r = τ", lambda: one(lif(5, 4, dt=1)), dt=1)
    yield Example("LIF, τ = 1 step (β = 0)", lambda: one(lif(5, 1)))
    yield Example("LIF that rests at 1/4", lambda: one(lif(5, leak=0.25, reset=0.25)))
    yield Example("LIF, v_leak 1/2, v_reset 0", lambda: one(lif(5, leak=0.5)))
    yield Example(
        "LIF that meets its threshold", lambda: one(lif(5, 2, threshold=0.5), most=8, least=8)
    )
    yield Example("LIF, a threshold each", lambda: one(lif(5, threshold=np.arange(1, 6) / 4)))
    yield Example("LIF, a time constant each", lambda: one(lif(5, tau=[1, 2, 4, 8, 16])))
    yield Example("LIF, inhibited", lambda: one(lif(5), most=12, least=-12))
    yield Example("LIF, a bias", lambda: one(lif(5), bias=0.25))
    yield Example("CubaLIF", lambda: one(cuba(5)))
    yield Example("CubaLIF, w_in = r = 1", lambda: one(cuba(5, scaled=False, threshold=0.125)))
    yield Example("CubaLIF, τ_syn = 1 step", lambda: one(cuba(5, 1)))
    yield Example("CubaLIF, dt = 1", lambda: one(cuba(5, dt=1)), dt=1)  # lava-dl#77
    yield Example(
        "Linear, without a bias",
        lambda: chain((6,), 5, fc1=nir.Linear(weights(5, 6)), fc1_n=lif(5)),
    )
    yield Example(
        "Conv2d",
        lambda: chain(MAP, 5, conv1=conv(3, 2, (8, 8)), conv1_n=lif((3, 8, 8)), **_answer(3, 8)),
        shape=MAP,
    )
    yield Example(
        "Conv2d, stride 2, dilation 2, groups 2",
        lambda: chain(
            MAP,
            5,
            conv1=conv(4, 2, (8, 8), padding=2, stride=2, dilation=2, groups=2),
            conv1_n=lif((4, 4, 4)),
            **_answer(4, 4),
        ),
        shape=MAP,
    )
    yield Example("Conv1d", lambda: of_rows(3, 16, padding=1), shape=ROWS)
    more: dict[str, Any] = {"padding": 2, "stride": 2, "dilation": 2, "groups": 2}
    yield Example(
        "Conv1d, stride 2, dilation 2, groups 2", lambda: of_rows(4, 8, **more), shape=ROWS
    )
    yield Example(
        "Conv1d, IF, padding 'same'", lambda: of_rows(3, 16, integrate, padding="same"), shape=ROWS
    )
    yield Example("AvgPool2d, Flatten", lambda: pooled(nir.AvgPool2d, DT, lif), shape=MAP)
    sinabs = lambda size: integrate(size, r=1)  # noqa: E731
    yield Example(
        "SumPool2d, Flatten, IF, r = 1", lambda: pooled(nir.SumPool2d, 1, sinabs), dt=1, shape=MAP
    )
    yield Example(
        "Flatten from axis 0",
        lambda: chain(
            MAP, 5, flat=flatten(*MAP, start=0), fc1=affine(5, 128, most=2, least=-1), fc1_n=lif(5)
        ),
        shape=MAP,
    )
    yield Example("recurrent LIF", lambda: recurrent(lif(5)))
    yield Example("recurrent CubaLIF", lambda: recurrent(cuba(5)))
    yield Example("two ways to one layer", skipped)
    yield Example("Delay of three steps", lambda: two(nir.Delay(full(3 * DT, 5))))
    yield Example("Scale by 1/2", lambda: two(nir.Scale(full(0.5, 5))))
    yield Example(
        "Threshold", lambda: chain((6,), 5, fc1=affine(5, 6), fc1_n=nir.Threshold(full(0.5, 5)))
    )
    yield Example(
        "LI at the end", lambda: with_readout(nir.LI(full(4 * DT, 3), full(4, 3), full(0, 3)))
    )
    yield Example(
        "CubaLI at the end",
        lambda: with_readout(
            nir.CubaLI(
                tau_syn=full(DT, 3),
                tau_mem=full(4 * DT, 3),
                r=full(4, 3),
                v_leak=full(0, 3),
                w_in=full(1, 3),
            )
        ),
    )


def _answer(channels: int, side: int) -> dict[str, Any]:
    size = channels * side * side
    return {
        "flatten": flatten(channels, side, side),
        "fc1": affine(5, size, most=2, least=-1),
        "fc1_n": lif(5),
    }
