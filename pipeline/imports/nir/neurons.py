"""NIR's neurons in continuous time <-> neurons in steps: one step is one Euler step of `dt` seconds.

    NIR node      its equation                            one step, with spikes and resets as in LIF
    I, IF         dv/dt = R·I                             v ← v + dt·R·I
    LI, LIF       τ·dv/dt = (v_leak - v) + R·I            v ← (1 - dt/τ)·v + (dt/τ)·(R·I + v_leak)
    CubaLI(F)     τ_syn·dI/dt = -I + w_in·x, then LI(F)   I ← (1 - dt/τ_syn)·I + (dt/τ_syn)·w_in·x, then as LI, LIF
    Threshold     z = 1 if x > θ                          as LIF without memory: v ← x

What drives them is I = scale · (W ⊛ s + b). NIR fires at v > θ, and a spike sets v to v_reset. Where v_reset is not 0,
membranes are counted from there, where they begin: it must be v_leak, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NetworkError, Shape
from spikesam.backends.network.neurons import LIF, Reset
from spikesam.pipeline.imports.nir import KEY
from spikesam.pipeline.imports.nir.attributes import metadata, numbers, shape_of, text
from spikesam.pipeline.imports.nir.graph import Named
from spikesam.pipeline.imports.road.operations import Integral, Scale, Shift, expect

SAID = ("reset", "reset_by", "fires_at_threshold", "leak", "synaptic_leak", "min_v_mem", "gain", "bias", "weight")
CONSTANTS = ("r", "tau", "tau_mem", "tau_syn", "w_in", "v_leak", "v_threshold", "v_reset", "threshold")
LONGEST = 1.0  # seconds that a neuron may remember where nothing says how long a step is
CLOSE = 1e-6  # relative: NIR files hold float32, from which a leak or a factor 1 cannot be had any better


@dataclass(frozen=True)
class Rules:
    """The caller's words about a graph, because NIR has none; None takes a node's metadata, then NIR's equations."""

    dt: float  # seconds in a step
    dt_known: bool  # whether the caller or the file says so; if not, neurons for which it is implausible are refused
    reset: Reset | None
    fires_at_threshold: bool | None

    def fires(self, said: dict[str, Any]) -> bool:
        """True if a value that equals the threshold fires."""
        if self.fires_at_threshold is not None:
            return self.fires_at_threshold
        told = np.asarray(said.get("fires_at_threshold", False))
        if told.size != 1 or told.dtype.kind not in "bi":
            raise NetworkError(f"graph: its metadata {KEY!r} say fires_at_threshold is {told}, expected true or false")
        return bool(told.item())

    def check_dt(self, implausible: bool, found: str, where: str) -> None:
        """Refuse a step of 1e-4 s where neurons seem to mean one unit of time."""
        if implausible and not self.dt_known:
            raise NetworkError(
                f"{where}: got {found} and no dt, expected dt=1 if a step is one unit of time, as in files of sinabs, "
                f"or dt={self.dt:g} if it is so many seconds"
            )


@dataclass(frozen=True)
class NirMembrane:
    """i ← synaptic_leak·i + drive·x, then v ← leak·v + i + offset, v counted from `rest`: numbers, or (C,) of them."""

    leak: Any
    drive: Any = 1.0
    offset: Any = 0.0
    synaptic_leak: Any = 0.0
    rest: Any = 0.0


def read_membrane(neuron: Named, rules: Rules) -> tuple[NirMembrane, dict[str, Any], Shape | None]:
    """One step of a node's neurons, its constants, and the map (C, H, W) that these say."""
    kind, where, dt = neuron.kind, neuron.where, rules.dt
    found, shape = _constants(neuron)
    if kind == "Threshold":
        return NirMembrane(0.0), found, shape
    rest = _rest(neuron, found) if kind.endswith("IF") and _reset(neuron, rules) == "zero" else 0.0
    if kind in ("I", "IF"):
        rules.check_dt(bool(np.all(found["r"] == 1)), "r = 1", where)
        return NirMembrane(1.0, near_one(dt * found["r"]), rest=rest), found, shape

    def step(what: str) -> Any:
        """dt/τ of a time constant τ."""
        least = np.min(found[what])
        rules.check_dt(bool(least >= LONGEST), f"{what} = {least:g} s", where)
        if least < dt * (1 - CLOSE):
            raise NetworkError(f"{where}: {what} is {least:g} s, expected at least dt = {dt:g} s")
        return near_one(dt / found[what])

    synaptic = kind.startswith("Cuba")
    membrane_step, synaptic_step = step("tau_mem" if synaptic else "tau"), step("tau_syn") if synaptic else 1.0
    drive, offset = found["r"] * membrane_step, (found["v_leak"] - rest) * membrane_step
    if synaptic:
        drive = drive * found["w_in"] * synaptic_step
        if np.any(offset * (1 - synaptic_step)):
            raise NetworkError(f"{where}: v_leak is not 0, expected 0 beside currents that outlast a step")
    return NirMembrane(1 - membrane_step, near_one(drive), offset, 1 - synaptic_step, rest), found, shape


