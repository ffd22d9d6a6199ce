"""snnTorch: `Leaky`, `Synaptic` and the recurrent `RLeaky` and `RSynaptic`, called once per step.

    i[t] = α · i[t-1] + x[t]                     α = 0 of `Leaky`
    v[t] = β · v[t-1] + i[t] - θ · s[t-1]        reset "subtract"
    v[t] = β · v[t-1] · (1 - s[t-1]) + i[t]      reset "zero", of `Leaky`
    v[t] = β · v[t-1] + i[t]                     reset "none"
    s[t] = 1 if v[t] > θ

With reset_delay=False, a spike resets before the leak. Then "subtract" takes θ away, too, from a
membrane that is above θ even after that, before it fires at the next step, and gives it back if it
does not fire: with w[t] = β · (w[t-1] - θ · s[t-1]) + i[t],

    s[t] = 1 if w[t] > θ, or 2θ where w[t-1] - θ · s[t-1] > θ

`Alpha` has two currents, i₁ of leak α and i₂ of leak β < α, which its input drives with opposite
signs. Without a reset, v[t] = τ · (i₁[t] + i₂[t]) = τ · Σ (αᵏ - βᵏ) x[t-k] is the membrane that a
`Synaptic` of input τ (α - β) x had a step before. A reset treats the two currents unlike.

What recurrent neurons fired the step before drives them with x[t], through weights of their own.
Leaks and thresholds may be one number, or one for each channel.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.libraries.library import (
    Describe,
    Library,
    SpikingModule,
    Takes,
    number,
    refusing_description,
)
from spikesam.pipeline.imports.road.operations import expect


def described(module: Any, synaptic: bool = False, recurrent: bool = False) -> SpikingModule:
    """`Leaky` and `Synaptic`, also recurrent."""
    lost = synaptic and recurrent and not module.reset_delay
    expect(not lost, "has reset_delay=False, which snnTorch loses here", "True")
    finding = "has reset_mechanism='zero', which drops the next step's current, too"
    plain = not (synaptic or recurrent) or module.reset_mechanism != "zero"
    expect(plain, finding, "'subtract' or 'none'")
    expect(not module.inhibition, "has inhibition=True", "False: its neurons do not compete")
    expect(
        not module.state_quant,
        "has state_quant",
        "False: use this network's own fixed point",
    )
    factor = number(module.graded_spikes_factor)
    expect(np.all(factor == 1), f"has graded_spikes_factor={factor}", "1: spikes are bits")
    leak, threshold = np.clip(number(module.beta), 0, 1), number(module.threshold)
    reset = module.reset_mechanism
    acts, stored = module.state_function.__name__, int(module.reset_mechanism_val)
    consistent = (acts, stored) == (f"_base_{RESETS[reset]}", list(RESETS).index(reset))
    finding = f"has reset_mechanism={reset!r}, but was made with another, or has loaded another"
    expect(consistent, finding, "neurons that are made with the one that they have")
    if reset == "zero":
        return SpikingModule(LIF(leak, threshold, reset="zero"))
    outlasts = np.clip(number(module.alpha), 0, 1) if synaptic else 0.0
    neuron = LIF(leak, threshold, reset_by=0.0 if reset == "none" else None, synaptic_leak=outlasts)
    above = _above if reset == "subtract" and not module.reset_delay else None
    return SpikingModule(neuron, recurrent=module.recurrent if recurrent else None, above=above)


def alpha(module: Any) -> SpikingModule:
    """`Alpha` without a reset: what a `Synaptic` fires, a step later."""
    finding = f"has two synaptic currents, which reset_mechanism={module.reset_mechanism!r} changes"
    resets = module.reset_mechanism != "none"
    expect(not resets, finding, "'none'; Synaptic, which has one, can be reset")
    described_module = described(module, synaptic=True)
    outlasts, leak = (np.clip(number(decay), 0, 1) for decay in (module.alpha, module.beta))
    with np.errstate(divide="ignore"):  # of a decay of 0, whose factor is 1
        logarithms = np.log(outlasts), np.log(leak)
    factor = logarithms[0] / (logarithms[1] - logarithms[0]) + 1
    return replace(described_module, gain=factor * (outlasts - leak), delayed=True)


def _above(module: Any) -> Tensor:
    """The neurons whose membranes are above their thresholds after a step."""
    above: Tensor = module.mem > module.threshold
    return above


def axes(module: Any) -> Takes:
    """One step a call, but for neurons that take all steps at once."""
    return "TB..." if any(kind.__name__ in ALL_STEPS for kind in type(module).__mro__) else "B..."


RESETS = {"subtract": "sub", "zero": "zero", "none": "int"}  # in the order of snnTorch's numbers
ALL_STEPS = ("LeakyParallel", "StateLeaky", "AssociativeLeaky")
EQUATIONS: dict[str, Describe] = {
    "Leaky": described,
    "Synaptic": partial(described, synaptic=True),
    "RLeaky": partial(described, recurrent=True),
    "RSynaptic": partial(described, synaptic=True, recurrent=True),
    "Alpha": alpha,
    "DeltaLeaky": refusing_description(
        "a threshold for changes of the membrane", "Leaky can be imported"
    ),
    "Lapicque": refusing_description(
        "a membrane with R, C and dt", "Leaky with beta = 1 - dt/(RC) can be imported"
    ),
    "LeakyParallel": refusing_description(
        "synapses inside", "Linear and Leaky with reset_mechanism='none' can be imported"
    ),
    "SpikingNeuron": refusing_description(
        "an equation that is not known here", "Leaky and Synaptic can be imported"
    ),
}
LIBRARY = Library(
    "snntorch",
    EQUATIONS,
    axes,
    states=("mem", "syn", "spk", "syn_exc", "syn_inh"),
    rest=("SpikingNeuron", "reset_mem"),
    gives_membranes=True,
)
