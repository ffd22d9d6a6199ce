"""Products of spikes: gates, neuron by neuron, and attention, a product of three matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

import torch
from torch import Tensor

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.road.operations import (
    NOTHING,
    Junction,
    Operation,
    Order,
    Path,
    Pool,
    Repeat,
    Scale,
    Shift,
)
from spikesam.pipeline.imports.torch._stream import (
    GATE,
    LostError,
    Product,
    Stream,
    at_one_time,
    bare,
    need,
)

THIRD = "expected spikes of 0 and 1, or 1 less them"
_numbers = count()


@dataclass(frozen=True)
class _Bits:
    """Spikes s, or 1 - s where `negated`, times a factor; `path` is theirs alone."""

    path: Path
    negated: bool
    factor: float


def _bits(stream: Stream, sums: bool = False) -> _Bits:
    """The kind of a factor of a product; `sums` of spikes can be where counts are multiplied."""
    path, gain, shift = bare(stream.path), 1.0, 0.0
    operations: list[Operation] = []
    for operation in path.operations:
        kind = operation.what
        number = getattr(kind, "numbers", None)
        if isinstance(kind, Scale) and isinstance(number, (int, float)):
            gain, shift = gain * number, shift * number
        elif isinstance(kind, Shift) and isinstance(number, (int, float)):
            shift += number
        elif isinstance(kind, Order) or (_is_maximum(kind) and gain > 0 and not shift):
            operations.append(operation)
        else:
            raise LostError(f"a product with a current of {operation.label}, {THIRD}")
    names = " and ".join(dict.fromkeys(replace(leaf, operations=()).last for leaf in path.leaves))
    summable = isinstance(path.source, str) or (sums and not shift)
    fired = summable and _spikes(replace(path, operations=())) and not stream.summed
    need(fired, f"a product with a sum of {names}, {THIRD}")
    need(
        gain and (not shift or gain == -shift),
        f"a product with {gain:g} · s + {shift:g} of {names}, {THIRD}",
    )
    return _Bits(replace(path, operations=tuple(operations)), shift != 0, shift or gain)


def _is_maximum(kind: object) -> bool:
    return isinstance(kind, Pool) and kind.kind == "max"


def _spikes(path: Path) -> bool:
    """True of spikes, and of sums of them."""
    if isinstance(path.source, Junction):
        return (
            path.source.kind == "sum"
            and not path.operations
            and all(map(_spikes, path.source.branches))
        )
    return path.source != NOTHING and path.sign == 1 and not path.operations


@dataclass(frozen=True, eq=False)
class Gate:
    """Neurons without memory that fire where spikes meet; `factor` times what they fire counts."""

    stream: Stream  # what drives them
    neuron: LIF
    fired: Tensor  # 0 and 1, as the model has it
    factor: float
    kind: str  # behind the name of the first layer that they read


@dataclass(frozen=True, eq=False)
class Gates:
    """A function of spikes: gates, which are summed, and a number."""

    gates: tuple[Gate, ...]
    constant: float = 0.0


def gate(
    first_stream: Stream, second_stream: Stream, result: Tensor, samples: int, label: str
) -> Gate:
    """The product of two streams, number by number; else a LostError."""
    first, second = _bits(first_stream), _bits(second_stream)
    finding = (
        f"a product of 1 less spikes of {first_stream.path.last} and of {second_stream.path.last}, "
        "expected one that is not negated"
    )
    need(not (first.negated and second.negated), finding)
    expanded = [
        replace(stream, places=stream.places.expand(result.shape), path=bits.path)
        for stream, bits in zip((first_stream, second_stream), (first, second), strict=True)
    ]
    unlike = "a product of different samples or steps"
    steps, latest = at_one_time(expanded, [stream.steps(samples) for stream in expanded], unlike)
    rows = [stream.within(samples) // stream.size for stream in expanded]
    need(torch.equal(*rows), unlike)
    numbers = [stream.places % stream.size for stream in expanded]
    chosen = [places.unique() for places in numbers]
    base = 0 if len(chosen[0]) >= len(chosen[1]) else 1
    base_places, size = chosen[base], len(chosen[base])
    row = steps * samples + rows[0]
    need(
        result.numel() == row.unique().numel() * size,
        "a product in which no factor has all neurons once",
    )
    ranks = torch.searchsorted(base_places, numbers[base].contiguous())
    repeated_places = torch.empty(size, dtype=torch.int64, device=base_places.device)
    repeated_places[ranks.flatten()] = numbers[1 - base].flatten()
    need(
        torch.equal(repeated_places[ranks], numbers[1 - base]),
        "a product in an order that differs from sample to sample",
    )
    negation = Operation(label, Scale(-1.0))
    paths = [
        path + negation if bits.negated else path
        for path, bits in zip(latest, (first, second), strict=True)
    ]
    if size != expanded[base].size:
        paths[base] += Operation(label, Order(tuple(base_places.tolist())))
    if not torch.equal(
        repeated_places, torch.arange(expanded[1 - base].size, device=repeated_places.device)
    ):
        paths[1 - base] += Operation(label, Repeat(tuple(repeated_places.tolist())))
    negated = first.negated or second.negated
    junction = Junction(label, "gate", (paths[base], paths[1 - base]))
    stream = Stream(row * size + ranks, size, Path(junction, lag=None))
    factor = first.factor * second.factor
    bits = result / factor
    fired = bits.where((bits - 1).abs() > 1e-5, 1.0)
    return Gate(stream, LIF(0.0, 0.5 if negated else 1.5, reset="zero"), fired, factor, GATE)


Factor = Stream | Product
Axes = list[tuple[int, ...]]


def matrices(factors: Sequence[Factor], ndims: Sequence[int]) -> Axes | None:
    """The axes of two factors of a product of matrices, and of the product, numbered; None of other
    shapes.
    """
    if len(factors) != 2 or ndims[0] != ndims[1] or ndims[0] < 2:
        return None
    first, second = factors
    if isinstance(second, Product):
        right = second.axes
        left = (*right[:-2], next(_numbers), right[-2])
    else:
        left = (
            first.axes
            if isinstance(first, Product)
            else tuple(next(_numbers) for _ in range(ndims[0]))
        )
        right = (*left[:-2], left[-1], next(_numbers))
    return [left, right, (*left[:-1], right[-1])]


def multiplied(
    factors: Sequence[Factor],
    axes: Sequence[tuple[int, ...]],
    result: Sequence[int],
    samples: int,
    label: str,
) -> Stream | Product:
    """Streams and products, whose axes are numbered, multiplied and summed over the axes that the
    result has not.
    """
    streams: list[tuple[Stream, tuple[int, ...]]] = []
    factor = 1.0
    for member, names in zip(factors, axes, strict=True):
        if isinstance(member, Product):
            renamed = dict(zip(member.axes, names, strict=True))
            streams += [
                (stream, tuple(renamed.get(a, a) for a in stream_axes))
                for stream, stream_axes in member.streams
            ]
            factor *= member.factor
        else:
            streams.append((member, names))
    need(len(streams) <= 3, "a product of more than three layers, expected q, k and v")
    if len(streams) < 3:
        return Product(label, tuple(streams), tuple(result), factor)
    attention = _attention(streams, tuple(result), samples, label)
    return attention if factor == 1 else attention.then(Operation(label, Scale(factor)))


def _attention(
    streams: Sequence[tuple[Stream, tuple[int, ...]]],
    result: tuple[int, ...],
    samples: int,
    label: str,
) -> Stream:
    """Q · kᵀ · v: k shares an axis with each of the others, channels with q, and tokens with v."""
    shared = set.intersection(*(set(axes) for _, axes in streams))
    batch = [axis for axis in result if axis in shared]
    keys = [(stream, axes) for stream, axes in streams if not (set(axes) & set(result)) - shared]
    outer_streams = [
        (stream, axes) for stream, axes in streams if (set(axes) & set(result)) - shared
    ]
    finding = "a product of three layers that is no attention, expected q · kᵀ · v"
    need(len(keys) == 1 and len(outer_streams) == 2 and len(result) == len(batch) + 2, finding)
    reason: LostError | None = None
    key, of_key = keys[0]
    for (query, of_query), (value, of_value) in (outer_streams, outer_streams[::-1]):
        private_axes = [
            {*axes} & {*axes_met} - shared
            for axes, axes_met in (
                (of_query, of_key),
                (of_value, of_key),
                (of_query, result),
                (of_value, result),
            )
        ]
        need(all(len(axes) == 1 for axes in private_axes), finding)
        channel, token, query_token, value_channel = (axes.pop() for axes in private_axes)
        try:
            of_heads = [
                _tokens(query, of_query, batch, channel, query_token),
                _tokens(key, of_key, batch, channel, token),
                _tokens(value, of_value, batch, value_channel, token),
            ]
        except LostError as error:
            reason = reason or error
        else:
            return _joined_heads(
                of_heads, (*batch, value_channel, query_token), result, samples, label
            )
    assert reason is not None
    raise reason


@dataclass(frozen=True, eq=False)
class _Tokens:
    """Spikes of some heads: (…, d, N) of the axes in front."""

    stream: Stream
    bits: _Bits
    rows: Tensor  # (…) which sample and step
    heads: Tensor  # (…) and which head
    first: int  # number of the first neuron that is read
    depth: int
    tokens: int


def _tokens(
    stream: Stream, axes: tuple[int, ...], batch: list[int], channel: int, token: int
) -> _Tokens:
    bits, last = _bits(stream, sums=True), stream.path.last
    need(not bits.negated, f"attention to 1 less spikes of {last}, expected spikes")
    finding = (
        f"attention in which {last} has other axes, expected samples, heads, tokens and channels"
    )
    need(sorted(axes) == sorted((*batch, channel, token)), finding)
    places_read = stream.places.permute([axes.index(axis) for axis in (*batch, channel, token)])
    depth, tokens = places_read.shape[-2:]
    numbers = places_read % stream.size
    first = int(numbers.min())
    heads = (numbers[..., 0, 0] - first) // (depth * tokens)
    places = torch.arange(depth * tokens, device=places_read.device).view(depth, tokens)
    rows = places_read[..., 0, 0] // stream.size
    expected = (
        rows[..., None, None] * stream.size
        + first
        + heads[..., None, None] * depth * tokens
        + places
    )
    finding = (
        f"attention in which the channels of {last} are in another order, expected head by head"
    )
    need(torch.equal(places_read, expected), finding)
    return _Tokens(stream, bits, rows, heads, first, depth, tokens)


def _joined_heads(
    factors: list[_Tokens], axes: tuple[int, ...], result: tuple[int, ...], samples: int, label: str
) -> Stream:
    """The stream of attention, numbered as (C, N)."""
    query, key, value = factors
    heads = int(query.heads.max()) + 1
    sizes = [heads * factor_tokens.depth * factor_tokens.tokens for factor_tokens in factors]
    alike = {
        (factor_tokens.tokens, int(factor_tokens.heads.max()) + 1) for factor_tokens in factors
    }
    same = query.depth == key.depth and all(
        torch.equal(factor_tokens.heads, query.heads) for factor_tokens in factors
    )
    need(len(alike) == 1 and same, "attention of unlike heads, expected q, k and v of one shape")
    streams = [factor_tokens.stream.along(factor_tokens.bits.path) for factor_tokens in factors]
    unlike = "attention of different samples or steps"
    latest, paths = at_one_time(
        streams, [factor_tokens.rows // samples for factor_tokens in factors], unlike
    )
    need(
        all(
            torch.equal(factor_tokens.rows % samples, query.rows % samples)
            for factor_tokens in factors
        ),
        unlike,
    )
    size = sizes[2]
    if any(
        factor_tokens.first or factor_tokens.stream.size != factor_size
        for factor_tokens, factor_size in zip(factors, sizes, strict=True)
    ):
        packed = [factor_tokens.first for factor_tokens in factors] == [0, size, 2 * size] and {
            factor_tokens.stream.size for factor_tokens in factors
        } == {3 * size}
        names = " and ".join(
            dict.fromkeys(factor_tokens.stream.path.last for factor_tokens in factors)
        )
        finding = (
            f"attention of some channels of {names}, expected whole layers, or one of all channels "
            "of q, k and v"
        )
        need(packed and all(path == paths[0] for path in paths), finding)
        paths = paths[:1]
    rows = latest * samples + query.rows % samples
    places = torch.arange(value.depth * value.tokens, device=rows.device).view(
        value.depth, value.tokens
    )
    numbers = (rows * size + query.heads * value.depth * value.tokens)[..., None, None] + places
    order = [axes.index(axis) for axis in result]
    path = Path(Junction(label, "attention", paths, heads), lag=None)
    factor = query.bits.factor * key.bits.factor * value.bits.factor
    stream = Stream(numbers.permute(order), size, path)
    return stream if factor == 1 else stream.then(Operation(label, Scale(factor)))


def lettered(equation: str, ndims: Sequence[int]) -> Axes | None:
    """The axes of the factors of an einsum, and of its result, numbered by their letters; None of
    other equations.
    """
    factors, arrow, result = equation.replace(" ", "").partition("->")
    terms = factors.split(",")
    once = all(len(set(term)) == len(term) for term in (*terms, result))
    if not arrow or "." in equation or [len(term) for term in terms] != list(ndims) or not once:
        return None
    numbers = {letter: next(_numbers) for letter in dict.fromkeys(factors.replace(",", ""))}
    return [tuple(numbers[letter] for letter in term) for term in (*terms, result)]
