"""sinabs: `IAF` and `LIF`, also recurrent, and `ExpLeak` for a readout.

All steps are taken in one call, (B, T, …), or (B·T, …) by `…Squeeze`.

    x[t] = x'[t] + V s[t-1]                    where recurrent
    i[t] = α_syn (i[t-1] + x[t])               α_syn = exp(-1/tau_syn); without tau_syn, i[t] = x[t]
    v[t] = α v[t-1] + i[t]                     α = exp(-1/tau_mem), 1 of an IAF; with norm_input, (1 - α) i[t]
    s[t] = 1 if v[t] ≥ spike_threshold         `SingleSpike`
    v[t] = v[t] - spike_threshold · s[t]       `MembraneSubtract`: at once, so before the next leak
    v[t] = v[t] (1 - s[t])                     `MembraneReset`
    v[t] = the larger of v[t] and min_v_mem    where a module has it

Spikes are bits only with `SingleSpike`; sinabs' own default counts several in one step.
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
    refused,
)
from spikesam.pipeline.imports.road.operations import expect

FAR = 10  # thresholds: then v - min_v_mem + min_v_mem is v to 1e-6 of a threshold


def spiking(module: Any, where: str) -> SpikingModule:
    """`IAF`, `LIF` and their squeezed forms."""
    leak, gain = _leak(module)
    outlasts = 0.0
    if module.alpha_syn_calculated is not None:
        outlasts = number(module.alpha_syn_calculated)
        gain = gain * outlasts
    spike = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    single = spike == "SingleSpike" or getattr(module.spike_fn, "max_num_spikes_per_bin", None) == 1
    expect(
        single,
        where,
        f"has spike_fn={spike}, several spikes per step",
        "SingleSpike: spikes are bits",
    )
    threshold, lowest = number(module.spike_threshold), number(module.min_v_mem)
    fires: dict[str, Any] = {
        "fires_at_threshold": True,
        "synaptic_leak": outlasts,
        "min_v_mem": lowest,
    }
    neuron = LIF(
        leak, threshold, **_reset(module.reset_fn, leak, threshold, lowest, where), **fires
    )
    far = lowest is not None and np.any(-np.asarray(lowest) > FAR * np.asarray(threshold))
    found = f"has min_v_mem={lowest}, in whose size sinabs rounds every membrane"
    expect(not far, where, found, f"at most {FAR} thresholds below 0")
    return SpikingModule(neuron, axes(module), gain=gain)


def recurrent(module: Any, where: str) -> SpikingModule:
    """`LIFRecurrent` and `IAFRecurrent`, whose recurrent weights drive them from the second step
    on.
    """
    moves = (nn.Sequential, nn.Flatten, nn.Unflatten, nn.Identity)
    weights, *more = [
        part for part in module.rec_connect.modules() if not isinstance(part, moves)
    ] or [None]
    plain = (
        isinstance(weights, (nn.Linear, nn.Conv2d))
        and not more
        and (weights.bias is None or not weights.bias.any())
    )
    expect(
        plain,
        where,
        f"has rec_connect={type(module.rec_connect).__name__}",
        "one Linear or Conv2d without a bias",
    )
    return replace(spiking(module, where), recurrent=weights)


def integrator(module: Any, where: str) -> SpikingModule:
    """`ExpLeak` and `ExpLeakSqueeze`."""
    found = f"has min_v_mem={number(module.min_v_mem)}, a lower bound of membranes"
    expect(module.min_v_mem is None, where, found, "None of a readout")
    leak, gain = _leak(module)
    return SpikingModule(LeakyIntegrator(leak), axes(module), gain=gain)


def _reset(rule: Any, leak: Any, threshold: Any, lowest: Any, where: str) -> dict[str, Any]:
    name = type(rule).__name__
    expect(
        name in ("MembraneReset", "MembraneSubtract"),
        where,
        f"has reset_fn={name}",
        "MembraneReset, MembraneSubtract",
    )
    if name == "MembraneReset":
        expect(rule.reset_value == 0, where, f"has reset_value={rule.reset_value}", "0")
        return {"reset": "zero"}
    amount = threshold if rule.subtract_value is None else number(rule.subtract_value)
    held = lowest is not None and np.any(
        threshold - amount < lowest
    )  # sinabs raises a membrane after the reset
    expect(
        not held,
        where,
        f"subtracts {amount}, after which a membrane can lie below min_v_mem={lowest}",
        "less",
    )
    return {"reset_by": leak * amount}


def _leak(module: Any) -> tuple[Any, Any]:
    leak = number(module.alpha_mem_calculated)
    return leak, 1 - leak if module.norm_input else 1.0


def axes(module: Any) -> Takes:
    """All steps in one call, on an axis of their own, or on that of the samples where a class is
    squeezed.
    """
    return "(BT)..." if hasattr(module, "squeeze_forward") else "BT..."


EQUATIONS = {
    "ExpLeak": integrator,
    "LIFRecurrent": recurrent,
    "LIF": spiking,
    "StatefulLayer": refused(
        "an equation that is not known here", "IAF, LIF and ExpLeak can be imported"
    ),
}
LIBRARY = Library(
    "sinabs", EQUATIONS, axes, states=("v_mem", "i_syn"), rest=("StatefulLayer", "reset_states")
)
