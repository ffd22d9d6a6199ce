"""Which modules of a model are neurons: those of libraries that are known, and those that the caller describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikesam.backends.network import LIF, NetworkError
from spikesam.pipeline.imports.libraries.known import LIBRARIES
from spikesam.pipeline.imports.libraries.library import Describe, SpikingModule, Takes

OwnNeurons = LIF | tuple[LIF, Any]  # what an author's neurons are; with a gain, by which they multiply currents


class NeuronModules:
    """The modules of a model that are neurons; `given` are the caller's own, by name or class of a module."""

    def __init__(
        self,
        given: Mapping[str | type, OwnNeurons] | None = None,
        takes: Takes | None = None,
        rectified: bool = False,
    ) -> None:
        self.rectified = rectified
        self.given = {key: each if isinstance(each, tuple) else (each, 1.0) for key, each in (given or {}).items()}
        self.takes = takes

    def check(self, model: nn.Module) -> None:
        """Refuse equations of the caller's that are none, or of modules that the model does not have."""
        if self.rectified and (spiking := next(self.of("", model), None)):
            name, module = spiking
            raise NetworkError(
                f"module {name!r} ({type(module).__name__}) spikes, expected an ANN, whose neurons are ReLU; "
                "import spiking networks with spikesam.from_torch(model, example)"
            )
        modules = dict(model.named_modules())
        for key, given in self.given.items():
            if len(given) != 2 or not isinstance(given[0], LIF):
                raise NetworkError(
                    f"neurons: got {type(given[0]).__name__} for {key!r}, expected LIF(…), or (LIF(…), gain)"
                )
            if not any(_stands_for(key, name, module) for name, module in modules.items()):
                names = ", ".join(filter(None, modules))
                raise NetworkError(f"neurons: got {key!r}, expected the name or the class of a module, such as {names}")

    def describes(self, name: str, module: nn.Module) -> bool:
        """True if a module is neurons, or something that stands for neurons that cannot be imported."""
        return self._given(name, module) is not None or _equation(module) is not None

    def of(self, name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules of neurons in a module of that name."""
        if self.describes(name, module):
            yield name, module
            return
        for part, inner in module.named_children():
            yield from self.of(f"{name}.{part}" if name else part, inner)

    def describe(self, name: str, module: nn.Module) -> SpikingModule:
        """The neurons of a module."""
        given = self._given(name, module)
        if given is not None:
            neuron, gain = given
            return SpikingModule(neuron, "B..." if self.takes is None else None, gain=gain)
        describe = _equation(module)
        assert describe is not None
        return describe(module, f"module {name!r} ({type(module).__name__})")

    def states(self, name: str, module: nn.Module) -> dict[str, Any]:
        """Copies of the numbers that a module of neurons may keep from one call to the next, by their attribute."""
        library = next((each for each in LIBRARIES.values() if each.equation(module)), None)
        values = {**vars(module), **module._buffers}
        if library is not None and self._given(name, module) is None:
            values = {state: getattr(module, state, None) for state in library.states}
        copies = {state: _copied(value) for state, value in values.items()}
        return {state: copy for state, copy in copies.items() if copy is not None}

    def _given(self, name: str, module: nn.Module) -> tuple[LIF, Any] | None:
        return next((neuron for key, neuron in self.given.items() if _stands_for(key, name, module)), None)


def _stands_for(key: str | type, name: str, module: nn.Module) -> bool:
    return isinstance(module, key) if isinstance(key, type) else key == name


def _equation(module: nn.Module) -> Describe | None:
    return next(filter(None, (library.equation(module) for library in LIBRARIES.values())), None)


def _copied(value: Any) -> Tensor | None:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.clone()
    return torch.tensor(value, device="cpu") if isinstance(value, float) else None


def reset(model: nn.Module) -> None:
    """Bring the neurons of a model to rest, as its library does."""
    for module in model.modules():
        for library in LIBRARIES.values():
            library.reset(module)
