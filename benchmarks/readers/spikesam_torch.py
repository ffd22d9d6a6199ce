"""spikesam on its torch backend, in float32."""

from __future__ import annotations

from typing import Any

NAME, DISTRIBUTION = "spikesam, torch", "spikesam"


def run(graph: Any, spikes: Any) -> Any:
    """What comes out, or the spikes in front of a readout."""
    from benchmarks.readers._own import on_backend

    return on_backend(graph, spikes, "torch")
