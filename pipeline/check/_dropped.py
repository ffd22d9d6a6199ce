"""Modules whose results go nowhere: computed and dropped.

Every tensor of a run has the names of the modules whose results it was made of. Results of
functions that are not seen, such as those of a custom autograd function, count as made of all that
their module was given, and of all that ran in it. So a module is named only if nothing that the
model returned, kept or handed to Python can be made of what it gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.imports.torch.call import tensors
from spikesam.pipeline.imports.torch.follower import EXITS, version_of
from spikesam.pipeline.record.constants import name_of, unseen
from spikesam.pipeline.record.memory import is_wrapped, storage_of

Names = frozenset[str]
NONE: Names = frozenset()
DEEPEST = 6  # attributes of attributes in which a model may keep or return tensors


class _Running:
    """A call of a module that runs: of what it was given, and the modules that ran in it."""

    def __init__(self, name: str, given: Names) -> None:
        self.name, self.names = name, given


class ResultUses(TorchFunctionMode):
    """The modules whose results a run used."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._names: dict[int, tuple[StorageWeakRef, Names]] = {}  # by place in memory
        self._running: list[_Running] = []
        self._used = NONE
        self._gave: dict[str, None] = {}  # modules that gave tensors, in order
        self._sees_all = True

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Look on within the block."""
        handles = []
        before = [*self._model.parameters(), *_held(self._model.modules())]
        try:
            for tensor in before:
                self._put(tensor, NONE)
            for name, module in self._model.named_modules():
                enter = self._enter(name)
                handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
                handles.append(module.register_forward_hook(partial(self._leave, name)))
            with self:
                yield
            modules = self._model.modules()
            # the state of neurons acts by their spikes alone, which are followed
            kept = _held(module for module in modules if not library_that_fires(module))
            self._used |= self._of(kept)
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        @unseen
        def enter(module: nn.Module, arguments: Any, keywords: Any) -> None:
            given = list(tensors([arguments, keywords]))
            if not self._running:
                for tensor in given:  # of the caller, who may hand on what the model gave before
                    if self._get(tensor) is None:
                        self._put(tensor, NONE)
            self._running.append(_Running(name, self._of(given)))

        return enter

    @unseen
    def _leave(self, name: str, module: nn.Module, arguments: Any, output: Any) -> None:
        while self._running:
            call = self._running.pop()
            if call.name == name:  # others ended with an error that the model caught
                break
        else:
            return
        given = list(_all_tensors(output))
        if any(map(is_wrapped, given)):
            self._sees_all = False
        alone = not any(module.children())
        for tensor in given:
            names = self._get(tensor)
            if names is None or alone:
                names = (names or NONE) | call.names
            self._put(tensor, names | {name})
        if given:
            self._gave[name] = None
        if self._running:
            self._running[-1].names |= call.names | {name}
        else:
            self._used |= self._of(given)

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        keywords = keywords or {}
        given = list(tensors((arguments, keywords)))
        versions = list(map(version_of, given))
        result = function(*arguments, **keywords)
        name = name_of(function)
        names = self._of(given)
        if name in EXITS:
            self._used |= names
        for tensor in tensors(result):
            self._put(tensor, names | (self._get(tensor) or NONE))
        for tensor, version in zip(given, versions, strict=True):
            if name == "__set__" or version_of(tensor) != version:
                self._put(tensor, names)
        if any(map(is_wrapped, given)):
            self._sees_all = False
        return result

    def _of(self, given: Iterable[Tensor]) -> Names:
        """The modules of whose results tensors are made."""
        names = NONE
        for tensor in given:
            known = self._get(tensor)
            if known is None:  # of a function that is not seen
                known = self._running[-1].names if self._running else frozenset(self._gave)
            names |= known
        return names

    def _get(self, tensor: Tensor) -> Names | None:
        """The names of a tensor; None if it is not known."""
        storage = storage_of(tensor)
        if storage is None or not storage.data_ptr():
            return NONE
        reference, names = self._names.get(storage.data_ptr(), (None, None))
        return None if reference is None or reference.expired() else names

    def _put(self, tensor: Tensor, names: Names) -> None:
        storage = storage_of(tensor)
        if storage is not None and storage.data_ptr():
            self._names[storage.data_ptr()] = StorageWeakRef(storage), names

    def findings(self) -> Iterator[Finding]:
        """The modules whose results went nowhere, the largest alone."""
        dropped: list[str] = []
        for name, module in self._model.named_modules() if self._sees_all else ():
            if name not in self._gave or name in self._used or not name:
                continue
            if any(name.startswith(f"{holder}.") for holder in dropped):
                continue
            dropped.append(name)
            count = sum(parameter.numel() for parameter in module.parameters())
            yield Finding(
                "ignored",
                name,
                f"it ran, with {count:,} parameters, and its result goes nowhere",
                "use what it gives, or leave it out",
            )


def _held(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    """What modules keep beside their parameters."""
    for module in modules:
        yield from _all_tensors(
            {name: value for name, value in vars(module).items() if name != "_parameters"}
        )


def _all_tensors(value: Any, depth: int = DEEPEST) -> Iterator[Tensor]:
    """All tensors in values, and in attributes of other objects than modules."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for member in value:
            yield from _all_tensors(member, depth - 1)
    elif depth and isinstance(value, dict):
        yield from _all_tensors(list(value.values()), depth - 1)
    elif depth and not isinstance(value, (nn.Module, type)) and hasattr(value, "__dict__"):
        yield from _all_tensors(vars(value), depth - 1)
