"""NIR's nodes as operations of the road, and its neurons in continuous time as neurons in Euler
steps of `dt` seconds.

    NIR node      its equation                            one step, with spikes and resets as in LIF
    I, IF         dv/dt = R·I                             v ← v + dt·R·I
    LI, LIF       τ·dv/dt = (v_leak - v) + R·I            v ← (1 - dt/τ)·v + (dt/τ)·(R·I + v_leak)
    CubaLI(F)     τ_syn·dI/dt = -I + w_in·x, then LI(F)   I ← (1 - dt/τ_syn)·I + (dt/τ_syn)·w_in·x,
                                                          then as LI, LIF
    Threshold     z = 1 if x > θ                          as LIF without memory: v ← x

What drives them is I = scale · (W ⊛ s + b). NIR fires at v > θ, and a spike sets v to v_reset.
Where v_reset is not 0, membranes are counted from there, where they begin: it must be v_leak, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Shape, Windows
from spikesam.backends.network.neurons import LIF, Reset
from spikesam.backends.network.sources import LONGEST_DELAY
from spikesam.common.errors import at
from spikesam.conformance._equations import Reading
from spikesam.conformance._graph import LEAKY, SPIKING, kind_of
from spikesam.pipeline.imports.nir import KEY
from spikesam.pipeline.imports.nir._graph import (
    POOLS,
    Named,
    metadata,
    numbers,
    shape_of,
    sides,
    text,
    whole_attribute,
)
from spikesam.pipeline.imports.road.constants import lag_of
from spikesam.pipeline.imports.road.kernels import around, extent
from spikesam.pipeline.imports.road.operations import (
    Convolve,
    DeclaredShape,
    Flatten,
    Integral,
    Junction,
    Linear,
    Operation,
    Order,
    Path,
    Pool,
    Scale,
    Shift,
    expect,
)

SYNAPSES = ("Affine", "Linear", "Conv1d", "Conv2d")
SUPPORTED = ", ".join(
    ("Input", "Output", "Delay", "Flatten", "Scale", *POOLS, *SYNAPSES, *SPIKING, *LEAKY)
)


def path_behind(path: Path, node: Named, rules: Rules, last: bool) -> Path:
    """The path of what comes to a node, and of what the node does to it; the last one is followed
    by neurons.
    """
    with at(node.label):
        return _path_behind(path, node, rules, last)


def _path_behind(path: Path, node: Named, rules: Rules, last: bool) -> Path:
    if node.kind == "Delay":
        return _later(path, node, rules.dt)
    if node.kind == "Threshold":
        return _either(path, node, rules)
    if node.kind == "Scale" and not last:
        scale = numbers(node.node.scale, "scale")
        if (
            isinstance(path.source, str)
            and not path.operations
            and (abs(scale) == 1).all()
            and np.ptp(scale) == 0
        ):
            return replace(path, sign=path.sign * int(scale.flat[0]))
    emit = EMITS.get(node.kind)
    if emit is None and node.kind not in LEAKY:
        raise NetworkError(f"type {node.kind} is not supported: expected one of {SUPPORTED}")
    kinds = read_integral(node, rules) if emit is None else emit(node.node)
    return replace(
        path, operations=(*path.operations, *(Operation(node.label, kind) for kind in kinds))
    )


def _weights(
    node: Any, axes: int, expected: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Weights with so many axes, and the bias of each output, if the node has one."""
    weight = numbers(node.weight, "weight")
    expect(weight.ndim == axes, f"weight has shape {weight.shape}", expected)
    if getattr(node, "bias", None) is None:
        return weight, None
    bias, outputs = numbers(node.bias, "bias"), weight.shape[:1]
    expect(
        bias.shape == outputs,
        f"bias has shape {bias.shape}",
        f"{outputs}, one per output of weight",
    )
    return weight, bias


def _linear(node: Any) -> list[Any]:
    return [Linear(*_weights(node, 2, "(outputs, inputs)"), flat=True)]


def _conv(node: Any) -> list[Any]:
    return _convolution(node, *_weights(node, 4, "(outputs, channels / groups, y, x)"), sides)


