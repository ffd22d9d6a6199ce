"""Synaptic operations of a model while it runs, by module, step and sample.

A function mode sees every product in a module of the model. Which step and sample a number of a
call belongs to follows from the axes that lead, from the number of calls, and from the layers: how
they lay out their steps, and how many of these they had fired at each call. Where that leaves it
open, the module is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from spikesam.common.errors import InputError
from spikesam.common.text import told_apart
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.record.batch import Key
from spikesam.pipeline.record.layouts import BATCH_FIRST, ONE_STEP, TIME_FIRST, TIME_LAST
from spikesam.pipeline.record.products import FACTORS, UNCOUNTED, WEIGHING, Counted, Products
from spikesam.recordings.operations import CountedModule

Progress = Mapping[Key, int]  # layer -> steps that it has fired
Place = tuple[str, str]  # a module, and the function that it calls: "" of its own weights


@dataclass(frozen=True, eq=False)
class Call:
    """A product, in the how-manieth call of the model, and the steps that the layers had fired."""

    counted: Counted
    model_call: int
    progress: Progress


class OperationCounter(TorchFunctionMode):
    """Counts the products in the modules of a model; `progress` gives the steps of its layers."""

    def __init__(self, model: nn.Module, progress: Callable[[], Progress] = dict) -> None:
        super().__init__()
        self._model, self._progress = model, progress
        self._running: list[str] = []  # modules whose forward runs
        self._products = Products(self._is_weight)
        self._storages: set[int] = set()
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget all calls."""
        self.by_place: dict[Place, list[Call]] = {}
        self.model_calls = 0
        self._products.forget()
        self._storages = _storages_of(self._model) - {0}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Count within the block."""
        handles: list[RemovableHandle] = []
        try:
            for name, module in self._model.named_modules():
                handles.append(module.register_forward_pre_hook(partial(self._enter, name)))
                handles.append(module.register_forward_hook(self._leave, always_call=True))
            with self:
                yield
        finally:
            self._running.clear()
            for handle in handles:
                handle.remove()

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        if module is self._model:
            self._running.clear()  # an error may have left some
            if not self.model_calls:
                self._storages = _storages_of(module) - {0}  # where it may have moved
            self.model_calls += 1
        self._running.append(name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._running:
            self._running.pop()

    def _is_weight(self, tensor: Tensor) -> bool:
        storage = tensor.untyped_storage() if tensor.layout == torch.strided else None
        return storage is not None and storage.data_ptr() in self._storages

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        name = function.__name__
        if self._running and (name in FACTORS or name in UNCOUNTED):
            with torch._C.DisableTorchFunction(), torch.no_grad():
                self._count(self._running[-1], function, arguments, keywords or {})
        return function(*arguments, **(keywords or {}))

    def _count(
        self, module: str, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> None:
        try:
            counted = self._products.count(function, arguments, keywords)
        except InputError as error:
            raise InputError(f"operations: {_named(module)} {error}") from None
        if counted is not None:
            place = module, "" if function.__name__ in WEIGHING else "product"
            call = Call(counted, self.model_calls, dict(self._progress()))
            self.by_place.setdefault(place, []).append(call)


def _named(module: str) -> str:
    return f"module {module!r}" if module else "the model"


def _storages_of(model: nn.Module) -> set[int]:
    """Where the weights of a model lie in memory, without the states of neurons."""
    firing = [module for module in model.modules() if library_that_fires(module)]
    states = {id(buffer) for module in firing for buffer in module.buffers()}
    tensors = [*model.parameters(), *(each for each in model.buffers() if id(each) not in states)]
    return {
        tensor.untyped_storage().data_ptr()
        for tensor in tensors
        if not nn.parameter.is_lazy(tensor) and tensor.layout == torch.strided
    }


@dataclass(frozen=True)
class BatchSizes:
    """The sizes of a batch, and how its layers lay out their steps: T first, B first, one at a time."""

    steps: int
    samples: int
    orders: frozenset[str]
    layers: Mapping[Key, str]  # modules -> names of their layers, in the order in which they fired
    model_calls: int


def counted_batch(
    by_place: Mapping[Place, Sequence[Call]], batch: BatchSizes
) -> tuple[list[CountedModule], NDArray[np.int64]]:
    """The modules of a batch, in order of their first calls, and their operations (B, M, 2, T)."""
    modules, counts = [], []
    names = told_apart(map(_row_name, by_place))
    for name, (place, calls) in zip(names, by_place.items(), strict=True):
        try:
            counts.append(_by_step(calls, batch))
        except InputError as error:
            raise InputError(f"operations: {_named(place[0])} {error}") from None
        dense = sum(call.counted.dense * call.counted.additions.numel() for call in calls)
        used = len(calls) == 1 and batch.steps > 1 and _shape_of(calls[0], batch) == ONE_STEP
        dense //= batch.samples
        macs = dense if used else dense // batch.steps
        first = calls[0].progress
        waiting = (layer for key, layer in batch.layers.items() if not first.get(key, 0))
        while name in batch.layers.values():
            name += "_"
        modules.append(CountedModule(name=name, layer=next(waiting, ""), dense=dense, macs=macs))
    shape = batch.samples, 0, 2, batch.steps
    return modules, np.stack(counts, axis=1) if counts else np.zeros(shape, np.int64)


def _row_name(place: Place) -> str:
    return ".".join(part for part in place if part) or "model"


def _by_step(calls: Sequence[Call], batch: BatchSizes) -> NDArray[np.int64]:
    """(B, 2, T) of the calls of one place."""
    total = np.zeros((batch.samples, 2, batch.steps), np.int64)
    single = [call for call in calls if _shape_of(call, batch) == ONE_STEP]
    for number, call in enumerate(single):
        step = _step_of(number, call, len(single), batch)
        for column, numbers in enumerate((call.counted.additions, call.counted.multiplications)):
            rows = numbers.reshape(batch.samples, -1).sum(1)
            total[:, column, step] += rows.cpu().numpy().astype(np.int64)
    for call in calls:
        if (order := _shape_of(call, batch)) == ONE_STEP:
            continue
        for column, numbers in enumerate((call.counted.additions, call.counted.multiplications)):
            sides = (batch.steps, batch.samples)
            rows = numbers.reshape(*(sides if order == TIME_FIRST else sides[::-1]), -1).sum(2)
            by_sample = rows.T if order == TIME_FIRST else rows
            total[:, column] += by_sample.cpu().numpy().astype(np.int64)
    return total


def _shape_of(call: Call, batch: BatchSizes) -> str:
    """The order of steps and samples in a call's leading axes, or ONE_STEP; refuses what is open."""
    steps, samples, shape = batch.steps, batch.samples, tuple(call.counted.additions.shape)
    orders = batch.orders & {TIME_FIRST, BATCH_FIRST}
    order = next(iter(orders)) if len(orders) == 1 else ""
    both = {TIME_FIRST: (steps, samples), BATCH_FIRST: (samples, steps)}
    fits = steps == samples == 1 or shape[:1] == (samples,)
    if TIME_LAST in batch.orders and steps > 1:
        raise InputError("is of a model that has its steps in the last axis, expected T or B first")
    if steps == 1 or samples == 1:
        if steps > 1 and (shape[:1] == (steps,) or (order and shape[:2] == (1, steps))):
            return TIME_FIRST
        if fits:
            return ONE_STEP
        if steps == 1 and shape[:2] == (1, samples):
            return TIME_FIRST
    elif order and (shape[:1] == (steps * samples,) or shape[:2] == both[order]):
        return order
    elif not order and not orders and steps != samples and shape[:2] == both[TIME_FIRST]:
        return TIME_FIRST
    elif fits and (shape[1:2] != (steps,) or (not orders and batch.model_calls == steps)):
        return ONE_STEP
    raise InputError(
        f"multiplies {shape or 'no'} rows, of which the {steps} steps and {samples} samples are "
        "not known; expected (T, B, …), (T·B, …) or (B, …), as the layers lay them out"
    )


def _step_of(number: int, call: Call, calls: int, batch: BatchSizes) -> int:
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
        in_loop = now.issuperset(progress)
        by_layer = calls == steps and now & {*progress} and {0, steps} | now >= {*progress}
        if in_loop or by_layer:
            return step
    raise InputError(
        f"is called {calls} times in a batch of {steps} steps, so the step of each call is not "
        "known; expected one call for each step, or one for all"
    )
