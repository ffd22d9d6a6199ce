"""What known neurons put out: spikes or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.imports.torch.call import tensors


@dataclass(eq=False)
class Counts:
    """The values that a module of neurons put out."""

    values: int = 0
    fired: int = 0  # of them, other than 0
    others: int = 0  # of them, neither 0 nor 1
    example: float = 0.0  # one of these


class Neurons:
    """Looks at the neurons of a model in one run."""

    def __init__(self, model: nn.Module, known: Mapping[str, nn.Module]) -> None:
        self._known = known
        self._counts = {name: Counts() for name in known}
        self.unchecked: list[str] = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Look within the block."""
        handles = []
        try:
            for name, module in self._known.items():
                handles.append(module.register_forward_hook(partial(self._see, name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        spikes = next(tensors(output), None)
        if isinstance(spikes, Tensor) and spikes.numel():
            counts, spikes = self._counts[name], spikes.detach()
            neither = (spikes != 0) & (spikes != 1)
            counts.values += spikes.numel()
            counts.fired += int((spikes != 0).sum())
            others = int(neither.sum())
            if others and not counts.others:
                counts.example = float(spikes[neither][0])
            counts.others += others

    def findings(self, steps: int) -> Iterator[Finding]:
        """What was seen."""
        for name, counts in self._counts.items():
            if counts.others:
                yield Finding(
                    "not spikes",
                    name,
                    f"{counts.others / counts.values:.2%} of what it puts out is neither 0 nor 1, "
                    f"such as {counts.example:.4g}",
                    "behind it, weights multiply numbers; graded spikes need counts= in a recording",
                )