def _conv1d(node: Any) -> list[Any]:
    """A convolution of rows, which are maps of height 1."""
    weight, bias = _weights(node, 3, "(outputs, channels / groups, x)")

    def along(value: Any, quantity: str, least: int) -> tuple[int, int]:
        return least, whole_attribute(value, quantity, least)

    return _convolution(node, weight[:, :, None], bias, along)


def _convolution(
    node: Any, weight: Any, bias: Any, sides: Callable[..., tuple[int, int]]
) -> list[Any]:
    """A convolution whose settings are those of `sides`, (y, x)."""
    groups = whole_attribute(node.groups, "groups", 1)
    stride, dilation = (sides(getattr(node, name), name, 1) for name in ("stride", "dilation"))
    kernel = extent(weight.shape[2:], dilation)
    padding = node.padding if isinstance(node.padding, str) else sides(node.padding, "padding", 0)
    if isinstance(padding, str) and padding != "valid":
        finding = f"padding is {node.padding!r} with stride {stride} and a kernel of {kernel}"
        expected = "a number, 'valid', or 'same' with stride 1 and a kernel of odd sides"
        odd = node.padding == "same" and stride == (1, 1) and kernel[0] % 2 and kernel[1] % 2
        expect(odd, finding, expected)
    conv = Convolve(
        weight, bias, stride, around(padding, weight.shape[2:], dilation), dilation, groups
    )
    if node.input_shape is None:
        return [conv]
    sides_seen = np.ravel(node.input_shape).tolist()
    return [
        DeclaredShape(shape_of((weight.shape[1] * groups, *sides_seen)), "its input"),
        conv,
    ]


def _flatten(node: Any) -> list[Any]:
    declared = node.input_type["input"]
    rows = (
        declared is not None and np.size(declared) == 2
    )  # whose sides are the last two of three here
    axes = 2 if rows else 3
    first, last = (
        whole_attribute(getattr(node, axis), axis, -axes) % axes
        for axis in ("start_dim", "end_dim")
    )
    last += rows
    declared_shapes = [] if declared is None else [DeclaredShape(shape_of(declared), "its input")]
    return [*declared_shapes, Flatten(first, last)]


def _pool(node: Any) -> list[Any]:
    stride, window = (sides(getattr(node, name), name, 1) for name in ("stride", "kernel_size"))
    pooling = metadata(node, ("pooling",)).get("pooling")
    kind: Any = (
        "max"
        if str(pooling) == "max"
        else "average"
        if type(node).__name__ == "AvgPool2d"
        else "sum"
    )
    windows = Windows(window, stride, sides(node.padding, "padding", 0))
    return [Pool(kind, windows, of_currents=kind == "max")]


def _scale(node: Any) -> list[Any]:
    scale = numbers(node.scale, "scale")
    declared_shapes = [DeclaredShape(shape_of(scale.shape), "scale")] if scale.size > 1 else []
    return [*declared_shapes, Scale(near_one(scale.ravel()))]


def _either(path: Path, node: Named, rules: Rules) -> Path:
    """The OR of pooled spikes: their maximum."""
    *operations_in_front, pooled = path.operations
    pool, threshold = pooled.what, numbers(node.node.threshold, "threshold")
    single_spike = (
        1 if pool.kind == "sum" else 1 / prod(pool.windows.sides)
    )  # what a single spike gives
    fires = np.greater_equal if rules.fires({}) else np.greater
    passed = fires(single_spike, threshold).all() and not fires(0, threshold).any()
    expected = (
        f"one between 0 and {single_spike:g}, which a single spike passes: behind pooling others "
        "are not supported"
    )
    expect(passed, f"threshold is {threshold.flat[0]:g}", expected)
    return replace(
        path, operations=(*operations_in_front, replace(pooled, what=replace(pool, kind="max")))
    )


