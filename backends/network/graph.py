"""Network: a spiking network as plain, checked, frozen data, and the arithmetic it stands for.

For steps t = 0 … T-1 and layers l = 1 … L, with s_0 the encoded input:

    a_l[t] = W_l ⊛ pool(s_{l-1}[t-1])                   a_l[0] = 0
    i_l[t] = g_l[t-1] · a_l[t] + b_l[t-1]               i_l[0] = 0
    v_l[t] = leak · v_l[t-1] + i_l[t] - threshold · s_l[t-1]
    s_l[t] = 1 if v_l[t] > threshold else 0
    readout = Σ_{t=0}^{T-1} W_out s_L[t]

⊛ is correlation (torch's conv2d) or a matrix product on the C-order flattened map. In fixed point the same holds in
integers (see quantise.py). With the encoder "constant-current" there are no input spikes: layer 1 receives the same
a_1[t] at every step t ≥ 1, computed once from an int8 image (see constant_current.py). A network of your own weights:

    network = Network(
        input_shape=(6, 32, 32),  # ON and OFF planes of an RGB image
        timesteps=16,
        layers=(
            Layer("conv1", np.concatenate([w1, -w1], axis=1), LIF(leak=0.99), padding=1),
            Layer("conv2", w2, LIF(leak=0.99, threshold=0.8), pool=2, padding=1),
            Layer("fc1", w3, LIF(leak=0.99), pool=2),
        ),
        readout=Readout(w_out),
    )
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError

Shape = tuple[int, int, int]
Encoder = Literal["poisson", "constant-current"]

THETA = 1 << 12  # the threshold in fixed point
MEMBRANE_LIMIT = (1 << 23) - 1  # v saturates here in fixed point
CURRENT_LIMIT = 1 << 23  # Lava's Conv wraps at 24 bits, so no sum of weights may reach this
WEIGHT_LIMIT = 127  # the largest magnitude of an int8 weight: Lava's Dense clips -128
PIXEL_LIMIT = 127  # the largest magnitude of a constant-current pixel, an int8; it stands for 1


class NetworkError(InputError):
    """The parts of a network do not fit together, or could overflow."""


@dataclass(frozen=True, eq=False)
class LIF:
    """Leaky integrate-and-fire neuron with delayed soft reset, in real numbers (Kim & Panda 2021, Eq. 2-4).

    Parameters
    ----------
    leak : float in [0, 1], per step — the paper's λ, snnTorch's beta; 1 is the integrate-and-fire neuron
    threshold : float > 0
    gain, bias : scalar, (1, C) or (T, C) float64 — per channel and, with BNTT, per step; `g` and `b` above. Kept in
        double precision so that quantising rounds once
    """

    leak: float
    threshold: float = 1.0
    gain: Any = 1.0
    bias: Any = 0.0


@dataclass(frozen=True, eq=False)
class FixedLIF:
    """The same neuron in integers; made by :func:`backends.network.quantise.quantise`.

        v[t] = sat24( rz(v[t-1]·(4096 - decay), 12) + rz(a[t]·gain[t-1], shift) + bias[t-1] - 4096·s[t-1] )
        rz(x, n) = sign(x) · (|x| >> n)

    Parameters
    ----------
    decay : int in [0, 4096] — Loihi's dv
    shift : int in [0, 30]
    gain : (1, C) or (T, C) int32, magnitude ≤ 32767
    bias : (1, C) or (T, C) int32
    """

    decay: int
    shift: int
    gain: NDArray[np.int32]
    bias: NDArray[np.int32]

    @property
    def leak(self) -> float:
        """1 - decay / 4096."""
        return 1 - self.decay / THETA

    @property
    def threshold(self) -> int:
        """The threshold in membrane units, the same for every layer."""
        return THETA


@dataclass(frozen=True, eq=False)
class Layer:
    """One synapse layer and the neurons it drives: average pooling, then convolution or matrix product, then spikes.

    Parameters
    ----------
    name : short identifier such as "conv1"
    weight : (out, in, y, x) for a convolution or (out, in) for a dense layer; float32, or
        int8 in fixed point, -127 … 127
    neuron : LIF, or FixedLIF in fixed point
    pool : side of the average pooling in front (fixed point sums instead; the gain absorbs the factor)
    stride, padding : of the convolution, after pooling
    """

    name: str
    weight: NDArray[Any]
    neuron: LIF | FixedLIF
    pool: int = 1
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        where = f"layer {self.name!r}"
        if not (self.name.isascii() and self.name.isidentifier()):
            raise NetworkError(f"{where}: a name is ASCII letters, digits and underscores, such as 'conv1'")
        if self.weight.ndim not in (2, 4) or 0 in self.weight.shape:
            raise NetworkError(
                f"{where}: weight has shape {self.weight.shape}, expected (out, in, y, x) for a convolution "
                "or (out, in) for a dense layer"
            )
        fixed = isinstance(self.neuron, FixedLIF)
        _set_array(self, "weight", self.weight, np.int8 if fixed else np.float32, where)
        _check_weight(self.weight, where)
        if self.pool < 1 or self.stride < 1 or self.padding < 0:
            raise NetworkError(
                f"{where}: pool {self.pool}, stride {self.stride}, padding {self.padding}; "
                "expected pool ≥ 1, stride ≥ 1, padding ≥ 0"
            )
        if self.kind == "dense" and (self.stride, self.padding) != (1, 0):
            raise NetworkError(f"{where}: a dense layer has neither stride nor padding")
        channels = self.weight.shape[0]
        for field in ("gain", "bias"):
            value = np.asarray(getattr(self.neuron, field))
            if value.ndim == 0:
                value = np.full((1, channels), value)
            if value.ndim != 2 or value.shape[1] != channels or not len(value):
                raise NetworkError(
                    f"{where}: {field} has shape {value.shape}, expected (1, {channels}) or (T, {channels})"
                )
            _set_array(self.neuron, field, value, np.int32 if fixed else np.float64, where)
        if isinstance(self.neuron, FixedLIF):
            if not (0 <= self.neuron.decay <= THETA and 0 <= self.neuron.shift <= 30):
                raise NetworkError(
                    f"{where}: decay {self.neuron.decay}, shift {self.neuron.shift} outside 0…4096, 0…30"
                )
            if np.abs(self.neuron.gain).max() > 32767 or np.abs(self.neuron.bias.astype(np.int64)).max() > 1 << 30:
                raise NetworkError(f"{where}: |gain| must be ≤ 32767 and |bias| ≤ 2³⁰ in fixed point")
            if self.largest_current >= CURRENT_LIMIT:
                raise NetworkError(
                    f"{where}: the int8 weights of one neuron sum to {self.largest_current:,} in magnitude, which "
                    f"could pass 2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron or less pooling"
                )
        elif not (0 <= self.neuron.leak <= 1 and self.neuron.threshold > 0 and np.isfinite(self.neuron.threshold)):
            raise NetworkError(
                f"{where}: leak {self.neuron.leak}, threshold {self.neuron.threshold}; "
                "expected 0 ≤ leak ≤ 1 and threshold > 0"
            )

    @property
    def averaged_weight(self) -> NDArray[Any]:
        """The weights of the unpooled map: pooling averages in float32, and sums in fixed point."""
        return self.weight if self.weight.dtype == np.int8 else self.weight / np.float32(self.pool**2)

    @property
    def kind(self) -> str:
        """Either "conv" or "dense"."""
        return "conv" if self.weight.ndim == 4 else "dense"

    @cached_property
    def largest_current(self) -> int:
        """The largest |a| any neuron can reach, were all its inputs to spike: max Σ|W|·pool²."""
        sums = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1).sum(axis=1)
        return int(sums.max()) * self.pool**2

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) of this layer's spikes for an input of (C, H, W); refuses what does not fit."""
        channels, height, width = shape
        where = f"layer {self.name!r}"
        if height % self.pool or width % self.pool:
            raise NetworkError(
                f"{where}: pooling {self.pool} does not divide its {height}×{width} input; "
                f"choose a size whose sides are multiples of {self.pool} there"
            )
        height, width = height // self.pool, width // self.pool
        if self.kind == "dense":
            inputs = channels * height * width
            if self.weight.shape[1] != inputs:
                raise NetworkError(
                    f"{where}: weight expects {self.weight.shape[1]} inputs, the pooled map before it has "
                    f"{channels}×{height}×{width} = {inputs}"
                )
            return (self.weight.shape[0], 1, 1)
        if self.weight.shape[1] != channels:
            raise NetworkError(
                f"{where}: weight expects {self.weight.shape[1]} channels, the layer before it has {channels}"
            )
        rows, columns = (
            (side + 2 * self.padding - kernel) // self.stride + 1
            for side, kernel in zip((height, width), self.weight.shape[2:], strict=True)
        )
        if rows < 1 or columns < 1:
            raise NetworkError(
                f"{where}: kernel {self.weight.shape[2:]} does not fit its {height}×{width} input "
                f"with padding {self.padding}"
            )
        return (self.weight.shape[0], rows, columns)


