"""Other readings of NIR's equations, and the search for those that fire what a program fires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import nir
import numpy as np
from numpy.typing import NDArray

from spikesam.conformance._case import Case, Expected, evaluate
from spikesam.conformance._equations import Reading
from spikesam.conformance._graph import FlatGraph, flat, kind_of

MOST = 6  # readings that together explain a program
FIRES = ("IF", "LIF", "CubaLIF")
LEAKS = ("LI", "LIF", "CubaLI", "CubaLIF")
CURRENTS = ("CubaLI", "CubaLIF")
CONVS = ("Conv1d", "Conv2d")
Values = Mapping[str, NDArray[Any]]  # node, or OUTPUT -> (T, …) that a program gives
OUTPUT = "output"
TOLERANCE = 1e-4  # of the largest value that comes out of a graph, which may be membranes


class OtherReading(NamedTuple):
    """A way to read an equation that is not the suite's.

    `nir_decides` is False where NIR's text leaves room: its equations have continuous time.
    """

    words: str
    kinds: tuple[str, ...]
    rules: Mapping[str, Any]  # of a Reading
    node: Callable[[Any, float], Mapping[str, Any]] | None = None  # what it has other constants of
    nir_decides: bool = True
    left_out: bool = False  # nodes of these kinds are not there: what comes to them goes on


def _constant(name: str, value: float) -> Callable[[Any, float], Mapping[str, Any]]:
    def changed(node: Any, dt: float) -> Mapping[str, Any]:
        if not hasattr(node, name):
            return {}  # nir before 1.0.6 has no v_reset
        return {name: np.full_like(np.asarray(getattr(node, name), float), value)}

    return changed


def _unscaled(node: Any, dt: float) -> Mapping[str, Any]:
    """r such that the input is added as it is times r, not times r·dt/τ."""
    kind = kind_of(node)
    if kind in ("I", "IF"):
        return {"r": np.asarray(node.r, float) / dt}
    return {"r": node.r * np.asarray(node.tau_mem if "Cuba" in kind else node.tau, float) / dt}


def _as_it_is(node: Any, dt: float) -> Mapping[str, Any]:
    """r such that the input is added as it is."""
    return {"r": _unscaled(node, dt)["r"] / node.r}


def _later(steps: int) -> Callable[[Any, float], Mapping[str, Any]]:
    return lambda node, dt: {"delay": np.maximum(np.asarray(node.delay, float) + steps * dt, 0)}


def _scaled(name: str, factor: Callable[[Any, float], Any]) -> Callable[..., Mapping[str, Any]]:
    return lambda node, dt: {name: np.asarray(getattr(node, name), float) * factor(node, dt)}


OTHERS = (
    OtherReading("v = threshold fires, too", (*FIRES, "Threshold"), {"fires_at_threshold": True}),
    OtherReading("a spike subtracts the threshold", ("IF",), {"reset": "subtract first"}),
    OtherReading(
        "a spike subtracts the threshold, behind the leak of the next step",
        ("LIF", "CubaLIF"),
        {"reset": "subtract"},
    ),
    OtherReading(
        "a spike subtracts the threshold, before the leak of the next step",
        ("LIF", "CubaLIF"),
        {"reset": "subtract first"},
    ),
    OtherReading("the step behind a spike loses its input", FIRES, {"reset": "lose a step"}),
    OtherReading("a spike resets nothing", FIRES, {"reset": "none"}),
    OtherReading(
        "several spikes in a step, one for each threshold that v has", FIRES, {"several": True}
    ),
    OtherReading(
        "1 - exp(-dt/τ) in place of dt/τ", LEAKS, {"exponential": True}, nir_decides=False
    ),
    OtherReading(
        "a membrane gets the current of the step before",
        CURRENTS,
        {"synapse_first": False},
        nir_decides=False,
    ),
    OtherReading(
        "membranes start at v_leak", ("LI", "CubaLI"), {"start": "v_leak"}, nir_decides=False
    ),
    OtherReading("spikes come back after two steps", FIRES, {"loop_steps": 2}, nir_decides=False),
    OtherReading(
        "spikes reach the next neurons a step later", FIRES, {"layer_steps": 1}, nir_decides=False
    ),
    OtherReading("a step is 1e-4 s", (), {"dt": 1e-4}, nir_decides=False),
    OtherReading("a step is 1e-3 s", (), {"dt": 1e-3}, nir_decides=False),
    OtherReading("a step is 1 s", (), {"dt": 1.0}, nir_decides=False),
    OtherReading(
        "spikes come out of neurons a step later",
        FIRES,
        {"layer_steps": 1, "output_steps": 1, "loop_steps": 2},
        nir_decides=False,
    ),
    OtherReading("the input is added as x, without r·dt/τ", (*FIRES, *LEAKS, "I"), {}, _as_it_is),
    OtherReading("r is 1, whatever it says", (*FIRES, *LEAKS, "I"), {}, _constant("r", 1)),
    OtherReading(
        "1/r in place of r",
        (*FIRES, *LEAKS, "I"),
        {},
        lambda node, dt: {"r": 1 / np.asarray(node.r, float)},
    ),
    OtherReading("the input is added as r·x, without dt/τ", (*FIRES, *LEAKS, "I"), {}, _unscaled),
    OtherReading("v_leak is 0", LEAKS, {}, _constant("v_leak", 0)),
    OtherReading("v_reset is 0", FIRES, {}, _constant("v_reset", 0)),
    OtherReading("w_in is 1", CURRENTS, {}, _constant("w_in", 1)),
    OtherReading(
        "currents get w_in·x, without dt/τ_syn",
        CURRENTS,
        {},
        _scaled("w_in", lambda node, dt: np.asarray(node.tau_syn, float) / dt),
    ),
    OtherReading(
        "currents get x, without w_in·dt/τ_syn",
        CURRENTS,
        {},
        lambda node, dt: {"w_in": np.asarray(node.tau_syn, float) / dt},
    ),
    OtherReading(
        "v of an IF leaks by a tenth in each step", ("IF",), {}, lambda *_: {"leak_of_step": 0.1}
    ),
    OtherReading("v is at least -v_threshold", ("IF",), {"bounded": True}),
    OtherReading(
        "the node is left out: what comes to it goes on",
        ("Threshold", "I", "LI", "CubaLI"),
        {},
        left_out=True,
    ),
    OtherReading("no bias", ("Affine", *CONVS), {}, _constant("bias", 0)),
    OtherReading(
        "kernels are turned: a convolution, not a correlation",
        CONVS,
        {},
        lambda node, dt: {"weight": np.flip(node.weight, tuple(range(2, node.weight.ndim)))},
    ),
    OtherReading("the scale is 1", ("Scale",), {}, _constant("scale", 1)),
    OtherReading(
        "the sum is a mean",
        ("SumPool2d",),
        {},
        lambda node, dt: {"divisor": int(np.prod(node.kernel_size))},
    ),
    OtherReading("the mean is a sum", ("AvgPool2d",), {}, lambda node, dt: {"divisor": 1}),
    OtherReading(
        "the first axis runs fastest",
        ("Flatten",),
        {},
        lambda node, dt: {"first_axis_fastest": True},
    ),
    OtherReading("no delay", ("Delay",), {}, _constant("delay", 0)),
    OtherReading("delays are a step longer", ("Delay",), {}, _later(1)),
    OtherReading("delays are a step shorter", ("Delay",), {}, _later(-1)),
)

NOTHING = OtherReading("nothing comes out, whatever comes in", (), {})


def read_otherwise(case: Case, others: tuple[OtherReading, ...], steps: int) -> Expected:
    """The output of a graph in other readings of the equations, of the first steps of its input."""
    graph, reading = flat(case.graph()), Reading(case.dt)
    nodes = {name: copy(node) for name, node in graph.nodes.items()}
    for other in others:
        reading = replace(reading, **other.rules)
        for name, node in nodes.items():
            if kind_of(node) in other.kinds and other.left_out:
                nodes[name] = nir.Scale(np.ones(()))
            elif kind_of(node) in other.kinds and other.node is not None:
                vars(node).update(other.node(node, reading.dt))
    flat_graph = FlatGraph(nodes, graph.sources, graph.first, graph.last)
    return evaluate(flat_graph, reading, case.input[:steps])


def different(values: Values, expected: Expected, steps: int) -> dict[str, NDArray[np.bool_]]:
    """node, or OUTPUT -> (T, …) True where a value of a program is not the expected one.

    Raises
    ------
    ValueError : if it names a node that does not fire, or has another number of values
    """
    differences = {}
    for name, value in values.items():
        if name != OUTPUT and name not in expected.spikes:
            names = ", ".join(map(repr, [*expected.spikes, OUTPUT]))
            raise ValueError(f"run gave spikes of node {name!r}, expected some of {names}")
        one = expected.output if name == OUTPUT else expected.spikes[name]
        array = np.asarray(value)
        if array.size != one.size * steps // len(one) or array.dtype.kind not in "biuf":
            raise ValueError(
                f"run gave {array.dtype} of shape {array.shape} for {name!r}, expected numbers of "
                f"shape {(steps, *one.shape[1:])}"
            )
        numbers = array.reshape(steps, *one.shape[1:]).astype(np.float64)
        largest = TOLERANCE * max(1.0, float(np.abs(one).max())) if name == OUTPUT else 0.0
        # what is not a number equals nothing
        differences[name] = ~(np.abs(numbers - one[:steps]) <= largest)
    return differences


def fitting(
    case: Case, values: Values, known: Iterable[tuple[OtherReading, ...]] = ()
) -> tuple[OtherReading, ...]:
    """The readings, found greedily, in which the equations give all that a program gives; none if
    nothing fits. Where nothing is found from the equations on, it is from readings `known` of other
    cases.
    """
    if not any(np.any(value) for value in values.values()):
        return (NOTHING,)
    graph_kinds = {kind_of(node) for node in flat(case.graph()).nodes.values()}
    possible = [
        other
        for other in OTHERS
        if (graph_kinds & {*other.kinds} if other.kinds else other.rules["dt"] != case.dt)
    ]
    starts = [()] + [tuple(other for other in others if other in possible) for others in known]
    for number, start in enumerate(starts):
        if start in starts[:number]:
            continue
        if others := _greedily(case, values, possible, start):
            return others
    return ()


def _greedily(
    case: Case, values: Values, possible: list[OtherReading], chosen: tuple[OtherReading, ...]
) -> tuple[OtherReading, ...]:
    """Add to readings, one by one, the one that fits longest; nothing if they never give all."""
    steps = len(case.input)
    first = _first_step(case, chosen, values, steps)
    while first < steps and len(chosen) < MOST:
        best, reached = None, first
        for other in possible:
            if any({*other.rules} & {*earlier.rules} for earlier in chosen):
                continue
            differs = partial(_first_step, case, (*chosen, other), values)
            if differs(first + 1) <= first:
                continue  # it does not mend the first value that differs
            if (step := differs(steps)) > reached:
                best, reached = other, step
            if step == steps:
                break
        if best is None:
            return ()
        chosen, first = (*chosen, best), reached
    return chosen if first == steps else ()


def _first_step(case: Case, others: tuple[OtherReading, ...], values: Values, steps: int) -> int:
    """The first step in which a program gives what the readings do not; `steps` if none does."""
    try:
        expected = read_otherwise(case, others, steps)
        early = {name: np.asarray(value)[:steps] for name, value in values.items()}
        differences = different(early, expected, steps)
    except (ArithmeticError, RecursionError, ValueError):
        return 0  # the graph has no such reading: shapes do not fit
    wrong = [np.flatnonzero(each.reshape(steps, -1).any(1)) for each in differences.values()]
    return min((int(where[0]) for where in wrong if where.size), default=steps)
