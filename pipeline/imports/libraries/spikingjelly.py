"""SpikingJelly: `IFNode`, `LIFNode`, `ParametricLIFNode`, `CUBALIFNode`; single-step, or all steps
(T, B, …) at once.

    h[t] = v[t-1] + i[t]                       IF; of `HalfThresholdIFNode`, v[-1] = v_threshold / 2
    h[t] = v_decay · v[t-1] + c[t]             CUBALIF, c[t] = c_decay · c[t-1] + i[t]
    h[t] = v[t-1] + (i[t] - v[t-1]) / τ        LIF; without decay_input, i[t] is not divided
    s[t] = 1 if h[t] ≥ v_threshold
    v[t] = h[t] (1 - s[t])                     v_reset = 0
    v[t] = h[t] - v_threshold · s[t]           v_reset = None: at once, so before the next leak

Releases up to 0.0.0.0.12 have a class for each mode, such as
`clock_driven.neuron.MultiStepLIFNode`; the first of them have no decay_input, and divide i[t].

Another v_reset is where membranes begin, where they leak to and what they are reset to: the same
neuron, whose membrane is counted from there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

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


def integer_lif(module: Any) -> SpikingModule:
    """`ILIFNode`, which fires up to D spikes a step and subtracts the threshold for each."""
    leak, threshold = 1 - 1 / number(module.tau), number(module.v_threshold)
    neuron = LIF(leak, threshold, reset_by=leak * threshold)
    return SpikingModule(
        neuron, axes(module), levels=int(module.surrogate_function.max_spike_count)
    )


def current_based(module: Any) -> SpikingModule:
    """`CUBALIFNode`."""
    expect(module.v_reset in (None, 0.0), f"has v_reset={module.v_reset}", "0 or None")
    described = _node(module, number(module.v_decay))
    assert isinstance(described.neuron, LIF)
    return replace(
        described, neuron=replace(described.neuron, synaptic_leak=number(module.c_decay))
    )


def without_spikes(module: Any) -> SpikingModule:
    """`NonSpikingIFNode` and `NonSpikingLIFNode`; always multi-step."""
    expect(
        module.decode in (None, "last_mem"),
        f"has decode={module.decode!r}",
        "None or 'last_mem': the answer is the last membrane",
    )
    rate = 1 / number(module.tau) if hasattr(module, "tau") else None
    leak, gain = (1.0, 1.0) if rate is None else (1 - rate, rate)
    return SpikingModule(LeakyIntegrator(leak), "TB...", gain=gain)


def _leaky(module: Any, rate: Any) -> SpikingModule:
    return _node(module, 1 - rate, rate if getattr(module, "decay_input", True) else 1.0)


def _node(module: Any, leak: Any = 1.0, gain: Any = 1.0) -> SpikingModule:
    takes, threshold, resting_membrane = axes(module), number(module.v_threshold), module.v_reset
    if resting_membrane is None:
        neuron = LIF(leak, threshold, reset_by=leak * threshold, fires_at_threshold=True)
        return SpikingModule(neuron, takes, gain=gain)
    expect(
        resting_membrane < threshold,
        f"has v_reset={resting_membrane}, v_threshold={threshold}",
        "v_reset below v_threshold",
    )
    neuron = LIF(leak, threshold - resting_membrane, reset="zero", fires_at_threshold=True)
    return SpikingModule(neuron, takes, rest=resting_membrane, gain=gain)


def axes(module: Any) -> Takes:
    """One step a call, or all of them, as `step_mode` says; some neurons have no other mode, old
    ones no mode.
    """
    multi_step = any(
        re.fullmatch("MultiStep(Module|.*Node)", kind.__name__) for kind in type(module).__mro__
    )
    return "TB..." if multi_step or getattr(module, "step_mode", "s") == "m" else "B..."


POSSIBLE = "IFNode, HalfThresholdIFNode, LIFNode, ParametricLIFNode and CUBALIFNode can be imported"
UNKNOWN = refusing_description("an equation that is not known here", POSSIBLE)
PARALLEL = refusing_description(
    "membranes that are weighted sums over many steps, not made from one step to the next", POSSIBLE
)
GATED = refusing_description(
    "learned gates between kinds of leak, integration and reset in one neuron", POSSIBLE
)
EQUATIONS = {
    "IFNode": _node,
    "HalfThresholdIFNode": lambda module: replace(
        _node(module), begins=number(module.v_threshold) / 2
    ),
    "LIFNode": lambda module: _leaky(module, 1 / number(module.tau)),
    "ParametricLIFNode": lambda module: _leaky(module, number(module.w.sigmoid())),  # of 1/τ
    "CUBALIFNode": current_based,
    "NonSpikingIFNode": without_spikes,
    "NonSpikingLIFNode": without_spikes,
    "LIAFNode": UNKNOWN,
    "ILIFNode": integer_lif,
    "PSN": PARALLEL,
    "MaskedPSN": PARALLEL,
    "SlidingPSN": PARALLEL,
    "GatedLIFNode": GATED,
    "SimpleBaseNode": UNKNOWN,
    "BaseNode": UNKNOWN,
}
LIBRARY = Library(
    "spikingjelly",
    EQUATIONS,
    axes,
    silent=".*NonSpiking.*",
    others=r"spikingjelly\.(activation_based|clock_driven)\.neuron.*",
    states=("v", "c"),
    fresh=".*NonSpiking.*",  # in 2.0 `reset_net` leaves their v, which each call replaces
    rest=("MemoryModule", "reset"),
)
