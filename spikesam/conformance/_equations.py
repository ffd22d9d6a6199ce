"""NIR's equations, step by step in float64, as the paper and its documentation state them, without
anything that an import does: no folding, no delays between layers.

One step is an Euler step of dt seconds. All that a step's spikes reach is reached within it, but
for the neurons that fired: their own spikes come back at the next step.

    I, IF         v ← v + dt·r·x
    LI, LIF       v ← v + dt/tau · (v_leak - v + r·x)
    CubaLI(F)     i ← i + dt/tau_syn · (w_in·x - i), then as LI, LIF with x = i
    Threshold     v ← x
    reset         before a step that follows a spike, v ← v_reset

Where other programs read an equation in another way, a :class:`Reading` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spikesam.conformance._graph import LEAKY, SPIKING, FlatGraph, kind_of, two

Floats = NDArray[np.float64]
TIE = 1e-7  # of a threshold: files hold float32, so that a membrane that meets it may miss it


@dataclass(frozen=True)
class Reading:
    """A reading of the equations; the defaults are NIR's own words where it has some."""

    dt: float  # seconds in a step
    fires_at_threshold: bool = False
    # what follows a spike: v_reset; or v loses its threshold behind the leak of the next step, or
    # before it; or the next step gives v_reset, whatever it adds; or nothing
    reset: Literal["value", "subtract", "subtract first", "lose a step", "none"] = "value"
    exponential: bool = False  # 1 - exp(-dt/tau) in place of dt/tau
    synapse_first: bool = True  # a membrane gets the current of its step, not of the step before
    start: Literal["v_reset", "0", "v_leak"] = "v_reset"  # membranes before the first step
    loop_steps: int = 1  # until a neuron's own spikes come back
    layer_steps: int = 0  # until a neuron's spikes reach others
    output_steps: int = 0  # until a neuron's spikes come out of the graph
    bounded: bool = False  # v of an IF is at least -v_threshold
    several: bool = False  # several spikes in a step


class Equations:
    """A graph that runs on spikes, (T, S, …) of S samples; values of nodes are (S, …)."""

    def __init__(self, graph: FlatGraph, reading: Reading, spikes: NDArray[np.bool_]) -> None:
        self.graph, self.reading = graph, reading
        self.steps, self.samples = spikes.shape[:2]
        self.neurons = {
            name: NeuronsOfNode(node, reading)
            for name, node in graph.nodes.items()
            if name != graph.first and kind_of(node) in (*SPIKING, *LEAKY)
        }
        self.given: dict[str, list[Floats]] = {graph.first: list(spikes.astype(np.float64))}
        self.given |= {name: [] for name in self.neurons}
        self.shapes: dict[str, tuple[int, ...]] = {}  # of what nodes give
        self.output: list[Floats] = []
        for t in range(self.steps):
            self.output.append(self._arriving(graph.last, t, graph.last))
            for name in self.neurons:
                self._node(name, t, "")

    def spikes(self, name: str) -> NDArray[np.bool_]:
        """(T, S, …) of a node of neurons."""
        return np.array(self.given[name]) > 0

    def _arriving(self, name: str, t: int, neurons: str) -> Floats:
        """The sum of what comes to a node, on the way to neurons."""
        values = [self._node(source, t, neurons) for source in self.graph.leading_to(name)]
        return np.asarray(sum(values[1:], values[0]))

    def _node(self, name: str, t: int, neurons: str) -> Floats:
        """The value of a node at a step, on the way to neurons, whose own spikes are those of the
        step before.
        """
        if name in self.given:
            outputs = self.given[name]
            step = t
            if name == neurons:
                step -= self.reading.loop_steps * (len(outputs) == t)
            elif neurons and name in self.neurons:
                to_output = neurons == self.graph.last
                step -= self.reading.output_steps if to_output else self.reading.layer_steps
            if step < 0:
                return self._nothing(name)
            if step == len(outputs):
                outputs.append(self.neurons[name].step(self._arriving(name, t, name)))
            return outputs[step]
        node = self.graph.nodes[name]
        if kind_of(node) == "Delay":
            return self._delayed(name, node, t, neurons)
        return np.asarray(NODES[kind_of(node)](node, self._arriving(name, t, neurons)))

    def _delayed(self, name: str, node: Any, t: int, neurons: str) -> Floats:
        """The values that came to a node Delay so many steps ago,
        of each neuron where they differ.
        """
        steps = np.round(np.asarray(node.delay, np.float64) / self.reading.dt).astype(int)
        current: Any = 0.0
        for delay in np.unique(steps):
            if t >= delay:
                past = self._arriving(name, t - int(delay), neurons)
                current = current + past * np.broadcast_to(steps == delay, past.shape)
        return current if np.ndim(current) else self._nothing(name)

    def _nothing(self, name: str) -> Floats:
        """Zeros of the shape that a node gives, before anything has arrived."""
        if name not in self.shapes:
            shape = self._shape(name)
            assert shape is not None
            self.shapes[name] = shape
        return np.zeros((self.samples, *self.shapes[name]))

    def _shape(self, name: str, *passed: str) -> tuple[int, ...] | None:
        """The shape of what a node gives; None if it is known from nodes in front of it alone that
        were passed.
        """
        if self.given.get(name):
            return self.given[name][0].shape[1:]
        if name in self.neurons and self.neurons[name].shape:
            return self.neurons[name].shape
        sources = [
            source for source in self.graph.leading_to(name) if source not in (*passed, name)
        ]
        known_shapes = (self._shape(source, *passed, name) for source in sources)
        shape = next((known_shape for known_shape in known_shapes if known_shape is not None), None)
        node = self.graph.nodes[name]
        if shape is None or kind_of(node) not in NODES:
            return shape
        return NODES[kind_of(node)](node, np.zeros((1, *shape))).shape[1:]


