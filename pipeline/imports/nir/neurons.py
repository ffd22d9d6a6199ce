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
from spikesam.pipeline.imports.nir.attributes import by_channel, metadata, numbers
from spikesam.pipeline.imports.nir.graph import Named

SAID = ("reset", "reset_by", "fires_at_threshold", "leak", "synaptic_leak", "min_v_mem", "gain", "bias", "weight")
LONGEST = 1.0  # seconds that a neuron may remember where nothing says how long a step is
CLOSE = 1e-6  # relative: NIR files hold float32, from which a leak or a factor 1 cannot be had any better


@dataclass(frozen=True)
class Rules:
    """What the caller says of a graph, because NIR does not.

    Parameters
    ----------
    dt : seconds in a step
    dt_known : whether the caller or the file says so; if not, neurons for which it is implausible are refused
    reset, fires_at_threshold : None to take what the metadata of a node say, then NIR's equations
    """

    dt: float
    dt_known: bool
    reset: Reset | None
    fires_at_threshold: bool | None

    def fires(self, said: dict[str, Any]) -> bool:
        """Whether a value that equals the threshold fires."""
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
class Membrane:
    """i ← synaptic_leak·i + drive·x, then v ← leak·v + i + offset, of (C,) numbers each; v is counted from `rest`."""

    leak: NDArray[np.float64]
    drive: NDArray[np.float64]
    offset: NDArray[np.float64]
    synaptic_leak: NDArray[np.float64]
    rest: NDArray[np.float64]


def read_membrane(neuron: Named, shape: Shape, rules: Rules) -> Membrane:
    """One step of a node's neurons on a map of (C, H, W)."""
    node, kind, where, dt = neuron.node, neuron.kind, neuron.where, rules.dt
    ones, zeros = np.ones(shape[0]), np.zeros(shape[0])
    if kind == "Threshold":
        return Membrane(zeros, ones, zeros, zeros, zeros)
    r = by_channel(node.r, shape, "r", where)
    rest = _rest(neuron, shape) if neuron.kind.endswith("IF") and _reset(neuron, rules) == "zero" else zeros
    if kind in ("I", "IF"):
        rules.check_dt(bool((r == 1).all()), "r = 1", where)
        return Membrane(ones, near_one(dt * r), zeros, zeros, rest)

    def step(what: str) -> NDArray[np.float64]:
        """dt/τ of a time constant τ."""
        tau = by_channel(getattr(node, what), shape, what, where)
        rules.check_dt(bool(tau.min() >= LONGEST), f"{what} = {tau.min():g} s", where)
        if tau.min() < dt * (1 - CLOSE):
            raise NetworkError(f"{where}: {what} is {tau.min():g} s, expected at least dt = {dt:g} s")
        return near_one(dt / tau)

    synaptic = kind.startswith("Cuba")
    membrane_step, synaptic_step = step("tau_mem" if synaptic else "tau"), step("tau_syn") if synaptic else ones
    drive, offset = r * membrane_step, (by_channel(node.v_leak, shape, "v_leak", where) - rest) * membrane_step
    if synaptic:
        drive = drive * by_channel(node.w_in, shape, "w_in", where) * synaptic_step
        if (offset * (1 - synaptic_step)).any():
            raise NetworkError(f"{where}: v_leak is not 0, expected 0 beside currents that outlast a step")
    return Membrane(1 - membrane_step, near_one(drive), offset, 1 - synaptic_step, rest)


def read_lif(neuron: Named, shape: Shape, rules: Rules) -> LIF:
    """The neurons of a node that spikes, with the bias that is their own."""
    node, where = neuron.node, neuron.where
    said = metadata(node, where, SAID)
    membrane = read_membrane(neuron, shape, rules)
    leak, synaptic_leak = (
        agreed(said.get(what, computed), computed, what, where)
        for what, computed in (("leak", membrane.leak), ("synaptic_leak", membrane.synaptic_leak))
    )
    fires = rules.fires(said)
    if neuron.kind == "Threshold":
        threshold = by_channel(node.threshold, shape, "threshold", where)
        return LIF(leak, threshold, reset="zero", fires_at_threshold=fires, min_v_mem=said.get("min_v_mem"))
    threshold = by_channel(node.v_threshold, shape, "v_threshold", where) - membrane.rest
    reset: Any = _reset(neuron, rules)
    reset_by = said.get("reset_by") if reset == str(said.get("reset", "zero")) else None
    return LIF(
        leak,
        threshold,
        bias=membrane.offset,
        reset=reset,
        reset_by=reset_by,
        fires_at_threshold=fires,
        synaptic_leak=synaptic_leak,
        min_v_mem=said.get("min_v_mem"),
    )


def _reset(neuron: Named, rules: Rules) -> str:
    return rules.reset or str(metadata(neuron.node, neuron.where, SAID).get("reset", "zero"))


def _rest(neuron: Named, shape: Shape) -> NDArray[Any]:
    """To what a spike sets membranes, from where they are counted, (C,)."""
    v_reset = by_channel(neuron.node.v_reset, shape, "v_reset", neuron.where)
    v_leak = None if neuron.kind == "IF" else by_channel(neuron.node.v_leak, shape, "v_leak", neuron.where)
    if v_reset.any() and (v_leak is None or (v_reset != v_leak).any()):
        raise NetworkError(
            f"{neuron.where}: v_reset is {v_reset[v_reset != 0][0]:g}, expected 0, or the same as v_leak"
        )
    return v_reset


def agreed(said: Any, found: Any, what: str, where: str) -> NDArray[np.float64]:
    """What metadata say, if it is what the node says but for rounding."""
    exact = numbers(said, what, where)
    if exact.shape not in ((), np.shape(found)) or not np.allclose(exact, found, rtol=CLOSE, atol=CLOSE):
        raise NetworkError(
            f"{where}: its metadata {KEY!r} contradict it in {what}, expected the same numbers; remove the metadata to "
            "read the node alone"
        )
    return exact


def near_one(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors, with 1 for what differs from 1 by rounding alone."""
    return np.where(np.isclose(factors, 1, rtol=0, atol=CLOSE), 1.0, factors)
