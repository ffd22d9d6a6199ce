"""What a library's module of neurons says of itself, and how modules are recognised without importing their library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from backends.network import LIF, NetworkError

# The axes of what a model takes, "..." being those of one sample, such as C, H, W.
Takes = Literal["B...", "TB...", "BT...", "(BT)...", "B...T"]


@dataclass(frozen=True, eq=False)
class Integrator:
    """Neurons that never fire: v[t] = leak · v[t-1] + gain · i[t]; the last membrane is the answer.

    Parameters
    ----------
    leak, gain : one number, or an array
    """

    leak: Any
    gain: Any = 1.0


@dataclass(frozen=True, eq=False)
class SpikingModule:
    """The neurons of a module.

    Parameters
    ----------
    neuron : their equation, driven by i[t]: leak · v + gain · i. Constants are numbers, or arrays that broadcast with
        the map of one sample, (C, H, W) or (N,)
    takes : the axes of what one call gets: one step of all samples, or all steps; None if either
    synapse : a module of synapses that belongs to it
    delayed : whether what it gives is what its neurons fired one step earlier
    caveat : why bits might differ in spite of the equation
    rounding : how far the library's own rounding takes a membrane from the equation
    """

    neuron: LIF | Integrator
    takes: Takes | None = "B..."
    synapse: nn.Module | None = None
    delayed: bool = False
    caveat: str = ""
    rounding: float = 0.0


Describe = Callable[[Any, str], SpikingModule]  # a module and where it is, for errors


def recognised(module: nn.Module, library: str, table: Mapping[str, Any]) -> Any:
    """What the table of a library holds for a module, or for the nearest class that it inherits from; None if nothing.

    Classes are told apart by name, so that no library is imported that the user has not imported.
    """
    for kind in type(module).__mro__:
        if kind.__module__.partition(".")[0] == library and kind.__name__ in table:
            return table[kind.__name__]
    return None


def refused(found: str, possible: str) -> Describe:
    """A description that refuses: what the module has, and what would be possible."""

    def refuse(module: nn.Module, where: str) -> SpikingModule:
        raise NetworkError(f"{where}: has {found}; {possible}")

    return refuse


def expect(true: Any, where: str, found: str, expected: str) -> None:
    """Refuse a property of a module."""
    if not true:
        raise NetworkError(f"{where}: {found}, expected {expected}")


def number(value: Any) -> Any:
    """A constant of a library as a float, or as an array where it is several: tensors leave their device and graph."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return value.item() if getattr(value, "size", 0) == 1 else value
