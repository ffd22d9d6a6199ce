"""SpikingJelly."""

from __future__ import annotations

from typing import Any

NAME, DISTRIBUTION = "SpikingJelly", "spikingjelly"


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    from benchmarks.readers._stepped import stepped

    return stepped(import_from_nir(graph, dt=graph.metadata["dt"]), spikes)
