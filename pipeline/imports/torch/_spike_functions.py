"""Functions of spikes, number by number, such as `relu`, `clamp(a + b, max=1)` or `logical_or`.

They are exact, since spikes are 0 or 1:

    x = scale · n + offset                what a tensor holds; n = Σ ± s of spikes that are summed
    f(x) = slope · n + constant           where f is so for every n that there can be
    f(x) = f(0) + Σ Δ_k [n ≥ k]           else: neurons without memory that fire where n ≥ k

Here f(0) stands for n = 0, and Δ_k is f's step from n = k - 1 to k; downwards it is -n that
reaches k. A function of two layers of spikes is one of their sum or of their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from spikesam.backends.network import LIF
from spikesam.backends.network.sources import MOST_SOURCES
from spikesam.pipeline.imports.road.operations import (
    Junction,
    Operation,
    Order,
    Pad,
    Path,
    Pool,
    Scale,
    Shift,
    Spread,
)
from spikesam.pipeline.imports.torch._products import Gate, Gates
from spikesam.pipeline.imports.torch._stream import (
    COUNT,
    GATE,
    OR,
    Stream,
    aligned,
    need,
    zeros,
)
from spikesam.pipeline.imports.torch.call import Call, tensors

NOT_LINEAR = "which is not linear"
# Functions of two layers, one of which may be zeros in front of the first step.
OF_TWO_LAYERS = frozenset(
    (
        *("maximum", "minimum", "fmax", "fmin", "max", "min"),
        *("logical_or", "logical_and", "logical_xor", "bitwise_or", "bitwise_and", "bitwise_xor"),
        *("__or__", "__and__", "__xor__", "__ior__", "__iand__", "__ixor__"),
    )
)
ELEMENTWISE = OF_TWO_LAYERS | {
    *("relu", "relu6", "abs", "absolute", "clamp", "clip", "clamp_min", "clamp_max", "hardtanh"),
    *("round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside"),
    *("square", "sqrt", "pow", "where", "masked_fill", "logical_not", "bitwise_not", "__invert__"),
    *("gt", "ge", "lt", "le", "eq", "ne", "__eq__", "__ne__"),
    *("greater", "greater_equal", "less", "less_equal", "not_equal"),
    *("bool", "int", "long", "short", "double", "half", "bfloat16"),
}
NARROW = (torch.uint8, torch.int8)  # sums wrap around


@dataclass(frozen=True)
class SpikeSum:
    """Numbers scale · Σ ± s + offset; a spike s has its path, to which its sign belongs."""

    paths: tuple[Path, ...]
    signs: tuple[int, ...]
    scale: float
    offset: float

    @property
    def counts(self) -> range:
        """All that Σ ± s can be."""
        return range(-self.signs.count(-1), self.signs.count(1) + 1)

    def values(self, counts: Any) -> Any:
        """The numbers of Σ ± s."""
        return self.scale * counts + self.offset

    def counted(self, values: Tensor) -> Tensor:
        """Σ ± s, int64, of the numbers that a tensor holds."""
        return ((values.double() - self.offset) / self.scale).round().long()


def spike_sum(path: Path, fires: Callable[[str], bool]) -> SpikeSum | None:
    """A path as spikes that are summed; None of others. `fires` says which sources are spikes."""
    terms = _terms(path, fires)
    if terms is None:
        return None
    factors, offset = [factor for _, factor in terms[0]], terms[1]
    scale = abs(factors[0])
    if not scale or len(factors) > MOST_SOURCES or any(abs(factor) != scale for factor in factors):
        return None
    signs = tuple(1 if factor > 0 else -1 for factor in factors)
    if len(signs) == 1:  # so that n is the spike itself
        signs, scale = (1,), factors[0]
    return SpikeSum(tuple(spikes for spikes, _ in terms[0]), signs, scale, offset)


def _terms(
    path: Path, fires: Callable[[str], bool]
) -> tuple[list[tuple[Path, float]], float] | None:
    """Spikes, each times a number, whose sum plus a number a path is; None of others."""
    operations = list(path.operations)
    numbers = []
    while operations and _one_number(operations[-1]):
        numbers.append(operations.pop().what)
    gain, offset = float(path.sign), 0.0
    for kind in reversed(numbers):
        if isinstance(kind, Scale):
            gain, offset = gain * kind.numbers, offset * kind.numbers
        else:
            offset += kind.numbers
    front = replace(path, operations=tuple(operations), sign=1)
    if _are_spikes(front, fires):
        return [(front, gain)], offset
    source = front.source
    if front.operations or not (isinstance(source, Junction) and source.kind == "sum"):
        return None
    terms: list[tuple[Path, float]] = []
    for branch in source.branches:
        of_branch = _terms(branch, fires)
        if of_branch is None:
            return None
        terms += [(spikes, gain * factor) for spikes, factor in of_branch[0]]
        offset += gain * of_branch[1]
    return terms, offset


def _one_number(operation: Operation) -> bool:
    kind = operation.what
    return isinstance(kind, (Scale, Shift)) and isinstance(kind.numbers, (int, float))


def _are_spikes(path: Path, fires: Callable[[str], bool]) -> bool:
    """True if a path holds zeros and ones alone."""
    for operation in path.operations:
        kind = operation.what
        pools = isinstance(kind, Pool) and kind.kind == "max"
        if not (pools or isinstance(kind, (Order, Pad, Spread))):
            return False
    source = path.source
    if isinstance(source, Junction):
        joined = source.kind == "concatenation"
        return joined and all(_are_spikes(branch, fires) for branch in source.branches)
    return path.sign == 1 and fires(source)


def is_elementwise(call: Call) -> bool:
    """True if a function of each number alone, which is not linear, is called."""
    joins_truths = call.plain_name == "add" and call.result.dtype == torch.bool
    return call.plain_name in ELEMENTWISE or joins_truths or bool(call.kwargs.get("rounding_mode"))


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor of spikes that go into a function, or of their sums."""

    tensor: Tensor
    stream: Stream
    total: SpikeSum


