"""Rockpool, which takes the length of a step from the neurons: tau_mem / (1 + r)."""

from __future__ import annotations

from typing import Any

import numpy as np

NAME, DISTRIBUTION = "Rockpool", "rockpool"
PACKAGES = ("rockpool==3.1.0",)


def run(graph: Any, spikes: Any) -> Any:
    """What comes out; modules get all steps at once, (1, T, N)."""
    import torch
    from rockpool.nn.modules.torch.nir import from_nir

    model = from_nir(graph)
    with torch.no_grad():
        output, _ = model(torch.from_numpy(spikes)[None])
    return np.asarray(output)[0]
