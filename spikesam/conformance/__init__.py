"""A suite for programs that read NIR: small graphs, their input, and what NIR's equations say.

    from spikesam import conformance

    def run(graph, spikes):  # a nir.NIRGraph and (T, …) of 0 and 1
        ...  # your reader; graph.metadata["dt"] are the seconds in a step
        return output  # (T, …), what comes out of the graph

    print(conformance.check(run))

:func:`cases` lists each :class:`Case`, with the values :class:`Expected` of it. :func:`check` gives
a :class:`Report` of a :class:`Result` for each. :func:`write_cases` writes them as files. For
pytest there is `spikesam.conformance.plugin`.

It needs NumPy and nir alone. NIR's equations have continuous time; the suite takes Euler steps of
dt, in which no edge takes time.
"""

from __future__ import annotations

from spikesam.conformance._case import Case, Expected
from spikesam.conformance._files import write_cases
from spikesam.conformance._report import Report, Result, cases, check

__all__ = ["Case", "Expected", "Report", "Result", "cases", "check", "write_cases"]