def read_neurons(neuron: Named, rules: Rules) -> tuple[LIF, Any, Shape | None]:
    """The neurons of a node that spikes, what their currents are multiplied by, and the map that the node says."""
    where, said = neuron.where, metadata(neuron.node, neuron.where, SAID)
    membrane, found, shape = read_membrane(neuron, rules)
    leak, synaptic_leak = (
        _everywhere(from_metadata(said.get(what, computed), computed, what, where))
        for what, computed in (("leak", membrane.leak), ("synaptic_leak", membrane.synaptic_leak))
    )
    fires, (lowest, reset_by) = rules.fires(said), (_everywhere(said.get(name)) for name in ("min_v_mem", "reset_by"))
    if neuron.kind == "Threshold":
        threshold = _everywhere(found["threshold"])
        return LIF(leak, threshold, reset="zero", fires_at_threshold=fires, min_v_mem=lowest), 1.0, shape
    reset: Any = _reset(neuron, rules)
    lif = LIF(
        leak,
        _everywhere(found["v_threshold"] - membrane.rest),
        bias=_everywhere(membrane.offset),
        reset=reset,
        reset_by=reset_by if reset == str(said.get("reset", "zero")) else None,
        fires_at_threshold=fires,
        synaptic_leak=synaptic_leak,
        min_v_mem=lowest,
    )
    return lif, membrane.drive, shape


def read_integral(neuron: Named, rules: Rules) -> list[Any]:
    """A node of neurons that do not spike, whose last membranes are the answer, as operations."""
    membrane, _, _ = read_membrane(neuron, rules)
    outlasts = np.any(membrane.synaptic_leak)
    expect(not outlasts, neuron.where, "tau_syn is not dt", "it: currents of a readout do not outlast a step")
    leaks = np.unique(membrane.leak)
    expect(len(leaks) == 1, neuron.where, "tau differs between neurons", "one for all classes")
    said = metadata(neuron.node, neuron.where, ("scale", "leak", "bias")).get("leak", leaks[0])
    leak = float(from_metadata(said, leaks[0], "leak", neuron.where))
    return [Scale(membrane.drive), Shift(membrane.offset), Integral(leak)]


def _constants(neuron: Named) -> tuple[dict[str, Any], Shape | None]:
    """The constants of a node by name, each one number or (C,), and the map (C, H, W) that their arrays are of."""
    found: dict[str, Any] = {}
    shape: Shape | None = None
    for name in CONSTANTS:
        if (value := getattr(neuron.node, name, None)) is None:
            continue
        array = numbers(value, name, neuron.where)
        if array.size == 1:
            found[name] = array.item()
            continue
        own = shape_of(array.shape, neuron.where)
        if shape not in (None, own):
            raise NetworkError(f"{neuron.where}: {name} has shape {array.shape}, expected {text(shape or own)}")
        shape, rows = own, array.reshape(len(array), -1)
        if (rows != rows[:, :1]).any():
            channel = int((rows != rows[:, :1]).any(axis=1).argmax())
            raise NetworkError(
                f"{neuron.where}: {name} differs between neurons of channel {channel}, expected one per channel"
            )
        found[name] = rows[:, 0]
    return found, shape


def _everywhere(constant: Any) -> Any:
    """A constant of channels as one that broadcasts with their map."""
    return constant if np.ndim(constant) == 0 else np.reshape(constant, (-1, 1, 1))


def _reset(neuron: Named, rules: Rules) -> str:
    return rules.reset or str(metadata(neuron.node, neuron.where, SAID).get("reset", "zero"))


def _rest(neuron: Named, found: dict[str, Any]) -> Any:
    """To what a spike sets membranes, from where they are counted."""
    v_reset = found.get("v_reset", 0.0)
    if np.any(v_reset) and (neuron.kind == "IF" or np.any(v_reset != found["v_leak"])):
        first = np.ravel(v_reset)[np.flatnonzero(v_reset)[0]]
        raise NetworkError(f"{neuron.where}: v_reset is {first:g}, expected 0, or the same as v_leak")
    return v_reset


def from_metadata(said: Any, found: Any, what: str, where: str) -> NDArray[np.float64]:
    """The value in the metadata, if it is the node's but for rounding."""
    exact = numbers(said, what, where)
    if exact.shape not in ((), np.shape(found)) or not np.allclose(exact, found, rtol=CLOSE, atol=CLOSE):
        raise NetworkError(
            f"{where}: its metadata {KEY!r} contradict it in {what}, expected the same numbers; remove the metadata to "
            "read the node alone"
        )
    return exact


def near_one(factors: Any) -> Any:
    """Factors, with 1 for what differs from 1 by rounding alone."""
    return np.where(np.isclose(factors, 1, rtol=0, atol=CLOSE), 1.0, factors)
