"""Weights that get numbers in place of spikes, so that they multiply, module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.imports.torch.call import tensors

LISTED = 4  # modules named in a finding


def _weighs(module: nn.Module) -> bool:
    """True of convolutions and linear layers."""
    return isinstance(module, nn.Linear | nn.modules.conv._ConvNd)


class Multiplications:
    """Counts what weights do with what arrives in one run: a number other than 0 and ±1 multiplies."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = {name: module for name, module in model.named_modules() if _weighs(module)}
        self._numbers: dict[str, float] = {}  # operations with numbers
        self._spikes: dict[str, float] = {}  # and with spikes

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Count within the block."""
        handles = []
        try:
            for name, module in self._modules.items():
                handles.append(module.register_forward_hook(partial(self._see, name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        arrived, left = next(tensors(inputs), None), next(tensors(output), None)
        if arrived is None or left is None or not arrived.numel():
            return
        weight = module.weight
        assert isinstance(weight, Tensor)
        # operations of one value that arrives: its mean number, as edges have fewer
        fan = left.numel() * weight[0].numel() / arrived.numel()
        silent = int((arrived == 0).sum())
        units = int((arrived.abs() == 1).sum())
        numbers = arrived.numel() - silent - units
        self._numbers[name] = self._numbers.get(name, 0.0) + numbers * fan
        self._spikes[name] = self._spikes.get(name, 0.0) + units * fan

    def findings(self) -> Iterator[Finding]:
        """One finding, at the module that multiplies most often."""
        numbers, spikes = sum(self._numbers.values()), sum(self._spikes.values())
        if not numbers:
            return
        order = sorted(self._numbers, key=lambda name: -self._numbers[name])
        multiplying = [name for name in order if self._numbers[name]]
        shares = [f"{name} {self._numbers[name] / numbers:.0%}" for name in multiplying[:LISTED]]
        more_modules = ", …" if len(multiplying) > LISTED else ""
        yield Finding(
            "multiplies",
            multiplying[0],
            f"about {numbers / (numbers + spikes):.1%} of the operations of weights multiply a number "
            f"other than 0 and ±1, in {len(multiplying)} of {len(self._modules)} modules: "
            f"{', '.join(shares)}{more_modules}",
            "the first layer does so where images arrive as they are; elsewhere it is not spike-driven",
        )
