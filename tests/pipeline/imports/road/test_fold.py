"""The laws of folding, over random operations and numbers: what is folded does what the operations do one by one."""

from functools import reduce
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as some
from torch import Tensor
from torch.nn import functional

from spikesam.backends.network import NetworkError, Source, Windows
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road.build import depths
from spikesam.pipeline.imports.road.fold import Folded, Synapses, fold
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    ByStep,
    Conv,
    Flatten,
    Junction,
    Linear,
    Mix,
    Operation,
    Order,
    Pad,
    Path,
    Pool,
    Scale,
    Shift,
    Spread,
    Total,
)

SHAPE = (4, 6, 8)
seeds = some.integers(0, 1 << 30)


def drawn(kind: str, random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """An operation of a kind on a map, or on neurons."""
    channels, height, width = shape
    padding = ((1, 0), (0, 1)) if kind.endswith("padded") else ((0, 0), (0, 0))
    if kind.startswith("conv"):
        groups = int(random.choice([1, channels]))
        weight = random.normal(size=(channels, channels // groups, min(2, height), min(3, width)))
        stride, dilation = ((1, int(random.integers(1, 3))), (int(random.integers(1, 3)), 1))
        return Conv(weight, random.normal(size=channels), stride, padding, dilation, groups)
    if kind == "linear":
        return Linear(random.normal(size=(channels, channels * height * width)), random.normal(size=channels))
    if kind in ("scale", "shift"):
        numbers = random.normal(size=channels) if random.random() < 0.5 else float(random.normal())
        return (Scale if kind == "scale" else Shift)(numbers)
    if kind in ("average", "sum", "max"):
        whole = Windows((2, 2), (2, 2)), Windows((2, 3), (1, 2)), Windows((2, 2), (2, 1), (1, 0))
        return Pool(kind, whole[int(random.integers(0, 3))])  # type: ignore[arg-type]
    if kind == "mix":
        return Mix(random.normal(size=(channels, channels)), height * width, random.normal(size=channels))
    if kind.startswith("total"):
        return Total("average" if kind.endswith("average") else "sum", height * width)
    if kind == "spread":
        return Spread(tuple(random.integers(1, 3, 3).tolist()))
    if kind == "order":
        places = np.arange(height * width)
        return Order(tuple((random.permutation(channels)[:, None] * len(places) + places).flatten().tolist()))
    return Flatten() if kind == "flatten" else Pad(((1, 2), (0, 1)))


def done(x: Tensor, what: Any) -> Tensor:
    """What an operation makes of (C, H, W) numbers, in double precision."""
    if isinstance(what, Conv):
        (top, bottom), (left, right) = what.padding
        x = functional.pad(x, (left, right, top, bottom))[None]
        return functional.conv2d(x, tensor(what.weight), tensor(what.bias), what.stride, 0, what.dilation, what.groups)[
            0
        ]
    if isinstance(what, Linear):
        return (tensor(what.weight) @ x.flatten() + tensor(what.bias))[:, None, None]
    if isinstance(what, (Scale, Shift)):
        numbers = tensor(what.numbers).reshape(-1, 1, 1)
        return x * numbers if isinstance(what, Scale) else x + numbers
    if isinstance(what, Pool):
        if what.kind == "max":
            return functional.max_pool2d(x, *what.windows)
        return functional.avg_pool2d(x, *what.windows) * (prod(what.windows.sides) if what.kind == "sum" else 1)
    if isinstance(what, Mix):
        return torch.einsum("oc,chw->ohw", tensor(what.weight), x) + tensor(what.bias)[:, None, None]
    if isinstance(what, Total):
        return x.mean((1, 2), keepdim=True) * (1 if what.kind == "average" else what.places)
    if isinstance(what, Spread):
        return repeated(x, what.factors)
    if isinstance(what, Order):
        return x.flatten()[list(what.neurons)].view(x.shape)
    return x.flatten()[:, None, None] if isinstance(what, Flatten) else functional.pad(x, (0, 1, 1, 2))


def repeated(x: Tensor, factors: tuple[int, ...]) -> Tensor:
    for axis, times in enumerate(factors):
        x = x.repeat_interleave(times, axis)
    return x


def tensor(numbers: Any) -> Tensor:
    return torch.as_tensor(np.asarray(numbers, np.float64))


def currents(folded: Folded, spikes: dict[str, Tensor]) -> Tensor:
    """What drives neurons, by the equation of their inputs."""
    total = tensor(folded.bias).reshape(-1, 1, 1)
    for each in folded.inputs:
        total = total + driven(each, spikes).reshape(-1, *folded.shape[1:]) * tensor(each.gain).reshape(-1, 1, 1)
    return total


def driven(each: Synapses, spikes: dict[str, Tensor]) -> Tensor:
    x = sum((source.sign * spikes[source.layer] for source in each.sources), start=torch.zeros(()))
    x = repeated(x, each.spread)
    x = functional.max_pool2d(x, each.pool) if each.pooling == "max" else functional.avg_pool2d(x, each.pool)
    x = x * (prod(each.pool) if each.pooling == "sum" else 1)
    if each.ones:
        x = torch.ones_like(x[:1])
    if each.weight is None:
        return x if each.order is None else (x if each.order.channels else x.flatten())[each.order.numbers]
    if each.weight.ndim == 2:
        return tensor(each.weight) @ x.flatten()
    x = functional.conv2d(x[None], tensor(each.weight), None, each.stride, each.padding)[0]
    sides, stride, padding = each.windows
    x = functional.max_pool2d(x, sides, stride, padding)
    return x.sum((1, 2), keepdim=True) if each.current_sum else x


def spikes(random: np.random.Generator, *names: str) -> dict[str, Tensor]:
    return {name: tensor(random.random(SHAPE) < 0.4) for name in names}


KINDS = (
    *("conv", "conv padded", "scale", "shift", "average", "sum", "max", "order", "pad", "flatten", "linear"),
    *("mix", "total", "total average", "spread"),
)


@example(kinds=["shift", "total"], seed=0)
@example(kinds=["shift", "spread", "conv padded"], seed=0)
@given(kinds=some.lists(some.sampled_from(KINDS), min_size=1, max_size=5), seed=seeds)
def test_folding_then_simulating_is_simulating_operation_by_operation(kinds: list[str], seed: int) -> None:
    """Or it is refused in one line that says where."""
    random = np.random.default_rng(seed)
    given, path = spikes(random, INPUT), Path(INPUT)
    x = given[INPUT]
    for number, kind in enumerate(kinds):
        if min(x.shape[1:]) < 3 and kind in ("conv", "conv padded", "average", "sum", "max"):
            continue
        operation = Operation(f"operation {number}", drawn(kind, random, tuple(x.shape)))
        path, x = path + operation, done(x, operation.what)
    refusal = ""
    try:
        folded = fold(path, {INPUT: SHAPE})
    except NetworkError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("operation ") and ", expected " in refusal
        return
    assert folded.shape == tuple(x.shape)
    found = currents(folded, given).expand(x.shape)
    assert found.numpy() == pytest.approx(x.numpy(), rel=1e-4, abs=1e-4 * float(x.abs().max() + 1))


@given(seed=seeds, padded=some.booleans())
def test_scales_and_shifts_move_behind_a_convolution(seed: int, padded: bool) -> None:
    """W(s·x + b) = (W s)·x + W b, to float64's rounding, where W b is an input of ones if W pads."""
    random = np.random.default_rng(seed)
    given = spikes(random, INPUT)
    s, b = Scale(float(random.normal())), Shift(random.normal(size=SHAPE[0]))
    conv = drawn("conv padded" if padded else "conv", random, SHAPE)
    folded = fold(Path(INPUT, tuple(Operation("here", each) for each in (s, b, conv))), {INPUT: SHAPE})
    expected = reduce(done, (s, b, conv), given[INPUT]).numpy()
    assert currents(folded, given).numpy() == pytest.approx(expected, rel=1e-6 if padded else 1e-12, abs=1e-5)
    assert [each.ones for each in folded.inputs] == [False, True] if padded else [False]


@given(seed=seeds, strides=some.tuples(*2 * [some.tuples(*2 * [some.integers(1, 2)])]))
def test_composition_is_associative(seed: int, strides: tuple[kernels.Pair, kernels.Pair]) -> None:
    random = np.random.default_rng(seed)
    first, second, third = (random.normal(size=(3, 3, *random.integers(1, 4, 2))) for _ in range(3))
    both = strides[0][0] * strides[1][0], strides[0][1] * strides[1][1]
    one = kernels.composed(third, kernels.composed(second, first, strides[0]), both)
    other = kernels.composed(kernels.composed(third, second, strides[1]), first, strides[0])
    assert one == pytest.approx(other, rel=1e-12, abs=1e-12)


@given(seed=seeds, kind=some.sampled_from(["sum", "concatenation"]))
def test_what_meets_is_what_its_branches_are(seed: int, kind: Any) -> None:
    random = np.random.default_rng(seed)
    given = spikes(random, "a", "b")
    behind = [[Scale(2.0)], [drawn("shift", random, SHAPE)], [Conv(random.normal(size=(4, 4, 1, 1)))], []]
    chosen = [behind[number] for number in random.integers(0, 4, 3)]
    branches = [
        Path(name, tuple(Operation("there", what) for what in operations), sign=int(random.choice([-1, 1])))
        for name, operations in zip(("a", "b", "a"), chosen, strict=True)
    ]
    found = fold(Path(Junction("here", kind, tuple(branches)), lag=None), {"a": SHAPE, "b": SHAPE})
    maps = [currents(fold(branch, {"a": SHAPE, "b": SHAPE}), given).expand(SHAPE) for branch in branches]
    expected = sum(maps) if kind == "sum" else torch.cat(maps)
    assert currents(found, given).expand(found.shape).numpy() == pytest.approx(np.asarray(expected), abs=1e-5)


def test_numbers_of_each_step() -> None:
    """At step 2 nothing passes."""
    at = {0: (Operation("t0", Scale(2.0)), Operation("t0", Shift(1.0))), 1: (Operation("t1", Shift((3.0, 4.0))),)}
    folded = fold(Path(INPUT, (Operation("here", Shift(5.0)), Operation("here", ByStep(at)))), {INPUT: (2, 1, 1)})
    assert folded.inputs[0].gain.tolist() == [[2, 2], [1, 1]]
    assert folded.bias.tolist() == [[11, 11], [8, 9]]


def edges(written: str) -> dict[str, list[Source]]:
    """ "a<input b<a:2" -> what each reads, and how many steps later."""
    found: dict[str, list[Source]] = {}
    for edge in written.split():
        name, _, source = edge.partition("<")
        layer, _, delay = source.partition(":")
        found.setdefault(name, []).append(Source(layer, int(delay or 0)))
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a<input b<a c<b c<input", {"a": 1, "b": 2, "c": 3}),
        ("a<input a<a:1 b<a:1", {"a": 1, "b": 1}),
        ("a<input a<b:2 b<a", {"a": 1, "b": 2}),
    ],
)
def test_depths_by_hand(written: str, expected: dict[str, int]) -> None:
    reads = edges(written)
    assert depths(reads, {name: name for name in reads}) == {INPUT: 0} | expected


def test_a_loop_that_is_back_too_soon_names_its_layers() -> None:
    reads = edges("a<input a<b:1 b<a")
    with pytest.raises(NetworkError, match="a → b → a: form a loop of 2 layers, whose spikes are back sooner than 2"):
        depths(reads, {name: name for name in reads})
