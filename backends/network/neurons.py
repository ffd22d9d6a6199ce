"""The neurons of a layer: each type is a small frozen dataclass whose docstring is its equation.

A new type is one class and one line of :data:`NEURONS`, by whose names files tell types apart.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .checks import NetworkError, by_channel, real, whole

THETA = 1 << 12  # the threshold in fixed point
MEMBRANE_LIMIT = (1 << 23) - 1  # v saturates here in fixed point
GAIN_LIMIT = 32767  # the largest magnitude of a gain in fixed point
BIAS_LIMIT = 1 << 30  # and of a bias
LARGEST_SHIFT = 30


@dataclass(frozen=True, eq=False)
class LIF:
    """Leaky integrate-and-fire neuron with delayed soft reset, in real numbers (Kim & Panda 2021, Eq. 2-4).

        i[t] = gain[t-1] · a[t] + bias[t-1]                            i[0] = 0
        v[t] = leak · v[t-1] + i[t] - threshold · s[t-1]
        s[t] = 1 if v[t] > threshold else 0

    Parameters
    ----------
    leak : float in [0, 1], per step — the paper's λ, snnTorch's beta; 1 is the integrate-and-fire neuron
    threshold : float > 0
    gain, bias : scalar, (C,), (1, C) or (T, C) float64 — per channel and, with BNTT, per step. Kept in double precision
        so that quantising rounds once
    """

    leak: float
    threshold: float = 1.0
    gain: Any = 1.0
    bias: Any = 0.0

    spikes: ClassVar = True
    weight_dtype: ClassVar = np.float32
    arrays: ClassVar = ("gain", "bias")

    def of_channels(self, channels: int, where: str) -> LIF:
        """A checked copy for a layer of C channels; its gain and bias are (1, C) or (T, C)."""
        leak, threshold = real(self.leak, "leak", where), real(self.threshold, "threshold", where)
        if not (0 <= leak <= 1 and threshold > 0):
            raise NetworkError(f"{where}: leak {leak}, threshold {threshold}; expected 0 ≤ leak ≤ 1 and threshold > 0")
        gain, bias = (by_channel(getattr(self, name), channels, np.float64, name, where) for name in self.arrays)
        return LIF(leak, threshold, gain, bias)


@dataclass(frozen=True, eq=False)
class FixedLIF:
    """:class:`LIF` in integers; made by :func:`backends.network.quantise.quantise`.

        v[t] = sat24( rz(v[t-1]·(4096 - decay), 12) + rz(a[t]·gain[t-1], shift) + bias[t-1] - 4096·s[t-1] )
        rz(x, n) = sign(x) · (|x| >> n)

    Parameters
    ----------
    decay : int in [0, 4096] — Loihi's dv
    shift : int in [0, 30]
    gain : (1, C) or (T, C) int32, magnitude ≤ 32767
    bias : (1, C) or (T, C) int32, magnitude ≤ 2³⁰
    """

    decay: int
    shift: int
    gain: NDArray[np.int32]
    bias: NDArray[np.int32]

    spikes: ClassVar = True
    weight_dtype: ClassVar = np.int8
    arrays: ClassVar = ("gain", "bias")

    @property
    def leak(self) -> float:
        """1 - decay / 4096."""
        return 1 - self.decay / THETA

    @property
    def threshold(self) -> int:
        """The threshold in membrane units, equal in every layer."""
        return THETA

    def of_channels(self, channels: int, where: str) -> FixedLIF:
        """A checked copy for a layer of C channels; its gain and bias are (1, C) or (T, C)."""
        decay, shift = whole(self.decay, "decay", where, 0), whole(self.shift, "shift", where, 0)
        if decay > THETA or shift > LARGEST_SHIFT:
            raise NetworkError(f"{where}: decay {decay}, shift {shift} outside 0…{THETA}, 0…{LARGEST_SHIFT}")
        gain, bias = (by_channel(getattr(self, name), channels, np.int32, name, where) for name in self.arrays)
        if np.abs(gain.astype(np.int64)).max() > GAIN_LIMIT or np.abs(bias.astype(np.int64)).max() > BIAS_LIMIT:
            raise NetworkError(f"{where}: |gain| must be ≤ {GAIN_LIMIT} and |bias| ≤ 2³⁰ in fixed point")
        return FixedLIF(decay, shift, gain, bias)


@dataclass(frozen=True, eq=False)
class ReLU:
    """The neuron of an artificial network (ANN): x = max(0, a). It does not spike, and has no constants."""

    spikes: ClassVar = False
    weight_dtype: ClassVar = np.float32
    arrays: ClassVar[tuple[str, ...]] = ()

    def of_channels(self, channels: int, where: str) -> ReLU:
        """The neuron for a layer of C channels."""
        return replace(self)


SpikingNeuron = LIF | FixedLIF
Neuron = SpikingNeuron | ReLU
NEURONS: dict[str, type[Neuron]] = {"lif": LIF, "fixed-lif": FixedLIF, "relu": ReLU}
NAMES = {neuron: name for name, neuron in NEURONS.items()}


def to_graph(neuron: Neuron) -> dict[str, Any]:
    """Type and constants as JSON can hold them; what `arrays` names is stored beside, as tensors."""
    return {"type": NAMES[type(neuron)], **{name: getattr(neuron, name) for name in _constants(type(neuron))}}


def from_graph(node: dict[str, Any], tensors: dict[str, NDArray[Any]], layer: str) -> Neuron:
    """What :func:`to_graph` and the tensors of a layer say.

    Raises
    ------
    NetworkError : if the type is unknown, or its constants are others
    KeyError : if a tensor is missing
    """
    kind = NEURONS.get(node["type"])
    if kind is None:
        raise NetworkError(f"layer {layer!r}: neuron type is {node['type']!r}, expected one of {', '.join(NEURONS)}")
    constants = {name: value for name, value in node.items() if name != "type"}
    if constants.keys() != set(_constants(kind)):
        expected, found = (", ".join(names) or "none" for names in (_constants(kind), constants))
        raise NetworkError(f"layer {layer!r}: constants of {node['type']} are {found}, expected {expected}")
    arrays: dict[str, Any] = {name: tensors[f"{layer}.{name}"] for name in kind.arrays}
    return kind(**constants, **arrays)


def _constants(kind: type[Neuron]) -> list[str]:
    return [field.name for field in fields(kind) if field.name not in kind.arrays]
