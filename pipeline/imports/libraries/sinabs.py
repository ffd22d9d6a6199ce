"""sinabs: `IAF` and `LIF`, also recurrent, and `ExpLeak` for a readout.

All steps are taken in one call, (B, T, …), or (B·T, …) by `…Squeeze`.

    x[t] = x'[t] + V s[t-1]                    where recurrent
    i[t] = α_syn (i[t-1] + x[t])               α_syn = exp(-1/tau_syn); without tau_syn, i[t] = x[t]
    v[t] = α v[t-1] + i[t]                     α = exp(-1/tau_mem), 1 of an IAF;
                                               (1 - α) i[t] with norm_input
    s[t] = 1 if v[t] ≥ spike_threshold         `SingleSpike`
    v[t] = v[t] - spike_threshold · s[t]       `MembraneSubtract`: at once, so before the next leak
    v[t] = v[t] (1 - s[t])                     `MembraneReset`
    v[t] = the larger of v[t] and min_v_mem    where a module has it

Spikes are bits with `SingleSpike`. With `MaxSpike(D)` they are ⌊v[t] / spike_threshold⌋, at most D:
planes of bits, of which d fires where v[t] reaches d thresholds. sinabs' own default, `MultiSpike`,
has no limit, so that no number of planes is certain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from spikesam.backends.network import LIF
from spikesam.backends.network.sources import MOST_SOURCES
from spikesam.pipeline.imports.libraries.library import (
    LeakyIntegrator,
    Library,
    SpikingModule,
    Takes,
    number,
    refusing_description,
)
from spikesam.pipeline.imports.road.operations import expect

FAR = 10  # thresholds: then v - min_v_mem + min_v_mem is v to 1e-6 of a threshold


def spiking(module: Any) -> SpikingModule:
    """`IAF`, `LIF` and their squeezed forms."""
    leak, gain = _leak(module)
    outlasts = 0.0
    if module.alpha_syn_calculated is not None:
        outlasts = number(module.alpha_syn_calculated)
        gain = gain * outlasts
    levels = _most_spikes(module)
    threshold, lowest = number(module.spike_threshold), number(module.min_v_mem)
    fires: dict[str, Any] = {
        "fires_at_threshold": True,
        "synaptic_leak": outlasts,
        "min_v_mem": lowest,
    }
    neuron = LIF(leak, threshold, **_reset(module.reset_fn, leak, threshold, lowest), **fires)
    far = lowest is not None and np.any(-np.asarray(lowest) > FAR * np.asarray(threshold))
    finding = f"has min_v_mem={lowest}, in whose size sinabs rounds every membrane"
    expect(not far, finding, f"at most {FAR} thresholds below 0")
    if levels > 1:
        expect(not np.any(outlasts), "has tau_syn and several spikes per step", "no tau_syn")
        finding = "is reset to zero by several spikes per step"
        expect(neuron.reset == "subtract", finding, "MembraneSubtract")
    return SpikingModule(neuron, axes(module), gain=gain, levels=levels, rounds_down=True)


def _most_spikes(module: Any) -> int:
    """The most spikes of a neuron in a step; unlimited ones are refused."""
    spike = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    spike_limit: Any = getattr(module.spike_fn, "max_num_spikes_per_bin", None)
    spike_limit = 1 if spike == "SingleSpike" else spike_limit
    finding = f"has spike_fn={spike}, several spikes per step without a limit"
    expect(spike_limit is not None, finding, "SingleSpike, or MaxSpike(D), D planes of bits")
    expect(
        spike_limit <= MOST_SOURCES,
        f"has {spike_limit} spikes per step",
        f"at most {MOST_SOURCES}",
    )
    return int(spike_limit)


def recurrent(module: Any) -> SpikingModule:
    """`LIFRecurrent` and `IAFRecurrent`, whose recurrent weights drive them from the second step
    on.
    """
    moves = (nn.Sequential, nn.Flatten, nn.Unflatten, nn.Identity)
    weights, *recurrent_weights = [
        part for part in module.rec_connect.modules() if not isinstance(part, moves)
    ] or [None]
    plain = (
        isinstance(weights, (nn.Linear, nn.Conv2d))
        and not recurrent_weights
        and (weights.bias is None or not weights.bias.any())
    )
    expect(
        plain,
        f"has rec_connect={type(module.rec_connect).__name__}",
        "one Linear or Conv2d without a bias",
    )
    described = spiking(module)
    expect(described.levels == 1, "is recurrent with several spikes per step", "SingleSpike")
    return replace(described, recurrent=weights)


def integrator(module: Any) -> SpikingModule:
    """`ExpLeak` and `ExpLeakSqueeze`."""
    finding = f"has min_v_mem={number(module.min_v_mem)}, a lower bound of membranes"
    expect(module.min_v_mem is None, finding, "None of a readout")
    leak, gain = _leak(module)
    return SpikingModule(LeakyIntegrator(leak), axes(module), gain=gain)


def _reset(rule: Any, leak: Any, threshold: Any, lowest: Any) -> dict[str, Any]:
    name = type(rule).__name__
    expect(
        name in ("MembraneReset", "MembraneSubtract"),
        f"has reset_fn={name}",
        "MembraneReset, MembraneSubtract",
    )
    if name == "MembraneReset":
        expect(rule.reset_value == 0, f"has reset_value={rule.reset_value}", "0")
        return {"reset": "zero"}
    amount = threshold if rule.subtract_value is None else number(rule.subtract_value)
    held = lowest is not None and np.any(
        threshold - amount < lowest
    )  # sinabs raises a membrane after the reset
    expect(
        not held,
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
    "StatefulLayer": refusing_description(
        "an equation that is not known here", "IAF, LIF and ExpLeak can be imported"
    ),
}
LIBRARY = Library(
    "sinabs", EQUATIONS, axes, states=("v_mem", "i_syn"), rest=("StatefulLayer", "reset_states")
)
