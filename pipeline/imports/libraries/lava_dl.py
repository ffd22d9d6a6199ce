"""lava-dl: blocks of current-based neurons, `slayer.block.cuba`; all steps in one call, (B, C, H,
W, T).

    i[t] = (1 - current_decay) i[t-1] + x[t]
    v[t] = (1 - voltage_decay) v[t-1] (1 - s[t-1]) + i[t]
    s[t] = 1 if v[t] > threshold                   given one step later, with delay_shift

Decays are multiples of 1/4096, and weights are rounded to 8 bits. A leak is an integer division in
lava-dl, as in fixed point here: what leaks is a multiple of 1/4096 (with scale=64).
"""

from __future__ import annotations

from typing import Any

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.libraries.library import (
    Library,
    SpikingModule,
    number,
    refusing_description,
)
from spikesam.pipeline.imports.road.operations import expect

UNIT = 4096  # of lava-dl's decays


def block(module: Any) -> SpikingModule:
    """`cuba.Conv`, `cuba.Dense` and `cuba.Pool`."""
    neuron = module.neuron
    kind = f"{type(neuron).__module__.rpartition('.')[2]}.{type(neuron).__name__}"
    expect(kind == "cuba.Neuron", f"has neurons {kind}", "cuba.Neuron")
    expect(neuron.shared_param, "has shared_param=False", "True: one decay for all neurons")
    expect(neuron.norm is None, "has a norm", "none")
    expect(not neuron.graded_spike, "has graded_spike=True", "False: spikes are bits")
    expect(
        not neuron.persistent_state,
        "has persistent_state=True",
        "False: samples start from rest",
    )
    expect(
        module.delay is None,
        "has axonal delays",
        "none but delay_shift; from_netx reads those of .net files",
    )
    current, voltage = (
        number(decay.round()) / UNIT for decay in (neuron.current_decay, neuron.voltage_decay)
    )
    bounded = voltage > 0 or current in (0, 1)
    finding = f"has voltage_decay=0 and current_decay={current:g}, whose rounding adds up for ever"
    expect(bounded, finding, "a voltage_decay above 0, or current_decay 1")
    lif = LIF(1 - voltage, neuron.threshold, reset="zero", synaptic_leak=1 - current)
    unit = 1 / neuron.s_scale
    of_current = unit / current if 0 < current < 1 else 0.0  # what rounding every step adds up to
    rounding = (of_current + unit * (voltage < 1)) / voltage if voltage else 0.0
    leaks = 0 < voltage < 1 or 0 < current < 1
    rounds = f"lava-dl rounds what leaks to {unit:.3g} at every step" if leaks else ""
    delayed = bool(module.delay_shift)
    return SpikingModule(lif, "B...T", module.synapse, delayed, rounds, rounding, unit)


EQUATIONS = {
    "AbstractConv": block,
    "AbstractDense": block,
    "AbstractPool": block,
    "AbstractRecurrent": refusing_description(
        "recurrent connections", "layers here go one way; cuba.Dense can be imported"
    ),
    "AbstractConvT": refusing_description("a transposed convolution", "cuba.Conv can be imported"),
    "AbstractUnpool": refusing_description(
        "an unpooling", "cuba.Conv, cuba.Dense and cuba.Pool can be imported"
    ),
    "AbstractKWTA": refusing_description("neurons that compete", "cuba.Dense can be imported"),
    "AbstractAffine": refusing_description(
        "a readout with a current of its own",
        "cuba.Dense, whose spikes are counted, can be imported",
    ),
    "Neuron": refusing_description(
        "no block around it", "cuba.Conv, cuba.Dense and cuba.Pool can be imported"
    ),
}
LIBRARY = Library("lava", EQUATIONS, lambda module: "B...T", silent="Abstract.*")
