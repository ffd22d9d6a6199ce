"""The inputs of a layer: the spikes of some layers, some steps later, through weights. Most layers
have one input.

    x[t] = spread(Σ over the sources  sign · s[t - delay])  0 where t < delay, which each channel may have its own
           whose rows and columns may be taken in any order, several times, or left out
    a[t] = W ⊛ pool(x[t])                                   or a = x, the identity, without weights

⊛ is correlation (torch's conv2d) or a matrix product on the C-order flattened map, and may be
followed by a maximum pooling of the currents, and that by their sum over all places. Attention
multiplies spikes: its sources are q, k and v, each of which may be several layers that are summed,
x[t] is their channels one behind the other, and of head h, whose channels are e of v, and c of q
and k, and of the places n, m

    a[h,e,n] = Σ_m (Σ_c q[h,c,n] · k[h,c,m]) · v[h,e,m]     integers, which float32 holds in any order

The neurons add up gain · a over their inputs (see neurons.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import prod
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network.checks import (
    NetworkError,
    Sides,
    array,
    by_channel,
    one_or_pair,
    pair,
    whole,
    yes_or_no,
)
from spikesam.common.text import LONGEST_NAME, brief, printable

Shape = tuple[int, int, int]
Pooling = Literal["average", "sum", "max"]

GAIN_LIMIT = 32767  # the largest magnitude of a gain in fixed point
LARGEST_SHIFT = 30  # and of its shift
CURRENT_LIMIT = 1 << 23  # Lava's Conv wraps at 24 bits, so no sum of weights may reach this
WEIGHT_LIMIT = 127  # the largest magnitude of an int8 weight: Lava's Dense clips -128
LONGEST_DELAY = 1 << 10  # steps; backends keep the spikes of so many
MOST_PLACES = 1 << 16  # rows or columns that an input takes
MOST_SOURCES = 127  # of an input: so many spikes at one place are summed in int8


class Windows(NamedTuple):
    """The windows of a maximum pooling of currents, in (y, x): of single currents by default.

    They begin at -padding, a stride apart, as many as fit; what lies outside the map is never the
    maximum.
    """

    sides: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def fit(self, map_sides: Iterable[int]) -> tuple[int, int]:
        """How many fit a map of (H, W), down and across; less than 1 where none does."""
        each = zip(map_sides, *self, strict=True)
        down, across = (
            (side + 2 * padding - window) // stride + 1 for side, window, stride, padding in each
        )
        return down, across

    def within(self, map_sides: Iterable[int]) -> Windows:
        """Windows that see the same of a map of (H, W); in a border wider than the map, each sees
        all of it.
        """
        each = zip(map_sides, self.fit(map_sides), *self, strict=True)
        seen = ((side + many - 1, 1, many - 1) if at[2] > side else at for side, many, *at in each)
        return Windows(*zip(*seen, strict=True))


NO_POOLING = Windows()
WHOLE = (1, 1, 1)  # a spread that repeats nothing


@dataclass(frozen=True)
class Source:
    """The spikes of one layer, as another one reads them.

    Parameters
    ----------
    layer : its name, or "input"; that of the reading layer itself for recurrent weights
    delay : steps until a spike arrives, ≥ 1; or those of each channel of that layer, (C,)
    sign : 1, or -1 to subtract the spikes
    """

    layer: str
    delay: int | tuple[int, ...] = 1
    sign: int = 1

    @cached_property
    def delays(self) -> dict[int, Any]:
        """Each of its delays, the shortest first -> the channels that have it, as an index."""
        if not isinstance(self.delay, tuple):
            return {self.delay: slice(None)}
        each = np.array(self.delay)
        return {steps: np.flatnonzero(each == steps) for steps in np.unique(each).tolist()}

    @property
    def shortest(self) -> int:
        """Steps until the first of its spikes arrives."""
        return min(self.delays)

    @property
    def longest(self) -> int:
        """Steps until the last of its spikes arrives."""
        return max(self.delays)

    def later(self, steps: int) -> Source:
        """The source of what arrives so many steps later still."""
        return replace(self, delay=later(self.delay, steps))

    def arriving(self, before: Callable[[int], Any], axis: int = -3) -> Any:
        """What arrives, an array or tensor: `before(d)` is all that fired d steps before, channels
        on an `axis` < 0.
        """
        (shortest, _), *others = self.delays.items()
        found = before(shortest)
        if others:
            found = (getattr(found, "clone", None) or found.copy)()
        for delay, channels in others:
            of_channels = (..., channels, *[slice(None)] * (-1 - axis))
            found[of_channels] = before(delay)[of_channels]
        return found


def later(delay: int | tuple[int, ...], steps: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """A delay and so many steps more, either of which may be that of each channel."""
    found = np.add(delay, steps).tolist()
    return tuple(found) if isinstance(found, list) else found


@dataclass(frozen=True, eq=False)
class Input:
    """One input of a layer: its sources, and the synapses between them and the neurons.

    Parameters
    ----------
    weight : (out, in, y, x) for a convolution or (out, in) for a dense layer, float32, or int8 in
        fixed point, -127 … 127; None for the identity, which adds the spikes themselves, and for
        attention
    source : the layers that it reads: a name, a :class:`Source`, or several, whose spikes are
        summed; of a layer's first input the layer before, one step later, if not given. Of
        attention q, k and v: three layers of one shape, but that v may have other channels, as many
        as the gain; or as many layers of each, those of q first, whose spikes are summed; or one
        that has the channels of all, one behind the other
    gain : scalar, (C,), (1, C) or (T, C) — factor of this input's currents, per channel and, with
        BNTT, per step; float64, so that quantising rounds once, or int32 in fixed point
    pool : sides of the pooling in front; like those below one integer, or (y, x) where rows and
        columns differ
    stride, padding : of the convolution, after pooling
    pooling : "average" (fixed point sums instead; the gain absorbs the factor), "sum", or "max",
        which of spikes is their OR
    current_pool : sides of a maximum pooling of the currents `a`, between the synapses and the
        neurons
    current_stride, current_padding : of that pooling; its windows stand side by side if not given,
        and what lies around the currents is never the maximum
    current_sum : whether the currents of all places, behind that pooling, are summed to one for
        each channel
    shift : in fixed point, 0 … 30: gain · a is divided by 2^shift
    spread : how often each channel, row and column of the sources is repeated, beside itself,
        before anything else: (1, y, x) is upsampling, (d, 1, 1) gives all d channels of a head the
        spike of the head
    rows, columns : of the sources, once they are spread, which of them the rows and columns of x are:
        numbers from 0, -1 for zeros, as in (1, 0, 1, 2, 1) of a border that reflects three; () for all in order
    heads : of attention, among which the channels are divided, the first head's first; 0 of other
        inputs
    """

    weight: Any
    source: Any = ()
    gain: Any = 1
    pool: Sides = 1
    stride: Sides = 1
    padding: Sides = 0
    pooling: Pooling = "average"
    current_pool: Sides = 1
    current_stride: Sides | None = None
    current_padding: Sides = 0
    shift: int = 0
    spread: tuple[int, int, int] = (1, 1, 1)
    heads: int = 0
    current_sum: bool = False
    rows: Any = ()
    columns: Any = ()

    __repr__ = brief

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, in order, once it is part of a layer."""
        return tuple(self.source)

    def checked(self, dtype: Any, where: str, channels: int = 0) -> Input:
        """A checked copy, whose weights are float32, or int8 in fixed point.

        Parameters
        ----------
        dtype : of the weights: np.float32 or np.int8
        where : what the message of an error begins with
        channels : C of the layer, which weights say, too
        """
        weight = None if self.weight is None else checked_weight(self.weight, dtype, where)
        given = {name: getattr(self, name) for name in PLAIN}
        if self.current_stride is None:
            given["current_stride"] = self.current_pool
        sides: dict[str, Any] = {
            name: one_or_pair(value, name, where, 0 if "padding" in name else 1)
            for name, value in given.items()
        }
        if sides["current_stride"] == sides["current_pool"]:
            sides["current_stride"] = None
        current_sum = yes_or_no(self.current_sum, "current_sum", where)
        if self.pooling not in get_args(Pooling):
            raise NetworkError(
                f"{where}: pooling is {self.pooling!r}, expected 'average', 'sum' or 'max'"
            )
        sources = _sources(self.source, where)
        if not isinstance(self.spread, (tuple, list)) or len(self.spread) != 3:
            raise NetworkError(
                f"{where}: spread is {self.spread!r}, expected (channels, rows, columns)"
            )
        channel, row, column = (whole(each, "a factor of spread", where, 1) for each in self.spread)
        heads = whole(self.heads, "heads", where, 0)
        if self.pooling == "max" and (
            len(sources) > 1 or any(source.sign < 0 for source in sources)
        ):
            raise NetworkError(
                f"{where}: pooling is 'max', which is of spikes, expected one source, of sign 1"
            )
        fixed = dtype == np.int8
        channels = (channels or columns(self.gain)) if weight is None else len(weight)
        gain = by_channel(self.gain, channels, np.int32 if fixed else np.float64, "gain", where)
        if fixed and np.abs(gain.astype(np.int64)).max() > GAIN_LIMIT:
            raise NetworkError(f"{where}: |gain| must be ≤ {GAIN_LIMIT} in fixed point")
        shift = whole(self.shift, "shift", where, 0)
        if shift > (LARGEST_SHIFT if fixed else 0):
            raise NetworkError(
                f"{where}: shift is {shift}, expected 0 … {LARGEST_SHIFT}, and 0 in float32"
            )
        spread = channel, row, column
        given = {"source": sources, "gain": gain, "shift": shift, "spread": spread, "heads": heads}
        given |= {name: _places(getattr(self, name), name, where) for name in ("rows", "columns")}
        checked = replace(self, weight=weight, **given, **sides, current_sum=current_sum)
        if weight is None and (sides != PLAIN or self.pooling != "average" or self.current_sum):
            raise NetworkError(
                f"{where}: without weights, expected neither pool, stride, padding nor current_pool"
            )
        if heads and (
            weight is not None or checked.copies or (len(sources) > 1 and len(sources) % 3)
        ):
            raise NetworkError(
                f"{where}: attention has {len(sources)} sources, expected q, k and v, or one that "
                "has all their "
                "channels, or as many of each; and neither weights, spread, rows nor columns"
            )
        if heads and (less := [source.layer for source in sources if source.sign < 0]):
            raise NetworkError(
                f"{where}: attention subtracts {less[0]!r}, expected spikes of sign 1"
            )
        if heads and (
            apart := [source.layer for source in sources if isinstance(source.delay, tuple)]
        ):
            raise NetworkError(
                f"{where}: attention has a delay for each channel of {apart[0]!r}, expected one "
                "for all"
            )
        if checked.kind == "dense" and (sides | {"pool": 1} != PLAIN or self.current_sum):
            raise NetworkError(
                f"{where}: a dense layer has neither stride nor padding nor current_pool"
            )
        if any(2 * padding > side for side, _, padding in zip(*checked.windows, strict=True)):
            raise NetworkError(
                f"{where}: current_padding is {checked.current_padding}, expected at most half of "
                "current_pool, "
                f"{checked.current_pool}"
            )
        if fixed and checked.largest_current >= CURRENT_LIMIT:
            raise NetworkError(
                f"{where}: the int8 weights of one neuron sum to {checked.largest_current:,} in "
                "magnitude, which "
                f"could pass 2²³ = {CURRENT_LIMIT:,}; use fewer inputs per neuron or less pooling"
            )
        return checked

    @property
    def copies(self) -> bool:
        """True if x is not the sources as they are, but copies of some of their places."""
        return self.spread != WHOLE or bool(self.rows or self.columns)

    @property
    def fixed(self) -> bool:
        """True if its weights, or its gain where it has none, are those of fixed point."""
        of = self.gain if self.weight is None else self.weight
        return getattr(of, "dtype", None) in (np.int8, np.int32)

    @property
    def kind(self) -> str:
        """One of "conv", "dense", "identity" and "attention"."""
        if self.weight is None:
            return "attention" if self.heads else "identity"
        return "conv" if self.weight.ndim == 4 else "dense"

    @property
    def windows(self) -> Windows:
        """Those of the maximum pooling of its currents."""
        stride = self.current_pool if self.current_stride is None else self.current_stride
        return Windows(pair(self.current_pool), pair(stride), pair(self.current_padding))

    @property
    def summed(self) -> int:
        """How many neurons pooling sums into one value; 1 with maximum pooling."""
        return 1 if self.pooling == "max" else prod(pair(self.pool))

    @property
    def averaged(self) -> int:
        """How many neurons pooling averages: what sums of them are divided by."""
        return self.summed if self.pooling == "average" else 1

    @property
    def averaged_weight(self) -> NDArray[Any]:
        """The weights of the sum-pooled map: average pooling averages in float32, and sums in fixed
        point.
        """
        assert self.weight is not None
        return self.weight if self.fixed else self.weight / np.float32(self.averaged)

    @cached_property
    def largest_current(self) -> int:
        """The largest magnitude of a that any neuron can reach in fixed point, were all its sources
        to spike.

        It is `sources · max Σ|W|` times :attr:`summed`. Of attention, whose sources decide, see
        :meth:`counted`.
        """
        sources = max(1, len(self.sources))
        if self.weight is None:
            return sources
        sums = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1).sum(axis=1)
        return int(sums.max()) * self.summed * sources

    @property
    def planes(self) -> int:
        """The layers that are summed to each of q, k and v of attention."""
        return max(1, len(self.sources) // 3)

    def summands(self, each: Sequence[Any]) -> list[list[Any]]:
        """What there is of each source, by what it is added to: of attention to q, to k and to v."""
        count = self.planes if self.heads else len(each)
        return [list(each[first : first + count]) for first in range(0, len(each), max(1, count))]

    def values(self, channels: int) -> int:
        """The channels of v among all of q, k and v: as many as the gain has, else a third."""
        own = columns(self.gain)
        return own if own > 1 and len(self.sources) > 1 else channels // 3

    def of_bits(self, channels: int) -> bool:
        """True if q, k and v, which have so many channels together, are bits of one shape."""
        return self.planes == 1 and channels == 3 * self.values(channels)

    def counted(self, shape: Shape) -> int:
        """The largest a of attention, d · N · P³: heads of d channels, N places, P planes; x is
        (2·C + V, H, W).
        """
        channels, height, width = shape
        depth = (channels - self.values(channels)) // 2 // self.heads
        return depth * height * width * self.planes**3

    def arriving(
        self, shape: Shape, where: str = "an input", before: str = "the layer before it"
    ) -> Shape:
        """(C, H, W) of x, of sources of (C, H, W); refuses what attention cannot have. See
        :meth:`output_shape`.
        """
        if not self.heads:
            channels, height, width = (
                side * times for side, times in zip(shape, self.spread, strict=True)
            )
            for name, side in (("rows", height), ("columns", width)):
                if max(getattr(self, name), default=0) >= side:
                    raise NetworkError(
                        f"{where}: {name} name {max(getattr(self, name))}, expected -1 … "
                        f"{side - 1}, of the {side} {name} of {before}"
                    )
            return channels, len(self.rows) or height, len(self.columns) or width
        channels, height, width = shape
        if len(self.sources) == 1 and channels % 3:
            raise NetworkError(
                f"{where}: {before} has {channels} channels, expected those of q, k and v, as many "
                "of each"
            )
        asked = channels // 3 if len(self.sources) == 1 else channels
        values = self.values(3 * asked)
        for own in (asked, values):
            if own % self.heads:
                raise NetworkError(
                    f"{where}: {self.heads} heads do not divide the {own} channels of {before}"
                )
        whole = 2 * asked + values, height, width
        if (most := self.counted(whole)) >= CURRENT_LIMIT:
            raise NetworkError(
                f"{where}: a head of {before} has {asked // self.heads} channels and "
                f"{height * width} tokens, "
                f"whose products can sum to {most:,}, expected less than 2²³ = {CURRENT_LIMIT:,}"
            )
        return whole

    def output_shape(
        self, shape: Shape, where: str = "an input", before: str = "the layer before it"
    ) -> Shape:
        """(C, H, W) of what sources of (C, H, W) drive; refuses what does not fit.

        Parameters
        ----------
        shape : (C, H, W) of the map of each source, before pooling
        where, before : what the message calls the layer, and the one in front of it
        """
        channels, *sides = self.unpooled_shape(shape, where, before)
        rows, columns = self.windows.fit(sides)
        if rows < 1 or columns < 1 or np.greater(self.windows.padding, sides).any():
            raise NetworkError(
                f"{where}: current_pool {self.current_pool} does not fit its {sides[0]}×{sides[1]} "
                "currents with "
                f"current_padding {self.current_padding}"
            )
        if not self.current_sum:
            return channels, rows, columns
        if self.fixed and (most := self.largest_current * rows * columns) >= CURRENT_LIMIT:
            raise NetworkError(
                f"{where}: its currents of {rows}×{columns} places can sum to {most:,}, expected "
                "less than 2²³ = "
                f"{CURRENT_LIMIT:,}; use fewer inputs per neuron or smaller maps"
            )
        return channels, 1, 1

    def unpooled_shape(
        self, shape: Shape, where: str = "an input", before: str = "the layer before it"
    ) -> Shape:
        """(C, H, W) of the currents in front of their pooling; see :meth:`output_shape`."""
        channels, height, width = self.arriving(shape, where, before)
        if self.weight is None:
            return self.values(channels) if self.heads else channels, height, width
        y, x = pair(self.pool)
        if height % y or width % x:
            raise NetworkError(
                f"{where}: pooling {self.pool} does not divide its {height}×{width} input; "
                f"choose a size whose sides are multiples of {self.pool} there"
            )
        height, width = height // y, width // x
        if self.kind == "dense":
            inputs = channels * height * width
            if self.weight.shape[1] != inputs:
                raise NetworkError(
                    f"{where}: weight expects {self.weight.shape[1]} inputs, the pooled map of "
                    f"{before} has "
                    f"{channels}×{height}×{width} = {inputs}"
                )
            return (self.weight.shape[0], 1, 1)
        if self.weight.shape[1] != channels:
            raise NetworkError(
                f"{where}: weight expects {self.weight.shape[1]} channels, {before} has {channels}"
            )
        rows, columns = (
            (side + 2 * padding - kernel) // stride + 1
            for side, kernel, stride, padding in zip(
                (height, width),
                self.weight.shape[2:],
                pair(self.stride),
                pair(self.padding),
                strict=True,
            )
        )
        if rows < 1 or columns < 1:
            raise NetworkError(
                f"{where}: kernel {self.weight.shape[2:]} does not fit its {height}×{width} input "
                f"with padding {self.padding}"
            )
        return (self.weight.shape[0], rows, columns)

    def to_graph(self) -> dict[str, Any]:
        """The input as JSON; its :attr:`tensors` are stored beside it."""
        values = {name: getattr(self, name) for name in STORED}
        return {
            "kind": self.kind,
            "shape": [] if self.weight is None else list(self.weight.shape),
            "shift": self.shift,
            "source": [
                [_plain(getattr(source, field.name)) for field in fields(source)]
                for source in self.sources
            ],
            **{
                name: _plain(value)
                for name, value in values.items()
                if name not in UNSAID or value != UNSAID[name]
            },
        }

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """Its weights, if it has any, and its gain."""
        return {"gain": self.gain} | ({} if self.weight is None else {"weight": self.weight})

    @classmethod
    def from_graph(
        cls, node: dict[str, Any], prefix: str, tensors: dict[str, NDArray[Any]]
    ) -> Input:
        """Rebuild an input from its node, and from its tensors, whose names begin with a prefix and
        a dot.
        """
        weight = None if node["kind"] in ("identity", "attention") else tensors[f"{prefix}.weight"]
        source = tuple(Source(layer, delay, sign) for layer, delay, sign in node["source"])
        values = {name: (UNSAID | node)[name] for name in STORED}
        return cls(weight, source, tensors[f"{prefix}.gain"], **values, shift=node["shift"])


SIDE_BY_SIDE: dict[str, Any] = {"current_stride": None, "current_padding": 0}
PLAIN = {
    "pool": 1,
    "stride": 1,
    "padding": 0,
    "current_pool": 1,
    **SIDE_BY_SIDE,
}  # the geometry of weights alone
STORED = (*PLAIN, "pooling", "spread", "heads", "current_sum", "rows", "columns")
# Not written where they are the default, so that inputs without are described as ever.
UNSAID = {
    **SIDE_BY_SIDE,
    "spread": WHOLE,
    "heads": 0,
    "current_sum": False,
    "rows": (),
    "columns": (),
}


def _places(given: Any, name: str, where: str) -> tuple[int, ...]:
    """The rows or columns that an input takes, of which an array or a tensor may hold them."""
    given = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(given, (tuple, list)) or len(given) > MOST_PLACES:
        raise NetworkError(
            f"{where}: {name} is {printable(repr(given), LONGEST_NAME)}, expected at most "
            f"{MOST_PLACES:,} numbers, -1 for zeros"
        )
    return tuple(whole(each, f"a number of {name}", where, -1) for each in given)


def _plain(value: Any) -> Any:
    """A value as JSON has it, which knows no tuples."""
    return list(value) if isinstance(value, tuple) else value


def columns(constant: Any) -> int:
    """How many channels a constant is given for: C of (C,) or (T, C), 1 of one number."""
    return int(np.shape(constant)[-1]) if np.ndim(constant) else 1


def _sources(given: Any, where: str) -> tuple[Source, ...]:
    """The sources of a layer, as they may be written: nothing, a name, a :class:`Source`, or
    several of these.
    """
    several = given if isinstance(given, (tuple, list)) else (given,)
    if len(several) > MOST_SOURCES:
        raise NetworkError(f"{where}: got {len(several)} sources, expected at most {MOST_SOURCES}")
    return tuple(_source(each, where) for each in several)


def _source(given: Any, where: str) -> Source:
    source = Source(given) if isinstance(given, str) else given
    if not isinstance(source, Source) or not isinstance(source.layer, str):
        shown = printable(repr(given), LONGEST_NAME)
        raise NetworkError(f"{where}: source is {shown}, expected the name of a layer, or a Source")
    delay = _delay(source, where)
    if source.sign not in (1, -1) or isinstance(source.sign, bool):
        raise NetworkError(
            f"{where}: sign of {source.layer!r} is {source.sign!r}, expected 1 or -1"
        )
    return Source(source.layer, delay, int(source.sign))


def _delay(source: Source, where: str) -> int | tuple[int, ...]:
    """The delay of a source, or those of its channels, of which an array or a tensor may hold them."""
    given: Any = source.delay
    given = given.tolist() if hasattr(given, "tolist") else given
    of = f"delay from {printable(source.layer, LONGEST_NAME)!r}"
    if not isinstance(given, (tuple, list)):
        return _steps(given, of, where)
    if not given:
        raise NetworkError(f"{where}: {of} is of no channel, expected one for all, or one for each")
    return tuple(
        _steps(each, f"{of}, channel {channel},", where) for channel, each in enumerate(given)
    )


def _steps(given: Any, what: str, where: str) -> int:
    steps = whole(given, what, where, 1)
    if steps > LONGEST_DELAY:
        raise NetworkError(f"{where}: {what} is {steps}, expected 1 … {LONGEST_DELAY} steps")
    return steps


def checked_weight(weight: Any, dtype: Any, where: str) -> NDArray[Any]:
    """The weights of a convolution or of a dense layer, float32, or int8 in fixed point."""
    checked = array(weight, dtype, "weight", where)
    if checked.ndim not in (2, 4) or 0 in checked.shape:
        raise NetworkError(
            f"{where}: weight has shape {checked.shape}, expected (out, in, y, x) for a "
            "convolution "
            "or (out, in) for a dense layer"
        )
    check_weight(checked, where)
    return checked


def check_weight(weight: NDArray[Any], where: str) -> None:
    """Refuse an int8 weight that some backend cannot hold."""
    if weight.dtype == np.int8 and weight.min() < -WEIGHT_LIMIT:
        raise NetworkError(
            f"{where}: got a weight of -128, expected -{WEIGHT_LIMIT} … {WEIGHT_LIMIT} in fixed "
            "point, which every "
            "backend can hold"
        )
