"""snnTorch, whose step is 1e-4 s."""

from __future__ import annotations

from typing import Any

NAME, DISTRIBUTION = "snnTorch", "snntorch"


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    from snntorch.import_nir import import_from_nir

    from benchmarks.readers._stepped import stepped

    return stepped(import_from_nir(graph), spikes)