def spike_operands(call: Call) -> list[Operand]:
    """All tensors of spikes that go into a call; empty if others do, too."""
    operands: dict[int, Operand] = {}
    for tensor in tensors((call.args, call.kwargs)):
        stream = call.known(tensor)
        if stream is None and call.plain_name in OF_TWO_LAYERS:
            stream = zeros(tensor, call.samples)
        if stream is None:
            continue
        total = spike_sum(stream.path, call.fires) if isinstance(stream, Stream) else None
        if total is None or not isinstance(stream, Stream) or stream.summed:
            return []
        operands[id(tensor)] = Operand(tensor, stream, total)
    return list(operands.values())


def function_of_spikes(call: Call, operands: Sequence[Operand]) -> Stream | Gates | None:
    """The result of an elementwise function; None if it is one number whatever the spikes are."""
    need(len(operands) < 3, "of more than two layers")
    need("out" not in call.kwargs, "which writes into another tensor (out=)")
    shape = torch.broadcast_shapes(*(operand.tensor.shape for operand in operands))
    elementwise = isinstance(call.result, Tensor) and call.result.shape == shape
    need(elementwise, "which is not a function of each spike alone")
    narrow = call.result.dtype in NARROW
    need(not narrow, f"as {call.result.dtype}, in which sums wrap around")
    return _of_one(call, operands[0]) if len(operands) == 1 else _of_two(call, *operands)


def _called_with(call: Call, tables: dict[int, Tensor]) -> Tensor:
    """The result of the call's function on other numbers, by identity of the tensors; float64."""

    def replaced(value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) in tables:
                return tables[id(value)].clone()
            alike = value.numel() > 0 and bool((value == value.flatten()[0]).all())
            need(alike, "with numbers that differ from neuron to neuron")
            return value.flatten()[0]
        if isinstance(value, (tuple, list)):
            return type(value)(replaced(member) for member in value)
        return value

    arguments = replaced(call.args)
    options = {name: replaced(value) for name, value in call.kwargs.items()}
    table: Tensor = call.function(*arguments, **options)
    return table.double()


def _of_one(call: Call, operand: Operand) -> Stream | Gates | None:
    """A function of one layer of spikes, or of a sum of several."""
    tensor, stream, total = operand.tensor, operand.stream, operand.total
    values = total.values(_numbers(total, tensor))
    table = _called_with(call, {id(tensor): values.to(tensor.dtype)})
    counts = None if call.result is tensor else total.counted(tensor)
    if counts is not None:
        _check(call, table[counts - total.counts.start])
    return _of_counts(call, stream, total, table, counts)


