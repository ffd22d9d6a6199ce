"""A library: which of its modules are neurons, by the names of classes; none is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from spikesam.backends.network import LIF, NetworkError, ReLU

# The axes of what a model takes, "..." being those of one sample, such as C, H, W.
Takes = Literal["B...", "TB...", "BT...", "(BT)...", "B...T"]


@dataclass(frozen=True, eq=False)
class LeakyIntegrator:
    """Neurons that never fire: v[t] = leak · v[t-1] + i[t]; the last membrane is the answer."""

    leak: Any


@dataclass(frozen=True, eq=False)
class Feedback:
    """An amount that a spike of neurons adds to the membranes of others, so many steps later."""

    neurons: str
    steps: int
    amount: Any  # a constant like those of the neurons that it reaches


@dataclass(frozen=True, eq=False)
class SpikingModule:
    """The neurons of a module; constants broadcast with a map of one sample, (C, H, W) or (N,)."""

    neuron: LIF | LeakyIntegrator | ReLU
    takes: Takes | None = "B..."
    synapse: nn.Module | None = None  # a module of synapses that belongs to it
    delayed: bool = False  # whether what it gives is what its neurons fired one step earlier
    # of a library that rounds its states: how, which float32 does not, so that bits may differ
    rounds: str = ""
    rounding: float = 0.0  # how far that takes a membrane from the equation
    unit: float = 0.0  # of a library that cuts currents to multiples of it
    recurrent: nn.Module | None = None
    rest: Any = 0.0  # the library's number for a membrane of 0, with which its membranes begin
    begins: float = 0.0  # what is left at the first step of the membranes with which they begin
    rounds_down: bool = False  # whether several spikes are ⌊v / θ⌋, not v / θ rounded
    levels: int = (
        1  # of neurons that fire several spikes a step: how many at most, a plane of bits each
    )
    others: tuple[str, ...] = ()  # neurons with the same currents, of which any may fire alone
    back: tuple[Feedback, ...] = ()  # what other neurons' spikes add to its membranes
    # of neurons that reset at once, see :func:`reset_at_once`: which are above θ after a step
    above: Callable[[Any], Tensor] | None = None
    # what its neurons multiply the currents by that drive them; a constant like those of `neuron`
    gain: Any = 1.0


def planes(spiking: SpikingModule, names: tuple[str, ...]) -> list[SpikingModule]:
    """Neurons that fire round(v / θ) spikes as planes of these names: d fires where v > (d - ½) θ.

    A half is rounded to even, or up where the neurons fire at their threshold. Of neurons that
    round down, d fires where v reaches d θ.
    """
    neuron = spiking.neuron
    assert isinstance(neuron, LIF)
    spiking_planes = []
    for number, name in enumerate(names, 1):
        at_threshold = neuron.fires_at_threshold or number % 2 == 0
        level = number if spiking.rounds_down else number - 0.5
        plane_neuron = replace(
            neuron, threshold=level * neuron.threshold, fires_at_threshold=at_threshold
        )
        siblings = tuple(sibling for sibling in names if sibling != name)
        lost = siblings if neuron.reset == "subtract" else ()
        back = tuple(Feedback(sibling, 1, -neuron.subtracted) for sibling in lost)
        spiking_planes.append(
            replace(spiking, neuron=plane_neuron, levels=1, others=siblings, back=back)
        )
    return spiking_planes


def reset_at_once(spiking: SpikingModule, name: str, above: str) -> tuple[SpikingModule, ...]:
    """Neurons that subtract θ within a step, and those of the name `above`, which fire where a
    membrane is above θ even then.

        w[t] = λ (w[t-1] - θ s[t-1]) + i[t]          s: `name`, r: `above`, both driven by i
        s[t] = 1 if w[t] - θ r[t-1] > θ              the next step needs 2θ where r fired
        r[t] = 1 if w[t] + θ r[t-1] > 2θ             which is w[t] - θ s[t] > θ

    The membranes of s are w[t] - θ r[t-1], those of r are w[t] + θ r[t-1].
    """
    neuron = spiking.neuron
    assert isinstance(neuron, LIF)
    leak, threshold = neuron.leak, neuron.threshold
    raised = Feedback(above, 1, -threshold), Feedback(above, 2, leak * threshold)
    lowered = Feedback(above, 1, threshold), Feedback(above, 2, -leak * threshold)
    spent = Feedback(name, 1, -leak * threshold)
    reset_neuron = replace(neuron, reset_by=leak * threshold)
    second = replace(neuron, threshold=2 * threshold, reset_by=0 * threshold)
    return (
        replace(spiking, neuron=reset_neuron, back=raised),
        replace(spiking, neuron=second, back=(*lowered, spent), above=None, others=(name,)),
    )


Describe = Callable[[Any], SpikingModule]  # a module -> its equation


@dataclass(frozen=True, eq=False)
class Library:
    """The neurons of one library by class; `silent` are patterns of classes that put out none,
    `others` of more.
    """

    package: str  # the library's
    equations: Mapping[
        str, Describe
    ]  # name of a class -> its equation, or why it cannot be imported
    axes: Callable[[Any], Takes]  # of what one call of a module takes and gives
    silent: str = ""
    others: str = ""
    states: tuple[
        str, ...
    ] = ()  # the attributes in which a module keeps its state from one call to the next
    fresh: str = ""  # a pattern of classes that begin at rest in each call, whatever they hold
    # a call gives (spikes, v) or (spikes, i, v), i and v being those that the spikes followed from
    gives_membranes: bool = False
    rest: tuple[str, str] = (
        "",
        "",
    )  # a class and the method of it that brings a module to rest; none if empty

    def equation(self, module: nn.Module) -> Describe | None:
        """The function to a module's equation; None if it is no neurons of this library."""
        return recognised(module, self.package, self.equations)

    def fires(self, module: nn.Module) -> bool:
        """True if a module puts out spikes, as neurons of this library."""
        for kind in _classes(module, self.package):
            if re.fullmatch(self.silent, kind.__name__):
                return False
            if kind.__name__ in self.equations or re.fullmatch(
                self.others, f"{kind.__module__}.{kind.__name__}"
            ):
                return bool(getattr(module, "does_spike", True))  # sinabs says so
        return False

    def keeps_state(self, module: nn.Module) -> bool:
        """True if a module of neurons holds a state other than rest, left by an earlier call."""
        if not getattr(
            module, "init_hidden", True
        ):  # snnTorch: the state is handed over with each call
            return False
        states = (getattr(module, name, None) for name in self.states)
        return any(isinstance(state, Tensor) and bool(state.any()) for state in states)

    def reset(self, module: nn.Module) -> None:
        """Bring a module to rest, if it is neurons of this library."""
        kind, method = self.rest
        if kind and recognised(module, self.package, {kind: True}) and hasattr(module, method):
            getattr(module, method)()


def recognised(module: nn.Module, package: str, table: Mapping[str, Any]) -> Any:
    """A table's entry for a module of a library, or for the nearest class that it inherits from;
    None if nothing.
    """
    return next(
        (table[kind.__name__] for kind in _classes(module, package) if kind.__name__ in table), None
    )


def _classes(module: nn.Module, package: str) -> Iterator[type]:
    """The classes of a library that a module inherits from, the nearest first."""
    return (kind for kind in type(module).__mro__ if kind.__module__.partition(".")[0] == package)


def refusing_description(finding: str, possible: str) -> Describe:
    """A description that refuses: what the module has, and what would be possible."""

    def refuse(module: nn.Module) -> SpikingModule:
        raise NetworkError(f"has {finding}; {possible}")

    return refuse


def number(value: Any) -> Any:
    """A constant of a library as a float, or as an array where it is several: tensors leave their
    device and graph.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return value.item() if getattr(value, "size", 0) == 1 else value
