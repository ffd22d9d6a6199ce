"""Weights that get numbers in place of spikes, so that they multiply, module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from torch import nn

from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.record.counting import OperationCounter

LISTED = 4  # modules named in a finding


class Multiplications:
    """Counts what weights do with what arrives in one run: a number other than 0 and ±1
    multiplies.
    """

    def __init__(self, model: nn.Module) -> None:
        self._counter = OperationCounter(model, counts_others=True)

    def attached(self) -> AbstractContextManager[None]:
        """Count within the block."""
        return self._counter.attached()

    @property
    def unchecked(self) -> list[str]:
        """The products that could not be counted."""
        return list(dict.fromkeys(map(str, self._counter.refused)))

    def others_behind(self, neurons: str) -> dict[str, int]:
        """Modules whose weights get numbers but 0 and 1 of what neurons put out -> how many."""
        calls = {
            call.node: (place.module, call.counted.others)
            for place, calls in self._counter.by_place.items()
            for call in calls
        }
        others_by_module: dict[str, int] = {}
        for node in self._counter.flow.behind(neurons, calls):
            module, others = calls[node]
            if others:
                others_by_module[module] = others_by_module.get(module, 0) + others
        return dict(sorted(others_by_module.items()))

    def findings(self) -> Iterator[Finding]:
        """One finding, at the module that multiplies most often."""
        counted = {
            place.module: [call.counted.operations.flatten(1).sum(1) for call in calls]
            for place, calls in self._counter.by_place.items()
            if place.of_weights
        }
        additions = sum(int(call[0]) for calls in counted.values() for call in calls)
        numbers = {module: sum(int(call[1]) for call in calls) for module, calls in counted.items()}
        multiplications = sum(numbers.values())
        if not multiplications:
            return
        order = sorted(numbers, key=lambda name: -numbers[name])
        multiplying = [name for name in order if numbers[name]]
        shares = [f"{name} {numbers[name] / multiplications:.0%}" for name in multiplying[:LISTED]]
        more_modules = ", …" if len(multiplying) > LISTED else ""
        share = multiplications / (multiplications + additions)
        yield Finding(
            "multiplies",
            multiplying[0],
            f"{share:.1%} of the operations of weights multiply a number other than 0 and ±1, in "
            f"{len(multiplying)} of {len(numbers)} modules: {', '.join(shares)}{more_modules}",
            "the first layer does so where images arrive as they are; elsewhere it is not "
            "spike-driven",
        )
