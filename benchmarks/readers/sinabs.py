"""sinabs, whose step is one unit of time, and whose networks get all steps at once."""

from __future__ import annotations

from typing import Any

import numpy as np

NAME, DISTRIBUTION = "sinabs", "sinabs"
# a resolver finds these nir and nirtorch for it, older than those of this project
PACKAGES = ("sinabs==3.1.3", "nir==1.0.4", "nirtorch==2.0.2")


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    import torch
    from sinabs.nir import from_nir

    model = from_nir(graph, batch_size=1)
    with torch.no_grad():
        output = model(torch.from_numpy(spikes))
    return np.asarray(output[0] if isinstance(output, tuple) else output)
