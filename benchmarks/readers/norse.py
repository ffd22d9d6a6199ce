"""Norse."""

from __future__ import annotations

from typing import Any

NAME, DISTRIBUTION = "Norse", "norse"


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    from norse.torch import from_nir

    from benchmarks.readers._stepped import stepped

    return stepped(from_nir(graph, dt=graph.metadata["dt"]), spikes)
