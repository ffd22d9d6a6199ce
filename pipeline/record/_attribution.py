"""The step and sample of each operation that was counted in a batch.

The rows of a call are laid out over steps and samples in one of these ways, which its leading axes
and the number of its calls tell apart: (B, …) is one step, or what is common to all; (T, B, …),
(B, T, …) and (T·B, …) are all steps, as the layers lay them out. Where two ways are possible, an
earlier batch of another size decides; else the module is refused by name, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.common.text import told_apart
from spikesam.pipeline.record._batch import Key
from spikesam.pipeline.record._exchanges import ProductReading, Sides
from spikesam.pipeline.record._flow import Flow, Node
from spikesam.pipeline.record._layouts import BATCH_FIRST, ONE_STEP, TIME_FIRST, TIME_LAST
from spikesam.pipeline.record._products import CountedProduct
from spikesam.recordings.counted_operations import CountedModule

Progress = Mapping[Key, int]  # layer -> steps that it has fired


class Place(NamedTuple):
    """A module, and the function that it calls, "" of its own weights."""

    module: str
    function: str

    @property
    def of_weights(self) -> bool:
        """True of a convolution or a linear layer."""
        return not self.function

    @property
    def row(self) -> str:
        """The name of its row in tables."""
        return ".".join(part for part in self if part) or "model"


@dataclass(frozen=True, eq=False)
class AttributedCall:
    """A product, the number of the call of the model, and how far the batch was.

    `node` is its place in the flow of tensors.
    """

    counted: CountedProduct
    model_call: int
    progress: Progress
    node: Node

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes that lead."""
        return tuple(self.counted.operations.shape[1:])


@dataclass(frozen=True)
class BatchSizes:
    """The sizes of a batch, and how its layers lay out their steps: T first, B first, one at a
    time.
    """

    steps: int
    samples: int
    orders: frozenset[str]
    layers: Mapping[Key, str]  # modules -> names of their layers, in the order in which they fired
    neurons: frozenset[int]  # of each layer
    model_calls: int = 0
    model_input: tuple[int, ...] = ()  # shape of the first tensor that the model was given
    firing: frozenset[str] = frozenset()  # modules of known neurons
    flow: Flow | None = None

    def in_doubt(self, call: AttributedCall, order: str, calls: int) -> bool:
        """True if the axes of one of several calls may be exchanged against those of all layers."""
        reading = ProductReading.ALL_STEPS
        if order == ONE_STEP:
            once = calls == 1 < self.steps and self.model_calls != self.steps
            reading = ProductReading.ONCE if once else ProductReading.A_STEP
        return self._doubtful[reading](call.node)

    @cached_property
    def _doubtful(self) -> dict[ProductReading, Callable[[Node], bool]]:
        assert self.flow is not None
        layers = [module for _, module in self.layers]
        neurons = self.firing.intersection(layers)
        return {
            reading: self.flow.doubtful(
                Sides(self.steps, self.samples, self.orders, reading), layers, neurons
            )
            for reading in ProductReading
        }


Readings = dict[tuple[Place, int], str]  # place and call -> the order in which it was read


def counted_batch(
    by_place: Mapping[Place, Sequence[AttributedCall]], batch: BatchSizes, readings: Readings
) -> tuple[list[CountedModule], NDArray[np.int64]]:
    """The modules of a batch, in order of their first calls, and their operations (B, M, 2, T).

    `readings` are those of earlier batches, and take those of this one.
    """
    modules, counts = [], []
    names = told_apart(place.row for place in by_place)
    for name, (place, calls) in zip(names, by_place.items(), strict=True):
        try:
            orders = [
                _order_of(call, len(calls), batch, readings.get((place, number)))
                for number, call in enumerate(calls)
            ]
            counts.append(_by_step(calls, orders, batch))
        except InputError as error:
            raise InputError(f"operations: {named(place.module)} {error}") from None
        readings |= {(place, number): order for number, order in enumerate(orders)}
        dense = sum(call.counted.dense * math.prod(call.shape) for call in calls)
        once = orders == [ONE_STEP] and batch.steps > 1
        dense //= batch.samples
        macs = dense if once else dense // batch.steps
        first = calls[0].progress
        waiting = (layer for key, layer in batch.layers.items() if not first.get(key, 0))
        while name in batch.layers.values():
            name += "_"
        modules.append(CountedModule(name=name, layer=next(waiting, ""), dense=dense, macs=macs))
    shape = batch.samples, 0, 2, batch.steps
    return modules, np.stack(counts, axis=1) if counts else np.zeros(shape, np.int64)


def named(module: str) -> str:
    """A module in messages."""
    return f"module {module!r}" if module else "the model"