class NeuronsOfNode:
    """Neurons of one node: their state, and `membranes` of all steps."""

    def __init__(self, node: Any, reading: Reading) -> None:
        self.kind, self.reading = kind_of(node), reading
        self.fires = self.kind in SPIKING
        # no node has a leak_of_step: it is of a reading that is not NIR's
        fields = (
            *("threshold", "v_threshold", "r", "tau", "tau_mem", "tau_syn", "w_in", "v_leak"),
            "leak_of_step",
        )
        named = {name: getattr(node, name, None) for name in (*fields, "v_reset")}
        parameters = {name: np.asarray(v, np.float64) for name, v in named.items() if v is not None}
        self.of = {"v_reset": np.asarray(0.0), **parameters}
        self.of = {name: v if v.size > 1 else v.reshape(()) for name, v in self.of.items()}
        self.shape = max((value.shape for value in self.of.values()), key=len)
        rests = self.kind.endswith("IF") and reading.reset in ("value", "lose a step", "none")
        starts: dict[str, Any] = {"0": 0.0, "v_leak": self.of.get("v_leak", 0.0)}
        self.rest: Any = starts.get(reading.start, self.of["v_reset"] if rests else 0.0)
        self.v: Any = self.rest
        self.i: Any = 0.0
        self.spikes: Any = 0.0  # of the step before; several where a reading says so
        self.membranes: list[Floats] = []

    @property
    def threshold(self) -> Floats:
        """θ, where a membrane fires."""
        return self.of["threshold" if self.kind == "Threshold" else "v_threshold"]

    def counted(self, t: int, shape: tuple[int, ...]) -> Floats:
        """v[t] in a shape, counted from where membranes rest, which is 0 before the first step."""
        if t < 0:
            return np.zeros(shape)
        return (self.membranes[t] - self.rest).reshape(shape)

    def step(self, x: Floats) -> Floats:
        """The output of neurons that x drives: spikes, or membranes of those that do not fire."""
        x = self._shaped(x)
        self.v = np.asarray(x if self.kind == "Threshold" else self._membrane(x), np.float64)
        self.membranes.append(self.v)
        if not self.fires:
            return self.v
        tie = np.abs(self.v - self.threshold) <= TIE * np.abs(self.threshold)
        fired = np.where(tie, self.reading.fires_at_threshold, self.v > self.threshold)
        self.spikes = np.asarray(fired, np.float64)
        if self.reading.several and self.kind != "Threshold":
            with np.errstate(divide="ignore", invalid="ignore"):
                thresholds_passed = np.floor(self.v / self.threshold + TIE)
            self.spikes = np.where(fired, np.maximum(1.0, thresholds_passed), 0.0)
        return np.asarray(self.spikes)

    def _membrane(self, x: Floats) -> Any:
        v, reset, of = self.v, self.reading.reset, self.of
        if reset == "value":
            v = np.where(self.spikes > 0, of["v_reset"], v) if self.fires else v
        elif reset == "subtract first" and self.fires:
            v = v - self.threshold * self.spikes
        if self.kind in ("I", "IF"):
            v = v * (1 - of.get("leak_of_step", 0.0)) + self.reading.dt * of["r"] * x
            if self.reading.bounded and self.fires:
                v = np.maximum(v, -self.threshold)
        else:
            if self.kind.startswith("Cuba"):
                current = self.i + self._part("tau_syn") * (of["w_in"] * x - self.i)
                late = self.i + np.zeros_like(current)
                x, self.i = current if self.reading.synapse_first else late, current
            part = self._part("tau_mem" if self.kind.startswith("Cuba") else "tau")
            v = v + part * (of["v_leak"] - v + of["r"] * x)
        if reset == "lose a step" and self.fires:
            return np.where(self.spikes > 0, of["v_reset"], v)
        return v - self.threshold * self.spikes if reset == "subtract" and self.fires else v

    def _part(self, time_constant: str) -> Any:
        """The part of the way to its rest that a state goes in a step."""
        steps = self.reading.dt / self.of[time_constant]
        return -np.expm1(-steps) if self.reading.exponential else steps

    def _shaped(self, x: Floats) -> Floats:
        """The arriving values as a map of the neurons, where their constants are one."""
        return x.reshape(len(x), *self.shape) if self.shape and x.ndim != 1 + len(self.shape) else x


