"""Fingerprints of all that modules take and give in one run of a model.

Of a tensor, every index along every axis has a number that is another one if any value there
differs. So two runs are compared, index by index, without keeping their tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikesam.pipeline.imports.torch.call import tensors

MIXER = 0x9E3779B97F4A7C15 - (1 << 64)  # an odd number, by which places count differently


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The numbers of a tensor along each axis, on the CPU."""

    shape: tuple[int, ...]
    axes: tuple[Tensor, ...]  # (n,) int64 of an axis of n indices

    @classmethod
    def of(cls, values: Tensor) -> Fingerprint:
        """The fingerprint of values of any type."""
        bits = _bits(values.detach())
        places = torch.arange(bits.numel(), device=bits.device).view(bits.shape)
        mixed = (bits + 1) * (places * MIXER + 1)
        mixed = mixed ^ (mixed >> 29)
        mixed = mixed * MIXER
        count = bits.ndim
        sums = (
            mixed.sum([summed for summed in range(count) if summed != axis]) if count > 1 else mixed
            for axis in range(count)
        )
        return cls(tuple(bits.shape), tuple(numbers.cpu() for numbers in sums))

    def changed(self, fingerprint: Fingerprint) -> list[Tensor] | None:
        """Of each axis, the indices at which two tensors differ; None if their shapes do."""
        if self.shape != fingerprint.shape:
            return None
        pairs = zip(self.axes, fingerprint.axes, strict=True)
        return [torch.nonzero(first != second).flatten() for first, second in pairs]

    def same(self, fingerprint: Fingerprint) -> bool:
        """True if all values are equal."""
        indices = self.changed(fingerprint)
        return indices is not None and not any(len(places) for places in indices)


def _bits(values: Tensor) -> Tensor:
    """Whole numbers, int64, that are equal where values are; of at least one axis."""
    values = values if values.ndim else values[None]
    if values.is_complex():
        values = torch.view_as_real(values)
    if values.is_floating_point():
        numbers = values.double() + 0.0  # of -0, too
        return numbers.contiguous().view(torch.int64)
    return values.to(torch.int64)


@dataclass(eq=False)
class TracedCall:
    """A call of a module: `index` counts those of this module in the run, from 0."""

    module: str
    index: int
    arrived: list[Fingerprint]
    left: list[Fingerprint] = field(default_factory=list)


class Trace:
    """All calls of modules in a run, in the order in which they ended."""

    def __init__(self) -> None:
        self.calls: list[TracedCall] = []
        self.counts: dict[str, int] = {}
        self._open: list[TracedCall] = []

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Trace within the block."""
        handles = []
        try:
            for name, module in model.named_modules():
                enter, leave = partial(self._begin, name), partial(self._end, name)
                handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
                handles.append(module.register_forward_hook(leave))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, name: str, module: nn.Module, inputs: Any, keywords: Any) -> None:
        index = self.counts.get(name, 0)
        self.counts[name] = index + 1
        arrived = [Fingerprint.of(tensor) for tensor in _dense([inputs, keywords])]
        self._open.append(TracedCall(name, index, arrived))

    def _end(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        while self._open:
            call = self._open.pop()
            if call.module == name:  # others ended with an error that the model caught
                call.left = [Fingerprint.of(tensor) for tensor in _dense(output)]
                self.calls.append(call)
                return


def _dense(value: Any) -> Iterator[Tensor]:
    """The tensors that can be looked at."""
    for tensor in tensors(value):
        if not (tensor.is_sparse or tensor.is_quantized or tensor.is_meta) and tensor.numel():
            yield tensor
