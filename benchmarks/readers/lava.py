"""Lava, which reads no NIR: its LIF in floats gets the constants of nodes, and is stepped without
its runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.readers._by_steps import by_steps, constants

NAME, DISTRIBUTION = "Lava", "lava-nc"


def run(graph: Any, spikes: Any) -> Any:
    """What comes out."""
    return by_steps(graph, spikes, neurons)


def neurons(node: Any, dt: float) -> Callable[[Any], Any]:
    """The model of LIF in floats, called as its runtime calls it."""
    from lava.proc.lif.models import PyLifModelFloat as Model

    gain, du, dv, bias, threshold = constants(node, dt)
    zeros = np.zeros(np.shape(threshold))
    state = SimpleNamespace(u=zeros, v=zeros.copy(), du=du, dv=dv, bias_mant=bias, vth=threshold)

    def step(x: Any) -> Any:
        Model.subthr_dynamics(state, gain * x)
        fires = Model.spiking_activation(state)
        Model.reset_voltage(state, fires)
        return fires.astype(np.float64)

    return step