def _by_step(
    calls: Sequence[AttributedCall], orders: Sequence[str], batch: BatchSizes
) -> NDArray[np.int64]:
    """(B, 2, T) of the calls of one place."""
    total = np.zeros((batch.samples, 2, batch.steps), np.int64)
    n_single = orders.count(ONE_STEP)
    number = 0  # of calls of one step
    for call, order in zip(calls, orders, strict=True):
        counts = call.counted.operations.cpu().numpy().astype(np.int64)
        if order == ONE_STEP:
            step = _step_of(number, call, n_single, batch)
            total[:, :, step] += counts.reshape(2, batch.samples, -1).sum(2).T
            number += 1
        elif order == TIME_FIRST:
            by_step = counts.reshape(2, batch.steps, batch.samples, -1).sum(3)
            total += by_step.transpose(2, 0, 1)
        else:
            by_sample = counts.reshape(2, batch.samples, batch.steps, -1).sum(3)
            total += by_sample.swapaxes(0, 1)
    return total


def _order_of(call: AttributedCall, calls: int, batch: BatchSizes, reading: str | None) -> str:
    """How the leading axes of a call hold steps and samples; refuses what is open.

    `reading` is that of the same call in an earlier batch, None if there was none.
    """
    possible = _possible_orders(call, calls, batch)
    if len(possible) > 1 and reading in possible:
        possible = {reading}
    if len(possible) > 1 and _has_all_steps(call, possible - {ONE_STEP}, batch):
        possible = possible - {ONE_STEP}
    if len(possible) == 1:
        (order,) = possible
        if not batch.in_doubt(call, order, calls):
            return order
    steps, samples = batch.steps, batch.samples
    rows = f"multiplies {call.shape or 'no'} rows, of which the {steps} steps and {samples} samples"
    if TIME_LAST in batch.orders and steps > 1:
        raise InputError("is of a model that has its steps in the last axis, expected T or B first")
    if len(possible) > 1:
        raise InputError(
            f"{rows} are not known, as these axes may be something else; expected a batch of "
            "another size, which tells them apart"
        )
    if possible:
        raise InputError(
            f"{rows} are not known, as axes are exchanged and no layer says where; expected a "
            "layer between exchanges of steps and samples"
        )
    raise InputError(
        f"{rows} are not known; expected (T, B, …), (T·B, …) or (B, …), as the layers lay them out"
    )


def _possible_orders(call: AttributedCall, calls: int, batch: BatchSizes) -> set[str]:
    """The orders that the leading axes may have."""
    steps, samples, shape = batch.steps, batch.samples, call.shape
    if steps == samples == 1:
        return {ONE_STEP}
    if TIME_LAST in batch.orders and steps > 1:
        return set()
    one_step = {ONE_STEP} if shape[:1] == (samples,) else set()
    if steps == 1 or batch.model_calls == steps:
        return {ONE_STEP} if shape[:2] == (1, samples) else one_step
    orders = batch.orders & {TIME_FIRST, BATCH_FIRST}
    sides = {TIME_FIRST: (steps, samples), BATCH_FIRST: (samples, steps)}
    if len(orders) == 1:
        (order,) = orders
        if shape[:1] == (steps * samples,) or shape[:2] == sides[order]:
            return one_step | {order}
    elif not orders and calls > 1:  # layers of one step each, in a loop
        return one_step if batch.layers or steps != samples else set()
    elif not orders and shape[:2] == sides[TIME_FIRST]:
        return one_step | {TIME_FIRST}
    # (B, T, …) may also be so many tokens of one step
    return set() if shape[1:2] == (steps,) else one_step


def _has_all_steps(call: AttributedCall, orders: set[str], batch: BatchSizes) -> bool:
    """True if the axes of a call are steps and samples, and not samples and as many tokens.

    That is so between layers that give all steps at once. In front of them, the input of the model
    has these axes; behind them, a row holds all neurons of a layer.
    """
    progress = {call.progress.get(key, 0) for key in batch.layers}
    sides = batch.steps, batch.samples
    if progress == {0, batch.steps}:
        return bool(orders & batch.orders)
    if progress == {0}:
        arrived = batch.model_input[:2]
        return arrived == (sides if orders == {TIME_FIRST} else sides[::-1])
    return call.counted.length in batch.neurons


def _step_of(number: int, call: AttributedCall, calls: int, batch: BatchSizes) -> int:
    """The step of one of several calls with samples alone; refuses what is open."""
    steps = batch.steps
    if steps == 1:
        return 0
    if batch.model_calls == steps:
        return call.model_call - 1
    progress = [call.progress.get(key, 0) for key in batch.layers]
    if calls == 1 and progress:
        if not any(progress):
            return 0
        if steps in progress:
            return steps - 1
    if calls % steps == 0:
        step = number // (calls // steps)
        now = {step, step + 1}
        in_loop = now.issuperset(progress) and bool(progress or calls == steps)
        by_layer = calls == steps and now & {*progress} and {0, steps} | now >= {*progress}
        if in_loop or by_layer:
            return step
    raise InputError(
        f"is called {calls} times in a batch of {steps} steps, so the step of each call is not "
        "known; expected one call for each step, or one for all"
    )
