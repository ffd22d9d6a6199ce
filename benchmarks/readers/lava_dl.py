"""lava-dl, which reads no NIR: the CUBA neuron of its slayer, in Loihi's integers, gets the
constants of nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.readers._by_steps import by_steps, constants

NAME, DISTRIBUTION = "lava-dl", "lava-dl"


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    return by_steps(graph, spikes, neurons)


def neurons(node: Any, dt: float) -> Callable[[Any], Any]:
    """The CUBA neuron, which has one threshold and one decay for all neurons, and no bias."""
    import torch
    from lava.lib.dl.slayer.neuron.cuba import Neuron

    gain, du, dv, bias, threshold = constants(node, dt)
    if np.any(bias):
        raise NotImplementedError("no bias, and v_leak is not 0")
    if any(np.ptp(constant) for constant in (threshold, du, dv)):
        raise NotImplementedError("one threshold and one decay for all neurons")
    neuron = Neuron(
        *(float(np.ravel(constant)[0]) for constant in (threshold, du, dv)), persistent_state=True
    )

    def step(x: Any) -> Any:
        currents = torch.as_tensor(gain * x, dtype=torch.float32)
        return neuron(currents[None, ..., None]).numpy()[0, ..., 0]

    return step
