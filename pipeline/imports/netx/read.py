"""From lava-dl's `.net` files: a network that was trained for Loihi, in its own integers, in
Loihi's arithmetic.

    u[t] = rz(u[t-1]·(4096 - iDecay), 12) + 64·(W ⊛ s_before[t-1])
    v[t] = rz(v[t-1]·(4096 - vDecay), 12) + u[t] + 64·bias
                                                       v[t-1] counts as 0 where s[t-1] = 1
    s[t] = 1 if v[t] > 64·vThMant

So a gain is 64, and rounds nothing. Weights of lava-dl are up to 256 in steps of 2, and 8 bits hold
up to 127. Where they do not fit, they are divided by what divides all, and the gain is multiplied
by it: the product is the same. What is left then is the weight of a second path from the same
layer, whose currents are added.
"""

from __future__ import annotations

import math
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import WEIGHT_LIMIT, Encoder, FixedLIF, Network, NetworkError, Shape
from spikesam.backends.network.checks import whole, yes_or_no
from spikesam.backends.network.consistency import LONGEST
from spikesam.backends.network.inputs import GAIN_LIMIT
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.pipeline.imports.netx._files import FileLayer, read_layers
from spikesam.pipeline.imports.road.build import build
from spikesam.pipeline.imports.road.constants import lag_of
from spikesam.pipeline.imports.road.kernels import around
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    Answer,
    Convolve,
    DeclaredShape,
    Linear,
    Operation,
    Path,
    Scale,
    Shift,
    Unit,
    expect,
)

Lag = int | tuple[int, ...]  # steps, of each channel where they differ

NAMES = {"conv": "conv", "pool": "pool", "dense": "fc"}
UNIT = 64  # of a membrane: weights, biases and thresholds are in such units
LONGEST_AXON = 62  # steps of a delay on Loihi, at which netx cuts longer ones
NEVER = (1 << 17) - 1  # a threshold that an output has which is read as a membrane: Loihi's largest
MOST_PATHS = 3  # to a layer: so many times 8 bits hold any weight of 9 bits


@checked_arguments
def from_netx(
    path: str | PathLike[str], timesteps: int | None = None, *, fires_at_threshold: bool = False
) -> Network:
    """A network of Loihi's own numbers, from a `.net` file that lava-dl wrote, which Lava's netx
    reads.

    Weights, biases, thresholds and decays are integers and stay what they are; nothing is rescaled,
    and the spikes are those of Lava and the chip, to the last bit. Read are layers input, conv,
    pool, dense, flatten and average, with neurons CUBA and LOIHI.

    A layer costs one step on the chip as here. netx resets layer l at step l, so that its bias
    begins there: the network takes as many steps more than the input as it has layers, or as a
    spike takes at least where axons have delays, and layer l has no bias before anything can have
    arrived. Where the file has an input layer, its neurons are the network's first layer, "image",
    which a constant current drives: the integer that the file's user gives a pixel, -127 … 127,
    which on the chip is made of `weight` and `bias` of the input layer. They fire one step later
    than on the chip, as then does every layer. Give the pixels as 2/127 of these integers, see
    :func:`spikesam.simulate`.

    Delays of axons, of whole steps, are those of the channels that are read, see :class:`Source`,
    in dense layers, and without a bias in the same layer. Neurons fire when lava-dl's do, and their
    spikes arrive later; netx lets them fire later instead. Behind the last layer neurons named
    "answer" repeat them, late, for the readout.

    An output that does not fire (the largest threshold, or no neurons) is the readout, which is its
    membrane in units of 64; a logit is that divided by the network's steps. Otherwise spikes are
    counted.

    Parameters
    ----------
    path : of the file
    timesteps : steps of the input; those that the file says if not given
    fires_at_threshold : whether a membrane that equals its threshold fires. It does not on the
        chip, nor in lava-dl 0.6; it did in earlier ones

    Returns
    -------
    a network in fixed point, with encoder "constant-current" if the file has an input layer with
        neurons, else "spikes"

    Raises
    ------
    InputError : naming the file, and the layer that cannot be expressed exactly

    Examples
    --------
    What lava-dl writes of one neuron, and the network of it:

    >>> import h5py
    >>> with h5py.File("one.net", "w") as file:
    ...     layer = file.create_group("layer/0")
    ...     layer["type"], layer["shape"] = [b"dense"], [1]
    ...     layer["inFeatures"], layer["weight"] = 1, [[10]]
    ...     constants = {"type": "CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 25}
    ...     for name, value in constants.items():
    ...         layer[f"neuron/{name}"] = value
    >>> import spikesam
    >>> network = spikesam.from_netx("one.net", timesteps=20)
    >>> network.precision, network.layers[0].neuron.threshold
    ('fixed', 1600)
    """
    layers, steps = read_layers(path)
    try:
        with at("from_netx"):
            at_threshold = yes_or_no(fires_at_threshold, "fires_at_threshold")
        if timesteps is None and steps is None:
            raise NetworkError(
                "from_netx: got no timesteps, which this file does not say; expected those of the "
                "input"
            )
        with at("from_netx"):
            asked_steps = whole(steps if timesteps is None else timesteps, "timesteps", 1, LONGEST)
        return _network(layers, asked_steps, at_threshold)
    except InputError as error:
        raise NetworkError(f"{path}: {' '.join(str(error).split())}") from None


