"""A layer of a `.net` file as a layer in fixed point: its integers as they are, in Loihi's arithmetic.

    u[t] = rz(u[t-1]·(4096 - iDecay), 12) + 64·(W ⊛ s_before[t-1])
    v[t] = rz(v[t-1]·(4096 - vDecay), 12) + u[t] + 64·bias          v[t-1] counts as 0 where s[t-1] = 1
    s[t] = 1 if v[t] > 64·vThMant

So a gain is 64, and rounds nothing. Weights of lava-dl are up to 256 in steps of 2, and 8 bits hold up to 127. Where
they do not fit, they are divided by what divides all, and the gain is multiplied by it: the product is the same. What
is left then is the weight of a second input from the same layer, whose currents are added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import WEIGHT_LIMIT, FixedLIF, Input, Layer, NetworkError, Readout, Shape
from spikesam.backends.network.checks import whole
from spikesam.backends.network.inputs import GAIN_LIMIT
from spikesam.pipeline.imports.delays import delayed
from spikesam.pipeline.imports.kernels import undilated, ungrouped
from spikesam.pipeline.imports.netx.files import Node

UNIT = 64  # of a membrane: weights, biases and thresholds are in such units
NEVER = (1 << 17) - 1  # a threshold that an output has which is read as a membrane: Loihi's largest
MOST_INPUTS = 3  # of a layer: so many times 8 bits hold any weight of 9 bits
MOST_WEIGHTS = 1 << 28  # of a layer, once groups and dilation are written as zeros


def integers(node: Node, name: str) -> NDArray[np.int64]:
    """An array of whole numbers, however they are stored."""
    if name not in node.values:
        raise NetworkError(f"{node.where}: has no {name}, expected one")
    return _whole(node.values[name], name, node.where)


def sides(node: Node, name: str, least: int) -> tuple[int, int]:
    """(y, x) of a setting of a convolution, which may be one number."""
    found = integers(node, name).ravel().tolist()
    if len(found) not in (1, 2):
        raise NetworkError(f"{node.where}: {name} has {len(found)} numbers, expected one, or two (y, x)")
    y, x = (whole(number, name, node.where, least) for number in (found[0], found[-1]))
    return y, x


def declared(node: Node, shape: Shape | None = None) -> Shape:
    """(C, H, W) as the file says it, (N, 1, 1) where that is one number; refused if it should be another."""
    said = integers(node, "shape").ravel().tolist()
    if len(said) not in (1, 3):
        raise NetworkError(f"{node.where}: shape is {tuple(said)}, expected (C, H, W) or (N,)")
    channels, height, width = (whole(side, "a side of shape", node.where, 1) for side in (*said, 1, 1)[:3])
    found = (channels, height, width)
    flat = node.kind in ("flatten", "dense", "average") and shape is not None
    if shape is not None and (math.prod(found) != math.prod(shape) if flat else found != shape):
        raise NetworkError(f"{node.where}: shape is {found}, expected {shape} of its weights and the layer before it")
    return found


def pixels(node: Node, shape: Shape, fires_at_threshold: bool) -> Layer:
    """The neurons of an input layer, each driven by its own pixel at every step."""
    channels = shape[0]
    check_weights(node, channels * channels)
    neuron = neurons(node, np.zeros(channels, np.int64), 0, 1, fires_at_threshold)
    if np.any(neuron.synaptic_decay != 4096):
        raise NetworkError(f"{node.where}: iDecay is {neuron.synaptic_decay}, expected 4096 of an input layer")
    return Layer("image", Input(np.eye(channels, dtype=np.int8)[:, :, None, None], gain=UNIT), neuron)


def layer(
    node: Node, name: str, before: str, shape: Shape, silent: int, timesteps: int, fires_at_threshold: bool
) -> Layer:
    """The layer behind that of a name and a map (C, H, W), without bias in the first `silent` steps."""
    weights, unit = eight_bits(node, synapses(node, shape))
    neuron = neurons(node, biases(node, len(weights[0])), silent, timesteps, fires_at_threshold)
    least = {} if node.kind == "dense" else {"stride": 1, "padding": 0}
    ways: dict[str, Any] = {way: sides(node, way, smallest) for way, smallest in least.items()}
    made = Layer(name, tuple(Input(weight, before, UNIT * unit, **ways) for weight in weights), neuron)
    declared(node, made.inputs[0].output_shape(shape))
    return made


def readout(node: Node, shape: Shape, silent: int, timesteps: int) -> Readout:
    """An output that does not fire: the sum of what arrives, in units of the weights; T times the logits."""
    (weight, *others), unit = eight_bits(node, synapses(node, shape))
    if others:
        raise NetworkError(f"{node.where}: weights take more than 8 bits, expected at most 8 of an output")
    if weight.shape[1] != math.prod(shape):
        raise NetworkError(
            f"{node.where}: weight expects {weight.shape[1]} inputs, the layer before it has {math.prod(shape)}"
        )
    declared(node, (len(weight), 1, 1))
    bias = biases(node, len(weight))
    if (bias % unit).any():
        raise NetworkError(f"{node.where}: bias is no multiple of {unit}, expected one, as of the weights")
    _expect(node, iDecay=4096, vDecay=0)  # a sum that does not leak: in other units, leaks would round otherwise
    rows = delayed((bias // unit).astype(np.float64), silent, timesteps).astype(np.int32)
    return Readout(weight, float(unit), 1.0, rows)


def synapses(node: Node, shape: Shape) -> NDArray[np.int64]:
    """(out, in) weights of a dense layer, or (out, in, y, x), without groups and dilation."""
    weight = integers(node, "weight")
    if node.kind == "dense":
        outputs = math.prod(declared(node))
        if not weight.size or weight.size % outputs:
            raise NetworkError(f"{node.where}: weight has shape {weight.shape}, expected ({outputs}, inputs)")
        return weight.reshape(outputs, -1)
    if weight.ndim not in (4, 5) or 0 in weight.shape or math.prod(weight.shape[4:]) != 1:
        raise NetworkError(f"{node.where}: weight has shape {weight.shape}, expected (out, in, y, x)")
    channels, spacing = shape[0], sides(node, "dilation", 1)
    pool = node.kind == "pool" and weight.shape[:2] == (1, 1)  # one window for every channel
    outputs, groups = (channels, channels) if pool else (len(weight), _one(node, "groups"))
    if outputs % groups or weight.shape[1] * groups != channels:
        raise NetworkError(
            f"{node.where}: weight has shape {weight.shape} in {groups} groups, the layer before it has {channels} "
            "channels"
        )
    extent = [(side - 1) * gap + 1 for side, gap in zip(weight.shape[2:4], spacing, strict=True)]
    check_weights(node, outputs * channels * math.prod(extent))
    kernels = weight.reshape(weight.shape[:4]).repeat(channels if pool else 1, axis=0)
    return undilated(ungrouped(kernels, groups), spacing)


def eight_bits(node: Node, weight: NDArray[np.int64]) -> tuple[list[NDArray[np.int8]], int]:
    """Weights as a sum of such in 8 bits, and how much a unit is: one such and 1, unless they are too large for it."""
    largest, common = int(np.abs(weight).max()), int(np.gcd.reduce(weight, axis=None))
    units = [unit for unit in range(1, GAIN_LIMIT // UNIT + 1) if common % unit == 0]
    unit = next((unit for unit in units if largest <= WEIGHT_LIMIT * unit), units[-1])
    if largest > MOST_INPUTS * WEIGHT_LIMIT * unit:
        raise NetworkError(
            f"{node.where}: weights are up to {largest} in steps of {unit}, expected at most "
            f"{MOST_INPUTS * WEIGHT_LIMIT} steps"
        )
    parts: list[NDArray[np.int8]] = []
    left = weight // unit
    while not parts or left.any():
        parts.append(np.clip(left, -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8))
        left = left - parts[-1]
    return parts, unit


def biases(node: Node, channels: int) -> NDArray[np.int64]:
    """(C,) — 0 where there are none."""
    if "bias" not in node.values:
        return np.zeros(channels, np.int64)
    bias = integers(node, "bias").ravel()
    if len(bias) not in (1, channels):
        raise NetworkError(f"{node.where}: bias has {len(bias)} numbers, expected one for each of {channels} channels")
    return np.broadcast_to(bias, channels)


def neurons(node: Node, bias: NDArray[np.int64], silent: int, timesteps: int, fires_at_threshold: bool) -> FixedLIF:
    """The neurons of a layer."""
    decay, synaptic_decay, threshold = (_constant(node, name) for name in ("vDecay", "iDecay", "vThMant"))
    _expect(node, refDelay=1, wgtExp=0, gradedSpike=0, messageBits=0)
    if "delay" in node.values and node.values["delay"].any():
        raise NetworkError(f"{node.where}: has delays of its axons, expected none but the one step of each layer")
    if bias.any() and np.any(synaptic_decay != 4096):
        raise NetworkError(f"{node.where}: has a bias and a current that outlasts its step, expected either")
    rows: Any = delayed((UNIT * bias).astype(np.float64), silent, timesteps).astype(np.int64)
    return FixedLIF(
        decay,
        bias=rows,
        reset="zero",
        fires_at_threshold=fires_at_threshold,
        synaptic_decay=synaptic_decay,
        threshold=UNIT * threshold,
    )


def check_weights(node: Node, count: int) -> None:
    """Refuse weights that would take more memory than any network needs, before they are made."""
    if count > MOST_WEIGHTS:
        raise NetworkError(f"{node.where}: {count:,} weights, expected at most {MOST_WEIGHTS:,}")


def _constant(node: Node, name: str) -> Any:
    """A constant of neurons: an integer, or (C,) integers."""
    if node.neuron is None or name not in node.neuron:
        raise NetworkError(f"{node.where}: its neurons have no {name}, expected one")
    found = _whole(node.neuron[name], name, node.where).ravel()
    return found.item() if found.size == 1 else found


def _whole(numbers: NDArray[Any], what: str, where: str) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):
        found = numbers.astype(np.float64)
    if not np.array_equal(np.rint(found), found) or not np.abs(found).max(initial=0) < 1 << 31:
        raise NetworkError(f"{where}: {what} holds other numbers than integers below 2³¹, expected integers")
    return found.astype(np.int64)


def _expect(node: Node, **constants: int) -> None:
    """Refuse neurons whose constants, where the file says them, are others."""
    for name, expected in constants.items():
        found = (node.neuron or {}).get(name, np.array(expected))
        if (found != expected).any():
            said = found.item() if found.size == 1 else f"an array of {found.shape}"
            raise NetworkError(f"{node.where}: {name} is {said}, expected {expected} of these neurons")


def _one(node: Node, name: str) -> int:
    found = integers(node, name)
    return whole(found.item() if found.size == 1 else found.tolist(), name, node.where, 1)
