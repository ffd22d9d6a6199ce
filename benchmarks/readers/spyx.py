"""Spyx, which runs a graph as it reads it; its maps have channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

NAME, DISTRIBUTION = "Spyx", "spyx"
ENVIRONMENT = ("spyx==1.0.0", "nir==1.0.8", "lazy-loader==0.5")


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    from spyx.nir import from_nir

    channels_last = np.moveaxis(spikes, 1, -1) if spikes.ndim == 4 else spikes
    _, outputs = from_nir(graph, channels_last[:, None], dt=graph.metadata["dt"])
    return np.asarray(outputs)[:, 0]
