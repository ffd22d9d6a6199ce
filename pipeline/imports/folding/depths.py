"""How deep each layer stands: the steps by which it is later in a network where every layer costs one."""

from __future__ import annotations

from collections.abc import Mapping

from spikesam.backends.network import NetworkError
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.following.stream import INPUT


def depths_of(reads: Mapping[str, list[FoldedSynapses]]) -> dict[str, int]:
    """The depth D of each layer, 1 + the largest of those that it reads within a step; 0 of the input.

    What a layer reads of d steps before is then read d + D - D' steps after it was fired, which must be one at least.

    Parameters
    ----------
    reads : what drives each layer, in the order in which the model runs them

    Raises
    ------
    NetworkError : naming both ends of a feedback that passes a layer within a step
    """
    edges = [(name, source) for name, folded in reads.items() for synapses in folded for source in synapses.sources]
    depths = {INPUT: 0} | dict.fromkeys(reads, 1)
    for _ in reads:
        for name, source in edges:
            depths[name] = max(depths[name], depths[source.layer] + 1 - source.delay)
    for name, source in edges:
        if source.delay + depths[name] - depths[source.layer] < 1:
            steps = "the step" if source.delay == 1 else f"{source.delay} steps"
            raise NetworkError(
                f"module {name!r} gets what module {source.layer!r} fired {steps} before, which is further from the "
                "input: feedback past a layer within a step, where every layer takes one; expected feedback of a "
                "layer to itself, or of more steps"
            )
    return depths
