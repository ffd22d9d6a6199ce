"""A case of the suite: a graph, its input, and what NIR's equations make of it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.conformance._build import DENSE, DT
from spikesam.conformance._equations import Equations, Reading
from spikesam.conformance._graph import SPIKING, FlatGraph, flat, kind_of

STEPS, SPARSE, SILENT = 64, 24, 56  # from a step on the input is sparse, then silent
WORDS = {
    "I": "dv/dt = R·I",
    "IF": "dv/dt = R·I; v > v_threshold fires, and sets v to v_reset",
    "LI": "τ·dv/dt = (v_leak - v) + R·I",
    "LIF": "τ·dv/dt = (v_leak - v) + R·I; v > v_threshold fires, and sets v to v_reset",
    "CubaLI": "τ_syn·dI/dt = -I + w_in·S; τ_mem·dv/dt = (v_leak - v) + R·I",
    "CubaLIF": "τ_syn·dI/dt = -I + w_in·S; τ_mem·dv/dt = (v_leak - v) + R·I; v > v_threshold "
    "fires, and sets v to v_reset",
    "Threshold": "z = 1 where v > threshold",
    "Affine": "y = W·x + b",
    "Linear": "y = W·x",
    "Scale": "y = x ⊙ s",
    "Delay": "y(t) = x(t - τ)",
    "Conv1d": "y[o, l] = b[o] + Σ W[o, c, k] · x[c, stride·l + dilation·k - padding]",
    "Conv2d": "y[o, i, j] = b[o] + Σ W[o, c, k, l] · x[c, stride·(i, j) + dilation·(k, l) - "
    "padding]",
    "SumPool2d": "the sum of each window",
    "AvgPool2d": "the mean of each window",
    "Flatten": "axes start_dim to end_dim of the input, without the time, become one, the last "
    "axis running fastest",
    "graph": "what comes to a node is the sum over its edges, none of which takes time; spikes "
    "that come back to the neurons that fired enter one step later",
}


@dataclass(frozen=True)
class Expected:
    """The values that NIR's equations give, step by step.

    Attributes
    ----------
    spikes : node -> (T, …) of 0 and 1, of each node that fires; nodes of graphs inside are
        "graph.node"
    membranes : node -> (T, …), v of each node that has one, before a reset; I of no node
    output : (T, …), what comes out of the graph: spikes, or membranes where the last nodes do not
        fire
    """

    spikes: dict[str, NDArray[np.float64]]
    membranes: dict[str, NDArray[np.float64]]
    output: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """A small graph of NIR.

    Attributes
    ----------
    node : the kind of node that it is about; "graph" where it is about edges and names
    name : what is special about it
    build : makes its `nir.NIRGraph` anew, whose `metadata["dt"]` is `dt`
    dt : seconds in a step
    shape : of the input at a step
    equation : the equation that decides
    """

    node: str
    name: str
    build: Callable[[], Any] = field(repr=False)
    dt: float = DT
    shape: tuple[int, ...] = DENSE
    equation: str = ""
    seed: int = 1
    full_first_step: bool = False  # so that every neuron fires at once, wherever it starts

    def __post_init__(self) -> None:
        object.__setattr__(self, "equation", self.equation or WORDS[self.node])

    def __str__(self) -> str:
        """The node and the name, which no other case has."""
        return f"{self.node}: {self.name}"

    def graph(self) -> Any:
        """The `nir.NIRGraph`, anew: some readers change what they read."""
        made = deepcopy(self.build())
        made.metadata = {"dt": self.dt}
        return made

    @cached_property
    def input(self) -> NDArray[np.float32]:
        """(T, …) of 0 and 1: dense, then sparse, then silent."""
        random = np.random.default_rng(self.seed).random((STEPS, *self.shape))
        spikes = random < 0.6
        spikes[SPARSE:] = random[SPARSE:] < 0.2
        spikes[SILENT:] = False
        spikes[0] |= self.full_first_step
        return spikes.astype(np.float32)

    @cached_property
    def expected(self) -> Expected:
        """The values that NIR's equations give, in float64."""
        return evaluate(flat(self.graph()), Reading(self.dt), self.input)


def evaluate(graph: FlatGraph, reading: Reading, spikes: NDArray[Any]) -> Expected:
    """The values that the equations give in a reading of them, of an input (T, …)."""
    with np.errstate(all="ignore"):  # a reading may let membranes grow without end
        equations = Equations(graph, reading, np.asarray(spikes)[:, None])
    fires = [name for name in equations.neurons if kind_of(graph.nodes[name]) in SPIKING]
    return Expected(
        {name: np.array(equations.given[name])[:, 0] for name in fires},
        {name: np.array(node.membranes)[:, 0] for name, node in equations.neurons.items()},
        np.array(equations.output)[:, 0],
    )
