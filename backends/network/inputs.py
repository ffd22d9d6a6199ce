"""The inputs of a layer: the spikes of some layers, some steps later, through weights. Most layers
have one input.

    x[t] = spread(Σ over the sources  sign · s[t - delay])  0 where t < delay
    a[t] = W ⊛ pool(x[t])                                   or a = x, the identity, without weights

Each channel may have its own delay. Rows and columns of x may be taken in any order, several times,
or left out.

⊛ is correlation (torch's conv2d) or a matrix product on the C-order flattened map, and may be
followed by a maximum pooling of the currents, and that by their sum over all places. What
multiplies spikes has its equation in synapses/_attention.py.

The neurons add up gain · a over their inputs (see neurons.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import NetworkError, by_channel, whole
from spikesam.backends.network.sources import Source, checked_sources
from spikesam.backends.network.synapses import KINDS, Synapse, synapse_of, weights_as_synapse
from spikesam.backends.network.synapses.synapse import CURRENT_LIMIT, Shape
from spikesam.common.text import brief

GAIN_LIMIT = 32767  # the largest magnitude of a gain in fixed point
LARGEST_SHIFT = 30  # and of its shift
BEFORE = "the layer before it"


@dataclass(frozen=True, eq=False, init=False)
class Input:
    """One input of a layer: its sources, and the synapses between them and the neurons.

    Parameters
    ----------
    synapse : what becomes of the spikes that arrive: :class:`Conv`, :class:`Dense`,
        :class:`Identity` or :class:`Attention`; an array of weights is a convolution of (out, in,
        y, x), or a dense layer of (out, in)
    source : the layers that it reads: a name, a :class:`Source`, or several, whose spikes are
        summed; of a layer's first input the layer before, one step later, if not given. Of
        attention q, k and v, see there
    gain : scalar, (C,), (1, C) or (T, C) — factor of this input's currents, per channel and, with
        BNTT, per step; float64, so that quantising rounds once, or int32 in fixed point
    shift : in fixed point, 0 … 30: gain · a is divided by 2^shift
    """

    synapse: Synapse
    source: Any = ()
    gain: Any = 1
    shift: int = 0

    __repr__ = brief

    def __init__(
        self, synapse: Synapse | Any, source: Any = (), gain: Any = 1, shift: int = 0
    ) -> None:
        if not isinstance(synapse, Synapse):
            synapse = weights_as_synapse(synapse)
        object.__setattr__(self, "synapse", synapse)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "gain", gain)
        object.__setattr__(self, "shift", shift)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, in order, once it is part of a layer."""
        return tuple(self.source)

    def with_checked_synapse(self, dtype: Any) -> Input:
        """A copy of which the synapse is checked, see :meth:`Synapse.checked`."""
        return replace(self, synapse=self.synapse.checked(dtype))

    def checked(self, dtype: Any, channels: int = 0) -> Input:
        """A checked copy, of an input whose synapse is checked.

        Parameters
        ----------
        dtype : of the weights: np.float32 or np.int8
        channels : C of the layer, which weights say, too
        """
        fixed, sources = dtype == np.int8, checked_sources(self.source)
        self.synapse.check_sources(sources)
        synapse = self.synapse
        channels = synapse.channels or channels or columns(self.gain)
        gain = by_channel(self.gain, channels, np.int32 if fixed else np.float64, "gain")
        if fixed and np.abs(gain.astype(np.int64)).max() > GAIN_LIMIT:
            raise NetworkError(f"|gain| must be ≤ {GAIN_LIMIT} in fixed point")
        shift = whole(self.shift, "shift", 0)
        if shift > (LARGEST_SHIFT if fixed else 0):
            raise NetworkError(f"shift is {shift}, expected 0 … {LARGEST_SHIFT}, and 0 in float32")
        checked = Input(synapse, sources, gain, shift)
        if fixed and checked.largest_current >= CURRENT_LIMIT:
            raise NetworkError(
                f"the int8 weights of one neuron sum to {checked.largest_current:,} in "
                f"magnitude, which could pass 2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron "
                "or less pooling"
            )
        return checked

    @property
    def weight(self) -> NDArray[Any]:
        """The weights of its synapses, which have some."""
        if "weight" not in self.synapse.tensors:
            raise NetworkError(f"input: {self.synapse} has no weights, expected Conv or Dense")
        return self.synapse.tensors["weight"]

    def weighed(self, weights: Callable[[NDArray[Any]], Any]) -> Input:
        """The input with weights that a function makes of its own; itself where it has none."""
        return replace(self, synapse=self.synapse.weighed(weights))

    @property
    def fixed(self) -> bool:
        """True if its numbers are those of fixed point."""
        *_, numbers = (self.gain, *self.synapse.tensors.values())
        return getattr(numbers, "dtype", None) in (np.int8, np.int32)

    @cached_property
    def largest_current(self) -> int:
        """The largest magnitude of a that any neuron can reach in fixed point, were all its sources
        to spike; of attention, whose sources decide, see :meth:`most`.
        """
        return self.synapse.largest_current * max(1, len(self.sources))

    def most(self, shape: Shape, largest: Any) -> Any:
        """See :meth:`Synapse.most`."""
        return self.synapse.most(self, shape, largest)

    def summands(self, of_sources: Sequence[Any]) -> list[list[Any]]:
        """The values of each source, by the sum that they go into: of attention q, k and v."""
        return self.synapse.summands(of_sources)

    def arriving(self, shape: Shape, source_name: str = BEFORE) -> Shape:
        """(C, H, W) of x, of sources of (C, H, W); refuses what does not fit. See
        :meth:`output_shape`.
        """
        return self.synapse.arriving(self, shape, source_name)

    def unpooled_shape(self, shape: Shape, source_name: str = BEFORE) -> Shape:
        """(C, H, W) of the currents in front of their pooling; see :meth:`output_shape`."""
        return self.synapse.unpooled_shape(self, self.arriving(shape, source_name), source_name)

    def output_shape(self, shape: Shape, source_name: str = BEFORE) -> Shape:
        """(C, H, W) of what sources of (C, H, W) drive; refuses what does not fit.

        Parameters
        ----------
        shape : (C, H, W) of the map of each source, before pooling
        source_name : what the message calls the layer in front of it
        """
        channels, *sides = self.unpooled_shape(shape, source_name)
        rows, columns = self.synapse.windows.fit(sides)
        if not self.synapse.current_sum:
            return channels, rows, columns
        if self.fixed and (largest := self.largest_current * rows * columns) >= CURRENT_LIMIT:
            raise NetworkError(
                f"its currents of {rows}×{columns} places can sum to {largest:,}, expected less "
                f"than 2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron or smaller maps"
            )
        return channels, 1, 1

    def to_graph(self) -> dict[str, Any]:
        """The input as JSON; its :attr:`tensors` are stored beside it."""
        sources = [
            [_plain(getattr(source, field.name)) for field in fields(source)]
            for source in self.sources
        ]
        return {**self.synapse.node, "shift": self.shift, "source": sources}

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """Its weights, if it has any, and its gain."""
        return {"gain": self.gain} | self.synapse.tensors

    @classmethod
    def from_graph(
        cls, node: dict[str, Any], prefix: str, tensors: dict[str, NDArray[Any]]
    ) -> Input:
        """Rebuild an input from its node, and from its tensors, whose names begin with a prefix and
        a dot.
        """
        names = KINDS[node["kind"]].tensor_names if node["kind"] in KINDS else ()
        synapse = synapse_of(node, {name: tensors[f"{prefix}.{name}"] for name in names})
        source = tuple(Source(layer, delay, sign) for layer, delay, sign in node["source"])
        return cls(synapse, source, tensors[f"{prefix}.gain"], node["shift"])


def _plain(value: Any) -> Any:
    """A value as JSON has it, which knows no tuples."""
    return list(value) if isinstance(value, tuple) else value


def columns(constant: Any) -> int:
    """The number of channels that a constant is given for: C of (C,) or (T, C), 1 of one number."""
    return int(np.shape(constant)[-1]) if np.ndim(constant) else 1
