"""spikesam on one of its backends."""

from __future__ import annotations

from typing import Any

import numpy as np

READOUTS = ("I", "LI", "CubaLI")
SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")


def on_backend(graph: Any, spikes: Any, backend: str) -> Any:
    """What comes out; of a graph whose membranes come out, the spikes in front of them, since a
    readout gives no steps.
    """
    import spikesam

    steps = len(spikes)
    network = spikesam.from_nir(graph, steps, dt=graph.metadata["dt"])
    arriving_spikes = np.zeros((network.timesteps, 1, *network.input_shape), np.bool_)
    arriving_spikes[:steps, 0] = spikes.reshape(steps, *network.input_shape)
    raster = spikesam.simulate(network, arriving_spikes, backend=backend, precision="float32")
    last = network.layers[-1].name
    delay = network.starts[last] - network.starts["input"]
    fired = raster[last][:][delay : delay + steps, 0]
    (end,) = (source for source, target in graph.edges if target == "output")
    if type(graph.nodes[end]).__name__ in READOUTS:
        (node,) = (name for name, node in graph.nodes.items() if type(node).__name__ in SPIKING)
        return {node: fired}
    return fired