def _of_two(call: Call, first: Operand, second: Operand) -> Stream | Gates | None:
    """A function of two layers of spikes, which is one of their sum or difference."""
    operands = first, second
    names = " and ".join(operand.stream.path.last for operand in operands)
    single = all(len(operand.total.paths) == 1 for operand in operands)
    need(single, f"of sums of spikes, which are {names}, expected spikes of 0 and 1")
    in_place = any(call.result is operand.tensor for operand in operands)
    need(not in_place, f"which overwrites spikes, expected a tensor of its own: {names}")
    bits = torch.arange(2.0, dtype=torch.float64, device=call.result.device)
    grids = torch.meshgrid(bits, bits, indexing="ij")
    tables = {
        id(operand.tensor): operand.total.values(grid).to(operand.tensor.dtype)
        for operand, grid in zip(operands, grids, strict=True)
    }
    table = _called_with(call, tables)
    counts = [
        operand.total.counted(operand.tensor).expand(call.result.shape) for operand in operands
    ]
    _check(call, table[counts[0], counts[1]])
    streams = [operand.stream.along(operand.total.paths[0]) for operand in operands]
    neither, of_second, of_first, of_both = table.flatten().tolist()
    if streams[0].path == streams[1].path and torch.equal(streams[0].places, streams[1].places):
        total = replace(first.total, scale=1.0, offset=0.0)
        return _of_counts(call, streams[0], total, table.diagonal(), counts[0])
    if of_second == of_first:
        signs, values, number = (1, 1), [neither, of_first, of_both], counts[0] + counts[1]
    else:
        need(neither == of_both, f"of {names}, which is no function of their sum or difference")
        signs, values, number = (1, -1), [of_second, neither, of_first], counts[0] - counts[1]
    places, paths = aligned(streams[0], streams[1], call.samples)
    stream = Stream(places, streams[0].size, Path(Junction(call.label, "sum", paths), lag=None))
    table = torch.tensor(values, dtype=torch.float64, device=call.result.device)
    return _of_counts(call, stream, SpikeSum(paths, signs, 1.0, 0.0), table, number)


def _of_counts(
    call: Call, stream: Stream, total: SpikeSum, table: Tensor, counts: Tensor | None
) -> Stream | Gates | None:
    """A function of a stream's sum of spikes n; `table` has it of all n, and `counts` n, unless
    the function has overwritten it.
    """
    steps = table.diff()
    if not steps.any():
        return None
    if torch.equal(table, total.values(_numbers(total, table))):
        return stream
    if (steps == steps[0]).all():
        gain, first = steps[0].item() / total.scale, total.counts.start
        return _scaled(call, stream, gain, table[0].item() - gain * total.values(first))
    return _gates(call, stream, total, table, counts)


def _numbers(total: SpikeSum, like: Tensor) -> Tensor:
    """All that Σ ± s can be."""
    return torch.tensor(total.counts, dtype=torch.float64, device=like.device)


def _gates(
    call: Call, stream: Stream, total: SpikeSum, table: Tensor, counts: Tensor | None
) -> Gates:
    """Neurons whose sum a function of n is."""
    start, stop = total.counts.start, total.counts.stop
    numbers = _numbers(total, table)
    levels = [(1, k) for k in range(1, stop)] + [(-1, k) for k in range(1, 1 - start)]
    gates = []
    for sign, k in levels:
        step = (table[sign * k - start] - table[sign * (k - 1) - start]).item()
        if not step:
            continue
        reached = sign * numbers >= k
        if counts is not None:
            fired = sign * counts >= k
        else:
            values = table.to(call.result.dtype)
            apart = not torch.isin(values[reached], values[~reached]).any()
            need(apart, "which overwrites spikes, expected a tensor of its own")
            fired = torch.isin(call.result, values[reached])
        branches = tuple(
            path if sign == of_path else path + Operation(call.label, Scale(-1.0))
            for path, of_path in zip(total.paths, total.signs, strict=True)
        )
        summed = all(sign == of_path for of_path in total.signs)
        kind = OR if summed and k == 1 else GATE if summed and k == len(branches) else COUNT
        path = Path(Junction(call.label, "gate", branches), lag=None)
        neuron = LIF(0.0, k - 0.5, reset="zero")
        gates.append(Gate(stream.along(path), neuron, fired.float(), step, kind))
    return Gates(tuple(gates), table[-start].item())


def _check(call: Call, expected: Tensor) -> None:
    alike = torch.equal(expected, call.result.double())
    need(alike, "which gives other numbers than it gives for each spike alone")


def _scaled(call: Call, stream: Stream, gain: float, offset: float) -> Stream:
    """Gain · x + offset, without operations that change nothing."""
    if gain != 1:
        stream = stream.then(Operation(call.label, Scale(gain)))
    return stream if offset == 0 else stream.then(Operation(call.label, Shift(offset)))