def _later(path: Path, node: Named, dt: float) -> Path:
    """The path behind a node Delay, whose steps may differ from channel to channel."""
    seconds = numbers(node.node.delay, "delay")
    limited = np.clip(seconds, -dt, (LONGEST_DELAY + 1) * dt)
    steps = np.round(limited / dt).astype(np.int64)
    uniform = (
        np.allclose(limited, steps * dt, 1e-6, 0)
        and steps.min() >= 0
        and steps.max() <= LONGEST_DELAY
    )
    expected = f"whole numbers of steps of {dt:g} s, 0 … {LONGEST_DELAY:,}"
    expect(uniform, f"delay is {seconds.min():g} … {seconds.max():g} s", expected)
    if np.ptp(steps) == 0:
        return path.delayed(int(steps.flat[0]), node.label)
    shape = shape_of(steps.shape)
    lag = lag_of(steps.reshape(shape), shape)
    plain = isinstance(path.source, str) and not path.operations
    if plain and np.size(path.lag or 0) in (1, np.size(lag)):
        return path.later(lag)
    return _by_channel(path, np.broadcast_to(lag, shape[0]), shape, node.label)


def _by_channel(path: Path, steps: NDArray[np.int64], shape: Shape, label: str) -> Path:
    """Channels that come `steps` (C,) later: those of equal steps are a branch of their own."""
    places = prod(shape[1:])
    neurons = np.arange(prod(shape)).reshape(-1, places)
    declared_path = path + Operation(label, DeclaredShape(shape, "delay"))
    branches, order = [], []
    for number in np.unique(steps).tolist():
        of_branch = neurons[steps == number].ravel().tolist()
        chosen = declared_path + Operation(label, Order(tuple(of_branch)))
        branches.append(chosen.delayed(number, label))
        order += of_branch
    joined = Path(Junction(label, "concatenation", tuple(branches)), lag=None)
    return joined + Operation(label, Order(tuple(np.argsort(order).tolist())))


EMITS: dict[str, Callable[[Any], list[Any]]] = {
    "Affine": _linear,
    "AvgPool2d": _pool,
    "Conv1d": _conv1d,
    "Conv2d": _conv,
    "Flatten": _flatten,
    "Linear": _linear,
    "Scale": _scale,
    "SumPool2d": _pool,
}


SAID = (
    "reset",
    "reset_by",
    "fires_at_threshold",
    "leak",
    "synaptic_leak",
    "min_v_mem",
    "gain",
    "bias",
    "weight",
)
CONSTANTS = (
    "r",
    "tau",
    "tau_mem",
    "tau_syn",
    "w_in",
    "v_leak",
    "v_threshold",
    "v_reset",
    "threshold",
)
TIMED = {"Delay", *SPIKING, *LEAKY} - {"Threshold"}  # whose equations have a time
LONGEST = 1.0  # seconds that a neuron may remember where nothing says how long a step is
# relative: NIR files hold float32, from which a leak or a factor 1 cannot be had any better
CLOSE = 1e-6


@dataclass(frozen=True)
class Rules:
    """The caller's words about a graph, because NIR has none; None takes a node's metadata, then
    NIR's equations.
    """

    dt: float  # seconds in a step
    # whether the caller or the file says so; if not, neurons for which it is implausible are
    # refused
    dt_known: bool
    reset: Reset | None
    fires_at_threshold: bool | None

    @property
    def reading(self) -> Reading:
        """The reading of NIR's equations, where no metadata say more."""
        reset: Any = "value" if self.reset in (None, "zero") else self.reset
        return Reading(self.dt, self.fires({}), reset)

    def fires(self, own_metadata: dict[str, Any]) -> bool:
        """True if a value that equals the threshold fires."""
        if self.fires_at_threshold is not None:
            return self.fires_at_threshold
        stored = np.asarray(own_metadata.get("fires_at_threshold", False))
        is_flag = stored.size == 1 and stored.dtype.kind in "bi"
        expect(
            is_flag,
            f"its metadata {KEY!r} say fires_at_threshold is {stored}",
            "true or false",
        )
        return bool(stored.item())

    def check_dt(self, implausible: bool, finding: str) -> None:
        """Refuse a step of 1e-4 s where neurons seem to mean one unit of time."""
        advice = "dt=1 if a step is one unit of time, as in files of sinabs"
        finding = f"got {finding} and no dt"
        expect(
            self.dt_known or not implausible,
            finding,
            f"{advice}, or dt={self.dt:g} if it is so many seconds",
        )


