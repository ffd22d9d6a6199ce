"""The neurons of a layer: each type is a small frozen dataclass whose docstring is its equation.

A new type is one class and one line of :data:`NEURONS`, by whose names files tell types apart.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import NetworkError, by_channel, chosen, constant, yes_or_no
from spikesam.common.text import brief

THETA = 1 << 12  # the threshold in fixed point, where a neuron has no other
MEMBRANE_LIMIT = (1 << 23) - 1  # v saturates here in fixed point
EXACT = 1 << 24  # float32 holds all integers up to it
BIAS_LIMIT = 1 << 30  # the largest magnitude of a bias in fixed point

Reset = Literal["subtract", "zero"]


@dataclass(frozen=True, eq=False)
class LIF:
    """Leaky integrate-and-fire neuron in real numbers.

    With the defaults it is that of Kim & Panda 2021, Eq. 2-4.

        i[t] = synaptic_leak · i[t-1] + Σ gain[t-1] · a[t] + bias[t-1]    i[0] = 0
        v[t] = leak · v[t-1] + i[t] - reset_by · s[t-1]                   reset "subtract"
        v[t] = leak · v[t-1] · (1 - s[t-1]) + i[t]                        reset "zero"
        s[t] = 1 if v[t] > threshold else 0               or ≥, where `fires_at_threshold`

    Σ is over the inputs, see inputs.py.

    With `min_v_mem`, v[t] is the larger of the two: of that number, and of what stands above.
    sinabs raises a membrane to its `min_v_mem` after the reset. That is the same, since a membrane
    that fired lies above.

    Each number is one for all, or (C,) where channels differ.

    Parameters
    ----------
    leak : in [0, 1], per step — the paper's λ, snnTorch's beta; 1 is the integrate-and-fire neuron
    threshold : > 0
    bias : scalar, (C,), (1, C) or (T, C) float64 — per channel and, with BNTT, per step. Kept in
        double precision so that quantising rounds once
    reset : "subtract" or "zero" — what a spike does to the membrane, at the next step
    reset_by : ≥ 0 — what is subtracted, the threshold if not given. SpikingJelly, sinabs and Norse
        subtract the threshold before the leak: leak · threshold
    fires_at_threshold : whether a membrane that equals the threshold fires
    synaptic_leak : in [0, 1], per step — what is left of the current of the step before; 0 if it
        acts in one step alone
    min_v_mem : ≤ 0 — the lowest membrane, as in sinabs; none if not given
    """

    leak: Any
    threshold: Any = 1.0
    _: KW_ONLY
    bias: Any = 0.0
    reset: Reset = "subtract"
    reset_by: Any = None
    fires_at_threshold: bool = False
    synaptic_leak: Any = 0.0
    min_v_mem: Any = None

    __repr__ = brief

    spikes: ClassVar = True
    weight_dtype: ClassVar = np.float32
    optional: ClassVar = ("min_v_mem",)

    @property
    def subtracted(self) -> Any:
        """The amount that a spike subtracts: `reset_by`, or the threshold."""
        return self.threshold if self.reset_by is None else self.reset_by

    @property
    def fires_above(self) -> Any:
        """float32: the neuron fires where its float32 membrane is larger, in either comparison."""
        threshold = np.float32(self.threshold)
        return (
            np.nextafter(threshold, np.float32(-np.inf)) if self.fires_at_threshold else threshold
        )

    def of_channels(self, channels: int) -> LIF:
        """A checked copy for a layer of C channels; its bias is (1, C) or (T, C)."""
        leak, synaptic_leak = (
            constant(getattr(self, name), channels, np.float64, name, 0, 1)
            for name in ("leak", "synaptic_leak")
        )
        threshold = constant(self.threshold, channels, np.float64, "threshold", -math.inf)
        if np.min(threshold) <= 0:
            raise NetworkError(f"threshold is {threshold}, expected more than 0")
        bias = by_channel(self.bias, channels, np.float64, "bias")
        return LIF(
            leak,
            bias=bias,
            synaptic_leak=synaptic_leak,
            **_firing(self, threshold, channels, np.float64),
        )


@dataclass(frozen=True, eq=False)
class FixedLIF:
    """:class:`LIF` in integers; made by :func:`spikesam.backends.network.quantise.quantise`.

        i[t] = rz(i[t-1]·(4096 - synaptic_decay), 12) + Σ rz(a[t]·gain[t-1], shift) + bias[t-1]
        v[t] = sat24( rz(v[t-1]·(4096 - decay), 12) + i[t] - reset_by·s[t-1] )
        s[t] = 1 if v[t] > threshold (or ≥, where `fires_at_threshold`)
        rz(x, n) = sign(x) · (|x| >> n)

    Where synaptic_decay is below 4096, or a layer has several inputs, i is limited to 24 bits, as v
    is.

    With reset "zero", v[t-1] counts as 0 where s[t-1] = 1, and nothing is subtracted. With
    `min_v_mem`, v[t] is at least that.

    Parameters
    ----------
    decay, synaptic_decay : in [0, 4096] — Loihi's dv and du; one integer, or (C,) where channels
        differ
    bias : scalar, (C,), (1, C) or (T, C) int32, magnitude ≤ 2³⁰
    reset, fires_at_threshold : as of :class:`LIF`
    reset_by : in [0, 2²³) — one integer, or (C,); the threshold if not given
    threshold : in [1, 2²³) — one integer, or (C,). 4096 unless a network was trained for a chip,
        whose thresholds are its own
    min_v_mem : in (-2²³, 0] — one integer, or (C,); none if not given
    """

    decay: Any
    _: KW_ONLY
    bias: Any = 0
    reset: Reset = "subtract"
    reset_by: Any = None
    fires_at_threshold: bool = False
    synaptic_decay: Any = THETA
    threshold: Any = THETA
    min_v_mem: Any = None

    __repr__ = brief

    spikes: ClassVar = True
    weight_dtype: ClassVar = np.int8
    optional: ClassVar = ("threshold", "min_v_mem")

    @property
    def leak(self) -> Any:
        """1 - decay / 4096."""
        return 1 - self.decay / THETA

    @property
    def synaptic_leak(self) -> Any:
        """1 - synaptic_decay / 4096."""
        return 1 - self.synaptic_decay / THETA

    @property
    def subtracted(self) -> Any:
        """The amount that a spike subtracts: `reset_by`, or the threshold."""
        return self.threshold if self.reset_by is None else self.reset_by

    @property
    def fires_above(self) -> Any:
        """The neuron fires where its membrane is larger, whichever the comparison."""
        return self.threshold - self.fires_at_threshold

    def of_channels(self, channels: int) -> FixedLIF:
        """A checked copy for a layer of C channels; its bias is (1, C) or (T, C)."""
        decays = {
            name: constant(getattr(self, name), channels, np.int64, name, 0, THETA)
            for name in ("decay", "synaptic_decay")
        }
        threshold = constant(self.threshold, channels, np.int64, "threshold", 1, MEMBRANE_LIMIT)
        bias = by_channel(self.bias, channels, np.int32, "bias")
        if np.abs(bias.astype(np.int64)).max() > BIAS_LIMIT:
            raise NetworkError("|bias| must be ≤ 2³⁰ in fixed point")
        return FixedLIF(**decays, bias=bias, **_firing(self, threshold, channels, np.int64))


def _firing(neuron: LIF | FixedLIF, threshold: Any, channels: int, dtype: Any) -> dict[str, Any]:
    """The threshold of a neuron, and the values it is reset to and held at, all checked."""
    chosen(neuron.reset, get_args(Reset), "reset")
    if neuron.reset == "zero" and neuron.reset_by is not None:
        raise NetworkError(f"reset_by is {neuron.reset_by!r}, expected none beside reset 'zero'")
    limits = {"reset_by": (0, MEMBRANE_LIMIT), "min_v_mem": (-MEMBRANE_LIMIT, 0)}
    constants_by_name: dict[str, Any] = {
        name: None
        if (value := getattr(neuron, name)) is None
        else constant(value, channels, dtype, name, *ends)
        for name, ends in limits.items()
    }
    return {
        "threshold": threshold,
        "reset": neuron.reset,
        "reset_by": None
        if np.array_equal(constants_by_name["reset_by"], threshold)
        else constants_by_name["reset_by"],
        "fires_at_threshold": yes_or_no(neuron.fires_at_threshold, "fires_at_threshold"),
        "min_v_mem": constants_by_name["min_v_mem"],
    }


@dataclass(frozen=True, eq=False)
class ReLU:
    """Rectifier, the neuron of an artificial network (ANN). It does not spike, and has neither
    steps nor state.

        x = max(0, Σ gain · a + bias)                      Σ over the inputs, see inputs.py
        x = min(limit, max(0, Σ gain · a + bias))          with `limit`

    Parameters
    ----------
    bias : scalar, (C,) or (1, C) float64
    limit : > 0 — the largest activation, 6 of ReLU6; one number, or (C,) where channels differ;
        none if not given
    """

    bias: Any = 0.0
    limit: Any = None

    __repr__ = brief

    spikes: ClassVar = False
    weight_dtype: ClassVar = np.float32
    optional: ClassVar = ("limit",)

    def of_channels(self, channels: int) -> ReLU:
        """A checked copy for a layer of C channels; its bias is (1, C)."""
        limit = (
            None
            if self.limit is None
            else constant(self.limit, channels, np.float64, "limit", -math.inf)
        )
        if limit is not None and np.min(limit) <= 0:
            raise NetworkError(f"limit is {limit}, expected more than 0, or None")
        return ReLU(by_channel(self.bias, channels, np.float64, "bias"), limit)


SpikingNeuron = LIF | FixedLIF
Neuron = SpikingNeuron | ReLU
NEURONS: dict[str, type[Neuron]] = {"lif": LIF, "fixed-lif": FixedLIF, "relu": ReLU}
NAMES = {neuron: name for name, neuron in NEURONS.items()}
DEFAULTS = {
    "threshold": THETA,
    "min_v_mem": None,
    "limit": None,
}  # of the constants that are optional


def to_graph(neuron: Neuron) -> dict[str, Any]:
    """Type and constants as JSON, without the `optional` ones that are the default; a bias is
    stored as a tensor.
    """
    constants = {name: getattr(neuron, name) for name in _constants(type(neuron))}
    listed = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in constants.items()
    }
    entries = {
        name: value
        for name, value in listed.items()
        if name not in neuron.optional or value != DEFAULTS[name]
    }
    return {"type": NAMES[type(neuron)], **entries}


def from_graph(node: dict[str, Any], tensors: dict[str, NDArray[Any]], layer: str) -> Neuron:
    """The neuron that :func:`to_graph` and the tensors of a layer describe; a KeyError if one is
    missing.
    """
    kind = NEURONS.get(node["type"])
    if kind is None:
        raise NetworkError(
            f"layer {layer!r}: neuron type is {node['type']!r}, expected one of "
            f"{', '.join(NEURONS)}"
        )
    constants = {name: value for name, value in node.items() if name != "type"}
    if constants.keys() | set(kind.optional) != set(_constants(kind)):
        expected, listed = (", ".join(names) or "none" for names in (_constants(kind), constants))
        raise NetworkError(
            f"layer {layer!r}: constants of {node['type']} are {listed}, expected {expected}"
        )
    return kind(**constants, bias=tensors[f"{layer}.bias"])


def _constants(kind: type[Neuron]) -> list[str]:
    return [field.name for field in fields(kind) if field.name != "bias"]
