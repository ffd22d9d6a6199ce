"""The values that a program gives for each case, beside those of NIR's equations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from spikesam.conformance._case import Case
from spikesam.conformance._networks import network_cases
from spikesam.conformance._neurons import neuron_cases
from spikesam.conformance._readings import OUTPUT, OtherReading, Values, different, fitting

Run = Callable[[Any, Any], Any]
Verdict = Literal["agrees", "differs", "not read"]
LONGEST = 200  # characters of what a program says


class FirstBit(NamedTuple):
    """The first value that differs, in time: its node, step and neuron."""

    node: str
    step: int
    neuron: tuple[int, ...]
    value: float
    expected: float

    def __str__(self) -> str:
        """The place, and both values."""
        place = "what comes out" if self.node == OUTPUT else f"node {self.node!r}"
        return (
            f"{place}, step {self.step}, neuron {self.neuron}: {self.value:g}, "
            f"expected {self.expected:g}"
        )


@dataclass(frozen=True)
class Result:
    """The verdict on a program for a case.

    Attributes
    ----------
    case : the case
    verdict : "agrees", "differs", or "not read" where `run` raised an error
    bits : values that differ
    first : the first of them in time, None if there is none
    readings : readings of the equations in which they give all that the program gives; none if
        nothing fits
    nir_decides : False if NIR's text leaves room for those readings
    message : of the error
    """

    case: Case
    verdict: Verdict
    bits: int = 0
    first: FirstBit | None = None
    readings: tuple[str, ...] = ()
    nir_decides: bool = True
    message: str = ""

    def __str__(self) -> str:
        """A line, and three more where something differs."""
        if self.verdict != "differs":
            return f"{self.case}: {self.verdict}" + (f": {self.message}" if self.message else "")
        reading = " and ".join(self.readings) or "of none that is known"
        room = "" if self.nir_decides or not self.readings else " (NIR leaves it open)"
        return (
            f"{self.case}: differs in {self.bits}\n    first: {self.first}\n"
            f"    reading: {reading}{room}\n    equation: {self.case.equation}"
        )


@dataclass(frozen=True)
class Report:
    """Results of all cases; as text, a table of node × verdict, and what differs."""

    results: tuple[Result, ...]

    def count(self, verdict: Verdict) -> int:
        """Cases of a verdict."""
        return sum(result.verdict == verdict for result in self.results)

    def table(self) -> str:
        """A line for each kind of node, and one for all."""
        return table((result.case.node, result.verdict) for result in self.results)

    def __str__(self) -> str:
        """The table, then every case that does not agree."""
        lines = [str(result) for result in self.results if result.verdict != "agrees"]
        return "\n".join([self.table(), *[""] * bool(lines), *lines])


def table(verdicts: Iterable[tuple[str, str]]) -> str:
    """Counts of verdicts by node, of pairs of node and verdict, as lines of text."""
    counts = Counter(verdicts)
    nodes = [*dict.fromkeys(node for node, _ in counts)]
    lines = [f"{'node':<10} {'agree':>7} {'differ':>7} {'not read':>9}"]
    for name in (*nodes, "all"):
        of_verdict = [
            sum(counts[node, verdict] for node in (nodes if name == "all" else [name]))
            for verdict in ("agrees", "differs", "not read")
        ]
        lines.append(f"{name:<10} {of_verdict[0]:>7} {of_verdict[1]:>7} {of_verdict[2]:>9}")
    return "\n".join(lines)


def cases(*nodes: str) -> tuple[Case, ...]:
    """The cases, or those of some kinds of nodes.

    Parameters
    ----------
    nodes : kinds, for instance "LIF"; "graph" of edges, graphs inside graphs and names

    Raises
    ------
    ValueError : if no case is about a kind

    Examples
    --------
    >>> from spikesam import conformance
    >>> print(conformance.cases("LIF")[0])
    LIF: τ = 4 steps
    """
    every_case = (*neuron_cases(), *network_cases())
    kinds = dict.fromkeys(case.node for case in every_case)
    for node in nodes:
        if node not in kinds:
            raise ValueError(f"no case is about {node!r}, expected some of {', '.join(kinds)}")
    return tuple(case for case in every_case if not nodes or case.node in nodes)


def check(run: Run, cases_to_run: Iterable[Case] | None = None) -> Report:
    """Run every case through a program, and compare each value with NIR's equations.

    Parameters
    ----------
    run : called as `run(graph, input)`. The graph is a `nir.NIRGraph`, whose `metadata["dt"]` are
        the seconds in a step; the input a float32 array (T, …) of 0 and 1. It gives what comes out
        of the graph, (T, …): spikes, or membranes where the last nodes do not fire; or a
        dictionary of the spikes of nodes by name, "output" for what comes out
    cases_to_run : some of :func:`cases`; all if not given

    Returns
    -------
    a :class:`Report`; an error that `run` raises is the verdict "not read"

    Examples
    --------
    >>> from spikesam import conformance
    >>> silent = lambda graph, spikes: spikes[:, :5] * 0
    >>> print(conformance.check(silent, conformance.cases("IF")[:1]).results[0].first)
    what comes out, step 0, neuron (1,): 0, expected 1
    """
    chosen = cases() if cases_to_run is None else cases_to_run
    known: list[tuple[OtherReading, ...]] = []
    return Report(tuple(result_of_case(case, run, known) for case in chosen))


def result_of_case(case: Case, run: Run, known: list[tuple[OtherReading, ...]]) -> Result:
    """Run a program on a case, and compare its values; its readings become known."""
    try:
        given = run(case.graph(), case.input.copy())
        values: Values = given if isinstance(given, Mapping) else {OUTPUT: given}
        if not values:
            raise ValueError("run gave nothing, expected spikes of some nodes")
        values = {name: np.asarray(value) for name, value in values.items()}
        differences = different(values, case.expected, len(case.input))
    except Exception as error:  # whatever a program raises about a graph is said
        text = " ".join(str(error).split())[:LONGEST]
        return Result(
            case, "not read", message=f"{type(error).__name__}: {text}".removesuffix(": ")
        )
    bits = sum(int(wrong.sum()) for wrong in differences.values())
    if not bits:
        return Result(case, "agrees")
    places = ((name, np.argwhere(wrong)[0]) for name, wrong in differences.items() if wrong.any())
    name, (step, *neuron) = min(places, key=lambda place: int(place[1][0]))
    expected = case.expected.output if name == OUTPUT else case.expected.spikes[name]
    place = int(step), *map(int, neuron)
    value = float(np.reshape(values[name], expected.shape)[place])
    first = FirstBit(name, place[0], place[1:], value, float(expected[place]))
    others = fitting(case, values, known)
    if others and others not in known:
        known.append(others)
    return Result(
        case,
        "differs",
        bits,
        first,
        tuple(other.words for other in others),
        any(other.nir_decides for other in others),
    )
