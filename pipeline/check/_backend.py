"""Neurons that ask for another backend than the one that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spikesam.pipeline.check.findings import Finding

KERNELS = ("cupy", "triton")  # backends of SpikingJelly that run kernels of their own
COMPARISONS = ("ge", "gt", "le", "lt", "heaviside")  # one of which makes spikes in torch


class Backends:
    """Sees whether operations of torch make the spikes of neurons that name a backend."""

    def __init__(self, neurons: Mapping[str, nn.Module]) -> None:
        self._asked = {
            name: module.backend
            for name, module in neurons.items()
            if isinstance(getattr(module, "backend", None), str)
        }
        self._known = neurons
        self._open: list[str] = []
        self._ran: set[str] = set()
        self._by_torch: set[str] = set()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Look within the block."""
        if not self._asked:
            yield
            return
        handles = []
        try:
            for name in self._asked:
                module = self._known[name]
                handles.append(module.register_forward_pre_hook(partial(self._begin, name)))
                handles.append(module.register_forward_hook(self._end))
            with _Operations(self):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def see(self, operation: str) -> None:
        """Take the name of an operation of torch."""
        if self._open and operation in COMPARISONS:
            self._by_torch.add(self._open[-1])

    def _begin(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._open.append(name)
        self._ran.add(name)

    def _end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._open:
            self._open.pop()

    def findings(self) -> Iterator[Finding]:
        """The neurons whose spikes another backend made."""
        for name, backend in self._asked.items():
            torch_ran = name in self._by_torch
            if name not in self._ran or torch_ran == (backend == "torch"):
                continue
            if backend != "torch" and backend not in KERNELS:
                continue
            runs = "torch made its spikes" if torch_ran else "no operation of torch made its spikes"
            yield Finding(
                "another backend",
                name,
                f"it asks for {backend!r}, but {runs}",
                "see the library's version, the device, and whether evaluation chooses by itself",
            )


class _Operations(TorchDispatchMode):
    """Hands over the name of each operation."""

    def __init__(self, backends: Backends) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._backends = backends

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        if function.namespace == "aten":
            self._backends.see(function.overloadpacket.__name__)
        return function(*arguments, **(keywords or {}))