def _linear(node: Any, x: Floats) -> Floats:
    return x.reshape(len(x), -1) @ np.asarray(node.weight, np.float64).T + _bias(node)


def _bias(node: Any) -> Floats:
    bias = getattr(node, "bias", None)
    return np.asarray(0.0 if bias is None else bias, np.float64)


def _conv(node: Any, x: Floats) -> Floats:
    """Correlation of maps (S, C, H, W), or of rows (S, C, L) as maps of height 1."""
    weight, rows = np.asarray(node.weight, np.float64), kind_of(node) == "Conv1d"

    def pair(name: str, least: int) -> tuple[int, int]:
        value = getattr(node, name)
        return (least, int(np.ravel(value)[0])) if rows else two(value)

    maps, kernel = (x[:, :, None], weight[:, :, None]) if rows else (x, weight)
    (down, right), (y, x_apart) = pair("stride", 1), pair("dilation", 1)
    extent = (kernel.shape[2] - 1) * y + 1, (kernel.shape[3] - 1) * x_apart + 1
    if isinstance(node.padding, str):
        padding = (extent[0] // 2, extent[1] // 2) if node.padding == "same" else (0, 0)
    else:
        padding = pair("padding", 0)
    padded = np.pad(maps, ((0, 0), (0, 0), *((side, side) for side in padding)))
    rows_out, columns_out = (
        (side - size) // step + 1
        for side, size, step in zip(padded.shape[2:], extent, (down, right), strict=True)
    )
    samples, channels = maps.shape[:2]
    groups = int(np.ravel(node.groups)[0])
    by_group = kernel.reshape(groups, -1, *kernel.shape[1:])
    total = np.zeros((samples, *by_group.shape[:2], rows_out * columns_out))
    for place in np.ndindex(*kernel.shape[2:]):
        top, left = place[0] * y, place[1] * x_apart
        places_read = padded[:, :, top : top + rows_out * down : down, left:][..., ::right]
        values = places_read[..., :columns_out].reshape(samples, groups, channels // groups, -1)
        total += by_group[..., *place] @ values
    currents = total.reshape(samples, -1, rows_out, columns_out) + _bias(node).reshape(-1, 1, 1)
    return currents[:, :, 0] if rows else currents


def _pool(node: Any, x: Floats) -> Floats:
    window, (down, right), padding = (
        two(getattr(node, name)) for name in ("kernel_size", "stride", "padding")
    )
    padded = np.pad(x, ((0, 0), (0, 0), *((side, side) for side in padding)))
    windows = sliding_window_view(padded, window, (2, 3))[:, :, ::down, ::right]
    total: Floats = windows.sum((-2, -1))
    divisor = window[0] * window[1] if kind_of(node) == "AvgPool2d" else 1
    return total / getattr(node, "divisor", divisor)  # of a reading that is not NIR's


def _flatten(node: Any, x: Floats) -> Floats:
    axes = x.ndim - 1
    first, last = (int(np.ravel(end)[0]) % axes for end in (node.start_dim, node.end_dim))
    if getattr(node, "first_axis_fastest", False):  # of a reading that is not NIR's
        x = np.moveaxis(x, range(first + 1, last + 2), range(last + 1, first, -1))
    return x.reshape(len(x), *x.shape[1 : first + 1], -1, *x.shape[last + 2 :])


NODES: dict[str, Callable[[Any, Floats], Floats]] = {
    "Affine": _linear,
    "AvgPool2d": _pool,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "Flatten": _flatten,
    "Linear": _linear,
    "Scale": lambda node, x: x * np.asarray(node.scale, np.float64),
    "SumPool2d": _pool,
}