@dataclass(frozen=True, eq=False)
class Readout:
    """Accumulating output: logits = scale · Σ_t W_out s_L[t] / T; no leak, no spikes, no bias, no delay.

    Parameters
    ----------
    weight : (classes, C·H·W of the last layer) float32, or int8 in fixed point, -127 … 127
    scale : real value of one raw unit; 1 in float32
    """

    weight: NDArray[Any]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise NetworkError(f"readout: weight has shape {self.weight.shape}, expected (classes, inputs)")
        dtype = np.int8 if self.weight.dtype == np.int8 else np.float32
        _set_array(self, "weight", self.weight, dtype, "readout")
        _check_weight(self.weight, "readout")


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network, ready to run on any backend.

    Parameters
    ----------
    input_shape : (C, H, W) of the binary input planes (ON, then OFF), or of the image with constant-current input
    timesteps : T ≥ 1
    layers : in order, at least one
    readout : on the spikes of the last layer, flattened in C-order
    encoder : how images become input (see pipeline.images.encoding): "poisson" spikes, or "constant-current"

    Raises
    ------
    NetworkError : if the parts do not fit; the message names the layer and both sides of the mismatch
    """

    input_shape: Shape
    timesteps: int
    layers: tuple[Layer, ...]
    readout: Readout
    encoder: Encoder = "poisson"

    def __post_init__(self) -> None:
        if self.timesteps < 1:
            raise NetworkError(f"timesteps is {self.timesteps}, expected at least 1")
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise NetworkError(f"input_shape is {self.input_shape}, expected positive (C, H, W)")
        if not self.layers:
            raise NetworkError("a network needs at least one layer")
        if self.encoder not in get_args(Encoder):
            raise NetworkError(f"encoder is {self.encoder!r}, expected {' or '.join(map(repr, get_args(Encoder)))}")
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names) or "input" in names:
            raise NetworkError(f"layer names must differ from each other and from 'input', got {names}")
        precisions = {isinstance(layer.neuron, FixedLIF) for layer in self.layers}
        precisions.add(self.readout.weight.dtype == np.int8)
        if len(precisions) > 1:
            raise NetworkError("layers and readout must be all float32 or all fixed point; see quantise()")
        for layer in self.layers:
            for field in ("gain", "bias"):
                steps = len(getattr(layer.neuron, field))
                if steps not in (1, self.timesteps):
                    raise NetworkError(
                        f"layer {layer.name!r}: {field} has {steps} steps, expected 1 or T = {self.timesteps}"
                    )
        inputs = int(np.prod(self.shapes[-1]))
        if self.readout.weight.shape[1] != inputs:
            raise NetworkError(
                f"readout: weight expects {self.readout.weight.shape[1]} inputs, layer {names[-1]!r} has {inputs} "
                "neurons"
            )
        if self.precision == "fixed":
            worst = int(np.abs(self.readout.weight.astype(np.int64)).sum(axis=1).max())
            if worst >= CURRENT_LIMIT or worst * self.timesteps >= 1 << 31:
                raise NetworkError(
                    f"readout: the int8 weights of one class sum to {worst:,}; over {self.timesteps} steps that could "
                    "overflow; use fewer inputs or steps"
                )
            first = self.layers[0]
            if self.encoder == "constant-current" and first.largest_current * PIXEL_LIMIT >= CURRENT_LIMIT:
                raise NetworkError(
                    f"layer {first.name!r}: the int8 weights of one neuron sum to {first.largest_current:,} in "
                    f"magnitude, which a constant current of pixels up to {PIXEL_LIMIT} could take past "
                    f"2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron, less pooling, or the encoder 'poisson'"
                )

    @property
    def precision(self) -> str:
        """Either "fixed" or "float32"."""
        return "fixed" if isinstance(self.layers[0].neuron, FixedLIF) else "float32"

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return int(self.readout.weight.shape[0])

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """(C, H, W) of the input, then of each layer."""
        shapes = [self.input_shape]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return tuple(shapes)

    @cached_property
    def raster_names(self) -> tuple[str, ...]:
        """Names of the layers that fire: "input", "conv1", …; from "conv1" where the input has no spikes."""
        return ("input", *(layer.name for layer in self.layers))[self.first_raster :]

    @cached_property
    def raster_shapes(self) -> tuple[Shape, ...]:
        """(C, H, W) of each of :attr:`raster_names`."""
        return self.shapes[self.first_raster :]

    @cached_property
    def raster_bytes(self) -> tuple[int, ...]:
        """Bytes of a packed step of each of :attr:`raster_names`."""
        return tuple(-(-math.prod(shape) // 8) for shape in self.raster_shapes)

    @property
    def first_raster(self) -> int:
        """Number of the first layer that fires: 0, the input, or 1 where the input has no spikes."""
        return 0 if self.encoder == "poisson" else 1

    @cached_property
    def sha256(self) -> str:
        """Identity of the graph and every number in it."""
        graph, tensors = self.to_graph()
        digest = hashlib.sha256(json.dumps(graph, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(tensors):
            array = tensors[name]
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def to_graph(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """The network as a JSON-able graph and its tensors by name; undone by :meth:`from_graph`."""
        tensors: dict[str, NDArray[Any]] = {"readout.weight": self.readout.weight}
        layers = []
        for layer in self.layers:
            neuron = layer.neuron
            tensors |= {
                f"{layer.name}.weight": layer.weight,
                f"{layer.name}.gain": neuron.gain,
                f"{layer.name}.bias": neuron.bias,
            }
            constants = (
                {"decay": neuron.decay, "shift": neuron.shift}
                if isinstance(neuron, FixedLIF)
                else {"leak": neuron.leak, "threshold": neuron.threshold}
            )
            layers.append(
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "shape": list(layer.weight.shape),
                    "pool": layer.pool,
                    "stride": layer.stride,
                    "padding": layer.padding,
                    "neuron": constants,
                }
            )
        graph = {
            "encoder": self.encoder,
            "input_shape": list(self.input_shape),
            "timesteps": self.timesteps,
            "precision": self.precision,
            "layers": layers,
            "readout": {"shape": list(self.readout.weight.shape), "scale": self.readout.scale},
        }
        return graph, tensors

    @classmethod
    def from_graph(cls, graph: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Network:
        """Rebuild a network, with every construction check; a missing or misshapen part is a NetworkError."""
        try:
            neuron_type = {"fixed": FixedLIF, "float32": LIF}[graph["precision"]]
            layers = tuple(
                Layer(
                    name=node["name"],
                    weight=tensors[f"{node['name']}.weight"],
                    neuron=neuron_type(
                        **node["neuron"],
                        gain=tensors[f"{node['name']}.gain"],
                        bias=tensors[f"{node['name']}.bias"],
                    ),
                    pool=int(node["pool"]),
                    stride=int(node["stride"]),
                    padding=int(node["padding"]),
                )
                for node in graph["layers"]
            )
            channels, height, width = graph["input_shape"]
            return cls(
                input_shape=(int(channels), int(height), int(width)),
                timesteps=int(graph["timesteps"]),
                layers=layers,
                readout=Readout(tensors["readout.weight"], float(graph["readout"]["scale"])),
                encoder=graph["encoder"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise NetworkError(f"the graph is incomplete or malformed: {error!r}") from error


def _check_weight(weight: NDArray[Any], where: str) -> None:
    if weight.dtype == np.int8 and weight.min() < -WEIGHT_LIMIT:
        raise NetworkError(
            f"{where}: got a weight of -128, expected -{WEIGHT_LIMIT} … {WEIGHT_LIMIT} in fixed point, which every "
            "backend can hold"
        )


def _set_array(owner: Any, field: str, value: Any, dtype: Any, where: str) -> None:
    """Store `value` on a frozen dataclass as a read-only C-order array of `dtype`, refusing any loss of meaning."""
    array = np.asarray(value)
    if np.issubdtype(dtype, np.integer) and not np.issubdtype(array.dtype, np.integer):
        raise NetworkError(f"{where}: {field} has dtype {array.dtype}, expected integers in fixed point")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise NetworkError(f"{where}: {field} must be finite numbers, got dtype {array.dtype}")
    converted = np.array(array, dtype=dtype, order="C")
    if np.issubdtype(dtype, np.integer) and not np.array_equal(converted, array):
        raise NetworkError(f"{where}: {field} does not fit {np.dtype(dtype)}")
    converted.setflags(write=False)
    object.__setattr__(owner, field, converted)