@dataclass(frozen=True)
class NirMembrane:
    """i ← synaptic_leak·i + drive·x, then v ← leak·v + i + offset, v counted from `rest`: numbers,
    or (C,) of them.
    """

    leak: Any
    drive: Any = 1.0
    offset: Any = 0.0
    synaptic_leak: Any = 0.0
    rest: Any = 0.0


def step_is_unsaid(nodes: Iterable[Any], dt: float) -> bool:
    """True if how long a step is changes what nodes do, and no constants show that it is `dt`: an
    input that is added as it is, r·dt/τ = 1, or r·dt = 1 without τ.
    """
    by_kind = [(kind_of(node), node) for node in nodes]
    timed = [node for kind, node in by_kind if kind in TIMED]
    for node in timed:
        time_constant = getattr(node, "tau", getattr(node, "tau_mem", 1.0))
        drive = np.asarray(getattr(node, "r", np.nan)) * dt / np.asarray(time_constant)
        if np.allclose(drive, 1, CLOSE, 0):
            return False
    return bool(timed)


def read_membrane(neuron: Named, rules: Rules) -> tuple[NirMembrane, dict[str, Any], Shape | None]:
    """One step of a node's neurons, its constants, and the map (C, H, W) that these say."""
    kind, dt = neuron.kind, rules.dt
    constants, shape = _constants(neuron)
    if kind == "Threshold":
        return NirMembrane(0.0), constants, shape
    resting_membrane = (
        _rest(neuron, constants) if kind.endswith("IF") and _reset(neuron, rules) == "zero" else 0.0
    )
    if kind in ("I", "IF"):
        rules.check_dt(bool(np.all(constants["r"] == 1)), "r = 1")
        return (
            NirMembrane(1.0, near_one(dt * constants["r"]), rest=resting_membrane),
            constants,
            shape,
        )

    def step(time_constant: str) -> Any:
        """dt/τ of a time constant τ."""
        least = np.min(constants[time_constant])
        rules.check_dt(bool(least >= LONGEST), f"{time_constant} = {least:g} s")
        expect(
            least >= dt * (1 - CLOSE),
            f"{time_constant} is {least:g} s",
            f"at least dt = {dt:g} s",
        )
        return near_one(dt / constants[time_constant])

    synaptic = kind.startswith("Cuba")
    membrane_step, synaptic_step = (
        step("tau_mem" if synaptic else "tau"),
        step("tau_syn") if synaptic else 1.0,
    )
    drive, offset = (
        constants["r"] * membrane_step,
        (constants["v_leak"] - resting_membrane) * membrane_step,
    )
    if synaptic:
        drive = drive * constants["w_in"] * synaptic_step
        at_rest = not np.any(offset * (1 - synaptic_step))
        expect(at_rest, "v_leak is not 0", "0 beside currents that outlast a step")
    return (
        NirMembrane(
            1 - membrane_step, near_one(drive), offset, 1 - synaptic_step, resting_membrane
        ),
        constants,
        shape,
    )


def read_neurons(neuron: Named, rules: Rules) -> tuple[LIF, Any, Shape | None]:
    """The neurons of a node that spikes, what their currents are multiplied by, and the map that
    the node says.
    """
    own_metadata = metadata(neuron.node, SAID)
    membrane, constants, shape = read_membrane(neuron, rules)
    leak, synaptic_leak = (
        _everywhere(from_metadata(own_metadata.get(quantity, computed), computed, quantity))
        for quantity, computed in (
            ("leak", membrane.leak),
            ("synaptic_leak", membrane.synaptic_leak),
        )
    )
    fires, (lowest, reset_by) = (
        rules.fires(own_metadata),
        (_everywhere(own_metadata.get(name)) for name in ("min_v_mem", "reset_by")),
    )
    if neuron.kind == "Threshold":
        threshold = _everywhere(constants["threshold"])
        return (
            LIF(leak, threshold, reset="zero", fires_at_threshold=fires, min_v_mem=lowest),
            1.0,
            shape,
        )
    reset: Any = _reset(neuron, rules)
    lif = LIF(
        leak,
        _everywhere(constants["v_threshold"] - membrane.rest),
        bias=_everywhere(membrane.offset),
        reset=reset,
        reset_by=reset_by if reset == str(own_metadata.get("reset", "zero")) else None,
        fires_at_threshold=fires,
        synaptic_leak=synaptic_leak,
        min_v_mem=lowest,
    )
    return lif, membrane.drive, shape