def _network(layers: list[FileLayer], timesteps: int, at_threshold: bool) -> Network:
    first = layers[0]
    encoder: Encoder = (
        "constant-current" if first.kind == "input" and first.neuron is not None else "spikes"
    )
    *body, last = layers[first.kind == "input" :] or [first]
    membranes = last.kind == "dense" and _never_fires(last)
    firing = [
        layer
        for layer in (body if membranes or last.kind == "average" else [*body, last])
        if layer.kind in NAMES
    ]
    for layer in layers:
        ends = layer is first if layer.kind == "input" else layer is last or layer.kind != "average"
        with at(layer.label):
            expect(ends, "stands inside the network", "an input first, an average last")
    with at(first.label):
        shape = _input_shape(first)
        units = [_pixels(first, at_threshold)] if encoder == "constant-current" else []
    path, shape_read = Path(units[-1].name if units else INPUT), shape
    lags = [0] * len(units)  # of the first spikes that each layer reads
    for layer in firing:
        earlier_layers = firing[: firing.index(layer)]
        count = 1 + sum(earlier_layer.kind == layer.kind for earlier_layer in earlier_layers)
        name = f"{NAMES[layer.kind]}{count}"
        with at(layer.label):
            lag_in, lag_out = delays(layer, shape_read)
            path = path.later(lag_in)
            units.append(_unit(layer, name, path, at_threshold))
            lags.append(int(np.min(path.lag or 0)))
            path, shape_read = Path(name).later(lag_out), declared(layer)
    if not units:
        raise NetworkError("expected neurons that spike, got none")
    for layer in layers:  # of all others
        if layer not in firing:
            with at(layer.label):
                lag_in, lag_out = delays(layer, shape_read)
                expect(not np.any(lag_out), "has delays of axons that nothing fires", "none there")
            path = path.later(lag_in)
    if np.any(path.lag):
        repeating = FixedLIF(4096, reset="zero", threshold=UNIT // 2)
        units.append(_one_to_one("answer", last.label, repeating, path))
        lags.append(int(np.min(path.lag or 0)))
        path = Path(units[-1].name)
    answer = Answer(path)
    with at(last.label):
        if last.kind == "average":
            answer = _mean(last, math.prod(shape_read), answer.path)
        elif membranes:
            answer = _membranes(last, answer.path)
    depth = 0  # of the last layer, see road/build.py
    for lag in lags:
        depth = max(1, depth + 1 - lag)
    steps = timesteps + depth + sum(lags)  # until the last of the input arrives
    return build(
        units, answer, shape, None, timesteps=steps, encoder=encoder, in_order=True
    ).network


def _input_shape(first: FileLayer) -> Shape:
    if first.kind == "input":
        return declared(first)
    if first.kind == "dense" and "inFeatures" in first.values:
        return _one(first, "inFeatures"), 1, 1
    raise NetworkError("stands first, expected a layer input, which says the shape, or dense")


def _never_fires(layer: FileLayer) -> bool:
    return layer.neuron is None or bool(np.all(layer.neuron.get("vThMant", 0) >= NEVER))


def _pixels(layer: FileLayer, at_threshold: bool) -> Unit:
    """The neurons of an input layer, each driven by its own pixel at every step."""
    neuron = neurons(layer, at_threshold)
    expect(
        np.all(neuron.synaptic_decay == 4096),
        f"iDecay is {neuron.synaptic_decay}",
        "4096 of an input",
    )
    return _one_to_one("image", layer.label, neuron, Path(INPUT))


def _one_to_one(name: str, label: str, neuron: FixedLIF, path: Path) -> Unit:
    """Neurons that are driven each by one of those in front."""
    kinds = Convolve(np.ones((1, 1, 1, 1), np.int8), groups=0), Scale(UNIT)
    return Unit(
        name,
        label,
        name,
        neuron,
        (replace(path, operations=tuple(Operation(label, kind) for kind in kinds)),),
    )


def _unit(layer: FileLayer, name: str, path_in: Path, at_threshold: bool) -> Unit:
    (weight, *further_weights), unit = eight_bits(layer, weights(layer))
    bias, neuron = biases(layer), neurons(layer, at_threshold)
    lasts = bias.any() and np.any(neuron.synaptic_decay != 4096)
    expect(not lasts, "has a bias and a current that outlasts its step", "either")
    declared_shape = DeclaredShape(declared(layer), flat=layer.kind == "dense")
    driven: list[Any] = [
        weighted_operation(layer, weight),
        Scale(UNIT * unit),
        Shift(UNIT * bias),
        declared_shape,
    ]
    further_paths = [
        [weighted_operation(layer, further_weight), Scale(UNIT * unit)]
        for further_weight in further_weights
    ]
    paths = (
        replace(path_in, operations=tuple(Operation(layer.label, kind) for kind in path))
        for path in (driven, *further_paths)
    )
    return Unit(name, layer.label, name, neuron, tuple(paths))


def _membranes(layer: FileLayer, path: Path) -> Answer:
    """An output that does not fire: the sum of what arrives, in units of the weights; T times the
    logits.
    """
    (weight, *further_weights), unit = eight_bits(layer, weights(layer))
    expect(not further_weights, "weights take more than 8 bits", "at most 8 of an output")
    bias = biases(layer)
    expect(
        not (bias % unit).any(),
        f"bias is no multiple of {unit}",
        "one, as of the weights",
    )
    # a sum that does not leak: in other units, leaks would round otherwise
    _expect(layer, iDecay=4096, vDecay=0)
    declared_shape = DeclaredShape(declared(layer), flat=True)
    operations = (
        Operation(layer.label, kind)
        for kind in (weighted_operation(layer, weight), Shift(bias // unit), declared_shape)
    )
    return Answer(Path(path.source, tuple(operations)), float(unit))


def _mean(layer: FileLayer, neurons: int, path: Path) -> Answer:
    """The mean of the spikes of as many groups of neurons as there are classes."""
    classes = math.prod(declared(layer))
    expect(
        neurons % classes == 0,
        f"{classes} means of {neurons} neurons",
        "a number that divides them",
    )
    groups = Linear(np.eye(classes, dtype=np.int8).repeat(neurons // classes, axis=1))
    return Answer(path + Operation(layer.label, groups), classes / neurons)


def integers(layer: FileLayer, name: str) -> NDArray[np.int64]:
    """An array of whole numbers, however they are stored."""
    expect(name in layer.values, f"has no {name}", "one")
    return _whole(layer.values[name], name)


def declared(layer: FileLayer) -> Shape:
    """(C, H, W) as the file says it, (N, 1, 1) where that is one number."""
    stored_shape = integers(layer, "shape").ravel().tolist()
    expect(
        len(stored_shape) in (1, 3),
        f"shape is {tuple(stored_shape)}",
        "(C, H, W) or (N,)",
    )
    channels, height, width = (
        whole(side, "a side of shape", 1) for side in (*stored_shape, 1, 1)[:3]
    )
    return channels, height, width


def weights(layer: FileLayer) -> NDArray[np.int64]:
    """(out, in) weights of a dense layer, or (out, in/groups, y, x)."""
    weight = integers(layer, "weight")
    if layer.kind == "dense":
        outputs = math.prod(declared(layer))
        fits = weight.size and not weight.size % outputs
        expect(fits, f"weight has shape {weight.shape}", f"({outputs}, inputs)")
        return weight.reshape(outputs, -1)
    fits = weight.ndim in (4, 5) and weight.size and math.prod(weight.shape[4:]) == 1
    expect(fits, f"weight has shape {weight.shape}", "(out, in, y, x)")
    return weight.reshape(weight.shape[:4])


def weighted_operation(layer: FileLayer, weight: NDArray[np.int8]) -> Linear | Convolve:
    """The operation of a layer; one kernel of a pool is for every channel."""
    if layer.kind == "dense":
        return Linear(weight)
    pool = layer.kind == "pool" and weight.shape[:2] == (1, 1)
    stride, dilation, padding = (
        _sides(layer, name, least)
        for name, least in (("stride", 1), ("dilation", 1), ("padding", 0))
    )
    return Convolve(
        weight, None, stride, around(padding, ()), dilation, 0 if pool else _one(layer, "groups")
    )


def eight_bits(layer: FileLayer, weight: NDArray[np.int64]) -> tuple[list[NDArray[np.int8]], int]:
    """Weights as a sum of such in 8 bits, and how much a unit is: one such and 1, unless they are
    too large for it.
    """
    largest, common = int(np.abs(weight).max()), int(np.gcd.reduce(weight, axis=None))
    units = [unit for unit in range(1, GAIN_LIMIT // UNIT + 1) if common % unit == 0]
    unit = next((unit for unit in units if largest <= WEIGHT_LIMIT * unit), units[-1])
    largest_sum = MOST_PATHS * WEIGHT_LIMIT
    expect(
        largest <= largest_sum * unit,
        f"weights are up to {largest} in steps of {unit}",
        f"at most {largest_sum} steps",
    )
    parts: list[NDArray[np.int8]] = []
    left = weight // unit
    while not parts or left.any():
        parts.append(np.clip(left, -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8))
        left = left - parts[-1]
    return parts, unit


def biases(layer: FileLayer) -> NDArray[np.int64]:
    """One, or (C,) — 0 where there are none."""
    return integers(layer, "bias").ravel() if "bias" in layer.values else np.zeros(1, np.int64)


def delays(layer: FileLayer, shape_read: Shape) -> tuple[Lag, Lag]:
    """Steps by which what a layer reads, of a map of `shape_read`, and what it fires, arrives later
    than else.

    lava-dl has a delay for each neuron that fires, or that is read. netx lets the currents of a
    neuron wait, which then fires so much later: without a bias that is all.
    """
    steps = integers(layer, "delay") if "delay" in layer.values else np.zeros((), np.int64)
    if not steps.any():
        return 0, 0
    expect(
        layer.kind == "dense",
        "has delays of its axons",
        "them in dense layers, where netx reads them",
    )
    least, longest = steps.min(), steps.max()
    expect(
        least >= 0 and longest <= LONGEST_AXON,
        f"delays are {least} … {longest}",
        f"0 … {LONGEST_AXON} steps",
    )
    outputs, inputs = weights(layer).shape
    expected = f"({outputs},), one for each neuron, or ({inputs},), for each that it reads"
    expect(
        steps.shape in ((), (outputs,), (inputs,)),
        f"delay has shape {steps.shape}",
        expected,
    )
    if steps.shape == (inputs,) != (outputs,):
        return lag_of(steps, shape_read), 0
    expect(not biases(layer).any(), "has a bias and delays of its axons", "either")
    return 0, lag_of(steps, declared(layer))


def neurons(layer: FileLayer, fires_at_threshold: bool) -> FixedLIF:
    """The neurons of a layer, still without their bias."""
    decay, synaptic_decay, threshold = (
        _constant(layer, name) for name in ("vDecay", "iDecay", "vThMant")
    )
    _expect(layer, refDelay=1, wgtExp=0, gradedSpike=0, messageBits=0)
    constants = {"fires_at_threshold": fires_at_threshold, "threshold": UNIT * threshold}
    return FixedLIF(decay, reset="zero", synaptic_decay=synaptic_decay, **constants)


def _constant(layer: FileLayer, name: str) -> Any:
    if layer.neuron is None or name not in layer.neuron:
        raise NetworkError(f"its neurons have no {name}, expected one")
    numbers = _whole(layer.neuron[name], name).ravel()
    return numbers.item() if numbers.size == 1 else numbers


def _whole(numbers: NDArray[Any], quantity: str) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):
        integral = numbers.astype(np.float64)
    integers = (
        np.array_equal(np.rint(integral), integral) and np.abs(integral).max(initial=0) < 1 << 31
    )
    expect(integers, f"{quantity} holds other numbers than integers below 2³¹", "integers")
    return integral.astype(np.int64)


def _expect(layer: FileLayer, **constants: int) -> None:
    """Refuse neurons whose constants, where the file says them, are others."""
    for name, expected in constants.items():
        stored = (layer.neuron or {}).get(name, np.array(expected))
        shown = stored.item() if stored.size == 1 else f"an array of {stored.shape}"
        expect(
            (stored == expected).all(),
            f"{name} is {shown}",
            f"{expected} of these neurons",
        )


def _one(layer: FileLayer, name: str) -> int:
    numbers = integers(layer, name)
    return whole(numbers.item() if numbers.size == 1 else numbers.tolist(), name, 1)


def _sides(layer: FileLayer, name: str, least: int) -> tuple[int, int]:
    """(y, x) of a setting of a convolution, which may be one number."""
    numbers = integers(layer, name).ravel().tolist()
    expect(
        len(numbers) in (1, 2),
        f"{name} has {len(numbers)} numbers",
        "one, or two (y, x)",
    )
    y, x = (whole(number, name, least) for number in (numbers[0], numbers[-1]))
    return y, x
