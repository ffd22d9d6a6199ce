"""Norse: its neurons, feed-forward and recurrent `LIF`, one step (`…Cell`) or all steps (T, B, …)
in one call.

    v[t] = v[t-1] + x[t]                           IAF
    v[t] = v[t-1] + k (v_leak + i[t] - v[t-1])     LIF and LIFBox, k = dt · tau_mem_inv
    i[t] = (1 - dt · tau_syn_inv) i[t-1] + x[t]    LIF; of a LIFBox, i[t] = x[t]
    x[t] = W x'[t] + V s[t-1]                      where recurrent, which hold their weights
    s[t] = 1 if v[t] > v_th; then v[t] = v_reset, or v[t] - v_th with `reset_subtract`

Membranes are counted from where they begin, v_reset of an IAF and v_leak of the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.libraries.library import (
    LeakyIntegrator,
    Library,
    SpikingModule,
    Takes,
    number,
    refusing_description,
)
from spikesam.pipeline.imports.road.operations import expect


def integrate_and_fire(module: Any) -> SpikingModule:
    """`IAFCell` and `IAF`."""
    resting_membrane = number(module.p.v_reset)
    return SpikingModule(
        LIF(1.0, number(module.p.v_th) - resting_membrane, reset="zero"),
        axes(module),
        rest=resting_membrane,
    )


def leaky(module: Any) -> SpikingModule:
    """`LIFCell`, `LIF` and `LIFBoxCell`."""
    rate, resting_membrane = module.dt * number(module.p.tau_mem_inv), number(module.p.v_leak)
    threshold = number(module.p.v_th)
    reset: dict[str, Any] = {"reset": "zero"}
    if getattr(module.p, "reset_method", leaky).__name__ == "reset_subtract":
        reset = {"reset_by": (1 - rate) * threshold}
    else:
        back = number(module.p.v_reset)
        expect(
            np.array_equal(back, resting_membrane),
            f"has v_reset={back}, v_leak={resting_membrane}",
            "equal ones",
        )
    outlasts = (
        1 - module.dt * number(module.p.tau_syn_inv) if hasattr(module.p, "tau_syn_inv") else 0.0
    )
    neuron = LIF(1 - rate, threshold - resting_membrane, synaptic_leak=outlasts, **reset)
    return SpikingModule(neuron, axes(module), rest=resting_membrane, gain=rate)


def recurrent(module: Any) -> SpikingModule:
    """`LIFRecurrentCell` and `LIFRecurrent`."""
    inputs, recurrent = map(_linear, (module.input_weights, module.recurrent_weights))
    return replace(leaky(module), synapse=inputs, recurrent=recurrent)


def _linear(weight: Any) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight.detach())
    return linear


def integrator(module: Any) -> SpikingModule:
    """`LIBoxCell`."""
    rate, resting_membrane = module.dt * number(module.p.tau_mem_inv), number(module.p.v_leak)
    expect(not np.any(resting_membrane), f"has v_leak={resting_membrane}", "0 of a readout")
    return SpikingModule(LeakyIntegrator(1 - rate), axes(module), gain=rate)


def axes(module: Any) -> Takes:
    """One step a call, of cells, or all of them."""
    all_steps = any(kind.__name__ in ("SNN", "SNNRecurrent") for kind in type(module).__mro__)
    return "TB..." if all_steps else "B..."


OTHER = refusing_description(
    "an equation that is not known here",
    "IAFCell, IAF, LIFCell, LIF, LIFBoxCell and, for a readout, LIBoxCell can be imported",
)
CURRENT = refusing_description(
    "a synaptic current, which a readout here has not", "LIBoxCell can be imported"
)
RECURRENT = refusing_description(
    "an equation that is not known here", "LIFRecurrentCell and LIFRecurrent can be imported"
)
EQUATIONS = {
    "IAFCell": integrate_and_fire,
    "IAF": integrate_and_fire,
    "LIFBoxCell": leaky,
    "LIFCell": leaky,
    "LIF": leaky,
    "LIFRecurrentCell": recurrent,
    "LIFRecurrent": recurrent,
    "LIBoxCell": integrator,
    "LICell": CURRENT,
    "LI": CURRENT,
    "SNNCell": OTHER,
    "SNN": OTHER,
    "LILinearCell": OTHER,
    "SNNRecurrentCell": RECURRENT,
    "SNNRecurrent": RECURRENT,
}
LIBRARY = Library(
    "norse", EQUATIONS, axes, silent="LI|LICell|LIBoxCell|LILinearCell", others=r".*\.CobaLIFCell"
)