def read_integral(neuron: Named, rules: Rules) -> list[Any]:
    """A node of neurons that do not spike, whose last membranes are the answer, as operations."""
    membrane, _, _ = read_membrane(neuron, rules)
    outlasts = np.any(membrane.synaptic_leak)
    expect(
        not outlasts,
        "tau_syn is not dt",
        "it: currents of a readout do not outlast a step",
    )
    leaks = np.unique(membrane.leak)
    expect(len(leaks) == 1, "tau differs between neurons", "one for all classes")
    stored_leak = metadata(neuron.node, ("scale", "leak", "bias")).get("leak", leaks[0])
    leak = float(from_metadata(stored_leak, leaks[0], "leak"))
    return [Scale(membrane.drive), Shift(membrane.offset), Integral(leak)]


def _constants(neuron: Named) -> tuple[dict[str, Any], Shape | None]:
    """The constants of a node by name, each one number or (C,), and the map (C, H, W) that their
    arrays are of.
    """
    constants: dict[str, Any] = {}
    shape: Shape | None = None
    for name in CONSTANTS:
        if (value := getattr(neuron.node, name, None)) is None:
            continue
        array = numbers(value, name)
        if array.size == 1:
            constants[name] = array.item()
            continue
        constant_shape = shape_of(array.shape)
        expect(
            shape in (None, constant_shape),
            f"{name} has shape {array.shape}",
            text(shape or constant_shape),
        )
        shape, rows = constant_shape, array.reshape(len(array), -1)
        apart = (rows != rows[:, :1]).any(axis=1)
        differs = f"{name} differs between neurons of channel {apart.argmax()}"
        expect(not apart.any(), differs, "one per channel")
        constants[name] = rows[:, 0]
    return constants, shape


def _everywhere(constant: Any) -> Any:
    """A constant of channels as one that broadcasts with their map."""
    return constant if np.ndim(constant) == 0 else np.reshape(constant, (-1, 1, 1))


def _reset(neuron: Named, rules: Rules) -> str:
    return rules.reset or str(metadata(neuron.node, SAID).get("reset", "zero"))


def _rest(neuron: Named, constants: dict[str, Any]) -> Any:
    """To what a spike sets membranes, from where they are counted."""
    v_reset = constants.get("v_reset", 0.0)
    first = next(iter(np.ravel(v_reset)[np.flatnonzero(v_reset)]), 0.0)
    equal_reset = not first or (neuron.kind != "IF" and np.all(v_reset == constants["v_leak"]))
    expect(equal_reset, f"v_reset is {first:g}", "0, or the same as v_leak")
    return v_reset


def from_metadata(stored: Any, computed: Any, quantity: str) -> NDArray[np.float64]:
    """The value in the metadata, if it is the node's but for rounding."""
    exact = numbers(stored, quantity)
    same = exact.shape in ((), np.shape(computed)) and np.allclose(
        exact, computed, rtol=CLOSE, atol=CLOSE
    )
    expected = "the same numbers; remove the metadata to read the node alone"
    expect(same, f"its metadata {KEY!r} contradict it in {quantity}", expected)
    return exact


def near_one(factors: Any) -> Any:
    """Factors, with 1 for what differs from 1 by rounding alone."""
    return np.where(np.isclose(factors, 1, rtol=0, atol=CLOSE), 1.0, factors)
