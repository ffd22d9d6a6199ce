"""Synaptic operations of a model while it runs, by module, step and sample.

A function mode sees every product in a module of the model; :mod:`._attribution` tells the step and
sample of each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from spikesam.common.errors import InputError
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.imports.torch.call import tensors
from spikesam.pipeline.record._attribution import (
    AttributedCall,
    BatchSizes,
    Place,
    Progress,
    Readings,
    counted_batch,
    named,
)
from spikesam.pipeline.record._exchanges import exchange_of
from spikesam.pipeline.record._flow import Flow, Node
from spikesam.pipeline.record._products import FACTORS, UNCOUNTED, WEIGHING, WatchedProducts
from spikesam.pipeline.record.constants import SHAPED_ALIKE
from spikesam.recordings.counted_operations import CountedModule, Counts


@dataclass
class _Running:
    """A module whose forward runs, and the number of products seen in it."""

    name: str
    products: int = 0


class OperationCounter(TorchFunctionMode):
    """Counts the products in the modules of a model; `progress` gives the steps of its layers.

    Nothing is raised while the model runs: `refused` says what could not be counted.
    `counts_others` counts the numbers at weights, too, see :class:`._products.CountedProduct`.
    `checked` gives the modules whose outputs are refused in the end if they are other numbers than
    0 and 1.
    """

    def __init__(
        self,
        model: nn.Module,
        progress: Callable[[], Progress] = dict,
        *,
        counts_others: bool = False,
        checked: Callable[[], Collection[str]] = tuple,
    ) -> None:
        super().__init__()
        self._model, self._progress, self._checked = model, progress, checked
        self._running: list[_Running] = []
        self._products = WatchedProducts(self._is_weight, counts_others=counts_others)
        self._firing = {
            name: module for name, module in model.named_modules() if library_that_fires(module)
        }
        self._readings: Readings = {}
        self.flow = Flow()
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget all calls."""
        self.by_place: dict[Place, list[AttributedCall]] = {}
        self.refused: list[InputError] = []
        self.flow.begin_batch()
        self.model_calls = 0
        self.model_input: tuple[int, ...] = ()
        self._begin_pass()

    def _begin_pass(self) -> None:
        """Look at the weights anew: all may be others, and lie elsewhere."""
        self._storages: dict[int, UntypedStorage] = {}
        self._products.forget()
        self._products.known_spikes.forget()

    def counted(self, sizes: BatchSizes) -> tuple[list[CountedModule], Counts]:
        """The modules of the batch, and their operations (B, M, 2, T);
        refuses what is not known.
        """
        if self.refused:
            raise self.refused[0]
        batch = replace(
            sizes,
            model_calls=self.model_calls,
            model_input=self.model_input,
            firing=frozenset(self._firing),
            flow=self.flow,
        )
        return counted_batch(self.by_place, batch, self._readings)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Count within the block."""
        handles: list[RemovableHandle] = []
        try:
            for name, module in self._model.named_modules():
                enter, leave = partial(self._enter, name), partial(self._leave, name)
                handles.append(module.register_forward_pre_hook(enter))
                handles.append(module.register_forward_hook(leave, always_call=True))
            with self:
                yield
        finally:
            self._running.clear()
            for handle in handles:
                handle.remove()

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        if module is self._model:
            self._running.clear()  # an error may have left some
            self._begin_pass()
            self.model_calls += 1
            given = list(tensors(inputs))
            if given and not self.model_input:
                self.model_input = tuple(given[0].shape)
            self.flow.begin(given)
        self.flow.enter(name, tensors(inputs))
        self._running.append(_Running(name))

    def _leave(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._running:
            return
        running = self._running.pop()
        self.flow.leave(name, tensors(output))
        if name in self._checked() and (spikes := next(tensors(output), None)) is not None:
            self._products.known_spikes.add(spikes)
        if self._running:
            self._running[-1].products += running.products
        if isinstance(module, nn.Linear | _ConvNd) and not running.products:
            self._refuse(name, "multiplies by no function that is seen; expected one of torch")

    def _refuse(self, module: str, reason: object) -> None:
        self.refused.append(InputError(f"operations: {named(module)} {reason}"))

    def _is_weight(self, tensor: Tensor) -> bool:
        if tensor.layout != torch.strided:
            return False
        if not self._storages:
            self._storages = _storages_of(self._model, list(self._firing.values()))
        return tensor.untyped_storage().data_ptr() in self._storages

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        name, keywords = function.__name__, keywords or {}
        node = None
        if self._running and (name in FACTORS or name in UNCOUNTED):
            with torch._C.DisableTorchFunction(), torch.no_grad(), _without_autocast():
                node = self._count(self._running[-1], function, arguments, keywords)
        result = function(*arguments, **keywords)
        if self._running and name not in SHAPED_ALIKE:
            result = self._follow(function, arguments, keywords, result, node)
        if (name[-1] == "_" and _writes(name)) or "out" in keywords:
            for written in (*arguments[:1], keywords.get("out")):
                if isinstance(written, Tensor):
                    self._products.known_spikes.discard(written)
                    if self._is_weight(written):
                        self._products.forget()
            if name == "__set__":  # of .data: a weight lies elsewhere
                self._begin_pass()
        return result

    def _count(
        self,
        running: _Running,
        function: Any,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Node | None:
        """The place of a product in the flow of tensors; None of what is no product."""
        running.products += 1
        if ".parametrizations." in running.name:
            return None  # it makes weights of weights
        try:
            counted = self._products.count(function, arguments, keywords)
        except InputError as error:
            self._refuse(running.name, error)
            return None
        if counted is None:
            return None
        place = Place(running.name, "" if function.__name__ in WEIGHING else "product")
        node = self.flow.product(tensors((arguments, keywords)))
        call = AttributedCall(counted, self.model_calls, dict(self._progress()), node)
        self.by_place.setdefault(place, []).append(call)
        return node

    def _follow(
        self,
        function: Any,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        result: Any,
        product: Node | None,
    ) -> Any:
        """Follow the axes of what a function was given; gives its result."""
        with torch._C.DisableTorchFunction():
            if isinstance(result, Iterator):  # over a tensor
                parts = tuple(result)
                self._follow(function, arguments, keywords, parts, product)
                return iter(parts)
            name = function.__name__
            given = list(tensors((arguments, keywords)))
            results = given[:1] if name == "__setitem__" else list(tensors(result))
            if not results:
                return result
            exchange = exchange_of(function, arguments, keywords, result)
            running = exchange and frozenset(module.name for module in self._running)
            self.flow.follow(given, results, product, exchange, running or frozenset())
            if len(given) > 1 and name[-1] == "_" and _writes(name):
                self.flow.write(given[0])
        return result


def _without_autocast() -> AbstractContextManager[object]:
    """Keep counts from the half precision in which a model may run."""
    devices = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    disabled = ExitStack()
    for device in devices:
        disabled.enter_context(torch.autocast(device, enabled=False))
    return disabled if devices else nullcontext()


def _writes(name: str) -> bool:
    """True of the names of functions that write into their first argument."""
    return name[-2:] != "__" or name in ("__set__", "__setitem__") or name.startswith("__i")


def _storages_of(model: nn.Module, firing: Sequence[nn.Module]) -> dict[int, UntypedStorage]:
    """Addresses of the weights of a model in memory, without the states of neurons that fire."""
    states = {id(buffer) for module in firing for buffer in module.buffers()}
    buffers = [buffer for buffer in model.buffers() if id(buffer) not in states]
    storages = [
        tensor.untyped_storage()
        for tensor in (*model.parameters(), *buffers)
        if not nn.parameter.is_lazy(tensor) and tensor.layout == torch.strided
    ]
    return {storage.data_ptr(): storage for storage in storages if storage.data_ptr()}
