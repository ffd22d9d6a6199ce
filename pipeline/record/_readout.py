"""The neurons whose membrane is a model's answer: they never fire, and are its readout,
no layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikesam.pipeline.imports.libraries.library import Library
from spikesam.pipeline.record.constants import unseen


class ReadoutMembranes:
    """The membranes of modules of neurons that have not fired, over the steps of a batch."""

    def __init__(self) -> None:
        self._last: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        self._highest: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}
        self._others: set[str] = set()  # that fired, or whose membranes are not at hand

    @unseen
    def see(self, name: str, library: Library, module: nn.Module, inputs: Any, output: Any) -> None:
        """A hook on a module that takes one step a call; of those that take all,
        nothing is kept.
        """
        if name in self._others:
            return
        spikes = output[0] if isinstance(output, tuple) and output else output
        membrane = membrane_of(module, library, output)
        if not isinstance(spikes, Tensor) or membrane is None or spikes.any():
            self._forget(name)
            return
        membrane = membrane.detach()
        steps = self._steps.get(name, 0)
        if steps and membrane.shape != self._last[name].shape:
            self._forget(name)
            return
        self._sums[name] = self._sums[name] + membrane if steps else membrane
        self._highest[name] = self._highest[name].maximum(membrane) if steps else membrane
        self._last[name], self._steps[name] = membrane, steps + 1

    def that_are(self, scores: Tensor) -> list[str]:
        """The modules whose membrane at the last step, or its sum, mean or maximum over steps, is
        what a model gave, (B, K).
        """
        return [name for name in self._last if self._is(name, scores.detach())]

    def _is(self, name: str, scores: Tensor) -> bool:
        total = self._sums[name]
        readings = (self._last[name], total, total / self._steps[name], self._highest[name])
        return any(
            reading.shape == scores.shape and torch.allclose(reading.cpu().float(), scores)
            for reading in readings
        )

    def _forget(self, name: str) -> None:
        self._others.add(name)
        for kept in (self._last, self._sums, self._highest, self._steps):
            kept.pop(name, None)


def membrane_of(module: nn.Module, library: Library, output: Any) -> Tensor | None:
    """The membrane after a call of a module of neurons, as its library hands it over or keeps
    it.
    """
    if library.gives_membranes and isinstance(output, tuple) and len(output) > 1:
        membrane = output[-1]
    else:
        membrane = next((getattr(module, state, None) for state in library.states), None)
    return membrane if isinstance(membrane, Tensor) else None
