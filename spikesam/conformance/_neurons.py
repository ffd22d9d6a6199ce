"""Cases of neurons: constants, thresholds, resets, and the length of a step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import nir
import numpy as np

from spikesam.conformance._build import (
    ABOVE_ONE,
    DENSE,
    DT,
    MILLISECOND,
    affine,
    chain,
    cuba,
    full,
    if_neurons,
    lif,
    one,
    read_out,
    synaptic,
)
from spikesam.conformance._case import Case

AT = "v > v_threshold fires: v = v_threshold does not"
RESET = "a spike sets v to v_reset, whatever v was"
ORDER = "both equations hold at once: the Euler step of v has the current of the same step"
BY_ITSELF = "τ·dv/dt = (v_leak - v) + R·I fires without input where v_leak > v_threshold"
FLOOR = "v has no lower bound"
SMALL = {"most": 1, "least": 1}
ALL_FIRE = {"most": 40, "least": 24}  # weights with which every neuron fires at once
ONE_TO_FIVE = np.arange(1, 6)
THRESHOLDS = ABOVE_ONE * ONE_TO_FIVE


def neuron_cases() -> Iterator[Case]:
    """All of them, by the kind of node."""
    yield from if_cases()
    yield from lif_cases()
    yield from cuba_cases()
    yield from threshold_cases()
    yield from readout_cases()


def if_cases() -> Iterator[Case]:
    """IF."""

    def case(name: str, node: Any, dt: float = 1, equation: str = "", **options: Any) -> Case:
        first = options.pop("full_first_step", False)
        build = partial(_one, node, options)
        return Case("IF", name, build, dt, equation=equation, full_first_step=first)

    unit = partial(if_neurons, 5, r=1)
    yield case("r = 1/dt", partial(if_neurons, 5), DT)
    yield case("r = 1, dt = 1", unit)
    yield case("r = 2, dt = 1", partial(if_neurons, 5, 2.51, 2))
    yield case("r = 1/2, dt = 1", partial(if_neurons, 5, r=0.5))
    yield case("r by neuron", partial(if_neurons, 5, 2.01, ONE_TO_FIVE / 2))
    yield case("dt = 1/2, r = 1", unit, 0.5)
    yield case("dt = 1e-3, r = 1000", partial(if_neurons, 5, r=1000), MILLISECOND)
    yield case("integrates small inputs", unit, equation="dv/dt = R·I: nothing leaks", **SMALL)
    yield case("meets its threshold", partial(unit, 0.5), equation=AT, most=4, least=4)
    yield case("threshold by neuron", partial(unit, THRESHOLDS / 2))
    yield case(
        "reset from twice the threshold", partial(unit, 1), equation=RESET, most=32, least=32
    )
    yield case("reset from beyond twice the threshold", unit, equation=RESET, most=64, least=8)
    resting: dict[str, Any] = {"equation": RESET, "full_first_step": True, **ALL_FIRE}
    yield case("v_reset = 1/4", partial(unit, reset=0.25, threshold=4.01), **resting)
    yield case("v_reset = -1", partial(unit, reset=-1, threshold=4.01), **resting)
    yield case("v_reset by neuron", partial(unit, 4.01, reset=ONE_TO_FIVE / 4 - 1), **resting)
    yield case("inhibited", unit, equation=FLOOR, most=12, least=-12)
    yield case("bias", unit, bias=0.375)
    yield case("bias, without input", unit, bias=0.375, most=0, least=0)
    yield case("negative bias", unit, bias=-0.25)


def lif_cases() -> Iterator[Case]:
    """LIF."""

    def case(name: str, node: Any, dt: float = DT, equation: str = "", **options: Any) -> Case:
        first = options.pop("full_first_step", False)
        build = partial(_one, node, options)
        return Case("LIF", name, build, dt, equation=equation, full_first_step=first)

    neuron = partial(lif, 5)
    yield case("τ = 4 steps", neuron)
    yield case("τ = 2 steps, r = 1", partial(neuron, 2, 0.5))
    yield case("τ = 20 steps", partial(neuron, 20))
    yield case("τ = 1 step", partial(neuron, 1))
    yield case("τ = 3/2 steps", partial(neuron, 1.5))
    yield case("τ by neuron", partial(neuron, [1, 2, 4, 8, 16]))
    yield case("r = 2", partial(neuron, 4, 0.5))
    yield case("r = 1/2", partial(neuron, 2, 0.25, 0.51))
    yield case("r by neuron", partial(neuron, 4, ONE_TO_FIVE / 4))
    yield case("dt = 1, τ = 20, r = 1", partial(neuron, 20, 0.05, 0.251, dt=1), 1)
    yield case("dt = 1, τ = 4, r = τ", partial(neuron, 4, dt=1), 1)
    yield case("dt = 1/2, τ = 2", partial(neuron, 4, dt=0.5), 0.5)
    yield case("dt = 1e-3, τ = 8e-3", partial(neuron, 8, dt=MILLISECOND), MILLISECOND)
    yield case(
        "meets its threshold", partial(neuron, 2, threshold=0.5), equation=AT, most=8, least=8
    )
    yield case("threshold by neuron", partial(neuron, threshold=THRESHOLDS / 4))
    yield case(
        "reset from twice the threshold",
        partial(neuron, 1, threshold=1),
        equation=RESET,
        most=32,
        least=32,
    )
    yield case("reset from beyond twice the threshold", neuron, equation=RESET, most=64, least=8)
    resting: dict[str, Any] = {"equation": RESET, "full_first_step": True, **ALL_FIRE}
    yield case(
        "v_leak = v_reset = 1/4", partial(neuron, leak=0.25, reset=0.25, threshold=4.01), **resting
    )
    yield case("v_leak = 1/2, v_reset = 0", partial(neuron, leak=0.5, threshold=4.01), **resting)
    yield case("v_leak = 0, v_reset = 1/4", partial(neuron, reset=0.25, threshold=4.01), **resting)
    yield case("v_reset = -1", partial(neuron, reset=-1, threshold=4.01), **resting)
    yield case("v_leak = -1", partial(neuron, leak=-1, threshold=4.01), **resting)
    yield case(
        "v_leak above the threshold",
        partial(neuron, leak=2.25),
        equation=BY_ITSELF,
        full_first_step=True,
        **ALL_FIRE,
    )
    yield case(
        "v_leak by neuron", partial(neuron, leak=ONE_TO_FIVE / 4 - 1, threshold=4.01), **resting
    )
    yield case(
        "v_reset by neuron", partial(neuron, reset=ONE_TO_FIVE / 4 - 1, threshold=4.01), **resting
    )
    yield case("inhibited", neuron, equation=FLOOR, most=12, least=-12)
    yield case("bias", neuron, bias=0.25)
    yield case("bias, without input", neuron, bias=0.375, most=0, least=0)
    yield case("negative bias", neuron, bias=-0.25)


def cuba_cases() -> Iterator[Case]:
    """CubaLIF."""

    def case(name: str, node: Any, dt: float = DT, equation: str = "", **options: Any) -> Case:
        first = options.pop("full_first_step", False)
        build = partial(_one, node, options)
        return Case("CubaLIF", name, build, dt, equation=equation, full_first_step=first)

    neuron = partial(cuba, 5)
    yield case("τ_syn = 2 steps, τ_mem = 4 steps", neuron)
    yield case("w_in = r = 1", partial(neuron, w_in=1, r=1, threshold=0.126))
    yield case("w_in = 1", partial(neuron, w_in=1, threshold=0.51))
    yield case("w_in = 4", partial(neuron, w_in=4, threshold=2.01))
    yield case("w_in by neuron", partial(neuron, w_in=ONE_TO_FIVE / 2))
    yield case("r = 2", partial(neuron, r=2, threshold=0.51))
    yield case("r by neuron", partial(neuron, r=ONE_TO_FIVE))
    yield case("τ_syn = 1 step", partial(neuron, 1))
    yield case("τ_mem = 1 step", partial(neuron, 2, 1))
    yield case("τ_syn = τ_mem", partial(neuron, 4, 4))
    yield case("τ_syn > τ_mem", partial(neuron, 8, 2, w_in=2, r=1))
    yield case("τ by neuron", partial(neuron, [1, 2, 4, 2, 1], [4, 8, 2, 1, 2]))
    yield case("dt = 1", partial(neuron, dt=1), 1)
    yield case("dt = 1e-3", partial(neuron, dt=MILLISECOND), MILLISECOND)
    yield case(
        "order of current and membrane",
        partial(neuron, 2, 2, threshold=0.76),
        equation=ORDER,
        most=20,
        least=20,
    )
    yield case("order, τ_syn = τ_mem = 1 step", partial(neuron, 1, 1), equation=ORDER)
    yield case(
        "meets its threshold", partial(neuron, 1, 1, threshold=0.5), equation=AT, most=8, least=8
    )
    yield case("threshold by neuron", partial(neuron, threshold=THRESHOLDS / 2))
    yield case(
        "reset from beyond twice the threshold",
        neuron,
        equation=f"{RESET}; I stays",
        most=48,
        least=8,
    )
    resting: dict[str, Any] = {"equation": RESET, "full_first_step": True, **ALL_FIRE}
    yield case(
        "v_leak = v_reset = 1/4", partial(neuron, leak=0.25, reset=0.25, threshold=4.01), **resting
    )
    yield case("v_leak = 1/2", partial(neuron, leak=0.5, threshold=4.01), **resting)
    yield case("v_reset = 1/4", partial(neuron, reset=0.25, threshold=4.01), **resting)
    yield case("inhibited", neuron, equation=FLOOR, most=12, least=-12)
    yield case("bias", neuron, bias=0.25)
    yield case("bias, without input", neuron, bias=0.375, most=0, least=0)


def threshold_cases() -> Iterator[Case]:
    """Threshold."""

    def node(threshold: Any) -> Any:
        return nir.Threshold(full(threshold, 5))

    def case(name: str, node: Any, equation: str = "", **options: Any) -> Case:
        return Case("Threshold", name, partial(_one, node, options), equation=equation)

    yield case("0.51", partial(node, 0.51))
    yield case(
        "is met",
        partial(node, 0.5),
        "z = 1 where v > threshold, not where v = threshold",
        most=8,
        least=8,
    )
    yield case("0", partial(node, 0))
    yield case("by neuron", partial(node, THRESHOLDS / 4))
    yield case("remembers nothing", partial(node, 1.51), "z(t) needs v(t) alone")
    yield Case("Threshold", "between two layers of LIF", _threshold_between)


def readout_cases() -> Iterator[Case]:
    """I, LI and CubaLI, whose membranes come out."""
    step, by_class = partial(full, shape=3), np.arange(1, 4)

    def case(node: str, name: str, build: Any, dt: float = DT, **options: Any) -> Case:
        return Case(node, name, partial(_read_out, build, dt, options), dt)

    def leaky(dt: float, tau: Any = 4, r: Any = 4, leak: Any = 0) -> Any:
        return nir.LI(step(np.multiply(tau, dt)), step(r), step(leak))

    def current(dt: float, **constants: Any) -> Any:
        return nir.CubaLI(**synaptic(3, dt=dt, **constants))

    yield case("I", "r = 1/dt", lambda dt: nir.I(step(1 / dt)))
    yield case("I", "r = 1, dt = 1", lambda dt: nir.I(step(1)), 1)
    yield case("I", "r = 2, dt = 1", lambda dt: nir.I(step(2)), 1)
    yield case("I", "bias", lambda dt: nir.I(step(1 / dt)), bias=0.25)
    yield case("LI", "τ = 4 steps", leaky)
    yield case("LI", "τ = 1 step", partial(leaky, tau=1, r=1))
    yield case("LI", "r = 1", partial(leaky, r=1))
    yield case("LI", "dt = 1, τ = 4", leaky, 1)
    yield case("LI", "τ by class", partial(leaky, tau=2 * by_class))
    yield case("LI", "v_leak = 1/2", partial(leaky, leak=0.5))
    yield case("LI", "bias", leaky, bias=0.25)
    yield case("CubaLI", "τ_syn = 1 step", partial(current, synapse=1))
    yield case("CubaLI", "τ_syn = 2 steps", current)
    yield case("CubaLI", "w_in = r = 1", partial(current, w_in=1, r=1))
    yield case("CubaLI", "dt = 1", current, 1)
    yield Case("LI", "before a layer of LIF", _leaky_between)


def _one(node: Any, options: dict[str, Any]) -> Any:
    return one(node(), **options)


def _read_out(node: Any, dt: float, options: dict[str, Any]) -> Any:
    return read_out(node(dt), lif(5, dt=dt), **options)


def _threshold_between() -> Any:
    nodes = {"fc1": affine(5, 6), "fc1_n": lif(5), "or": nir.Threshold(full(0.5, 5))}
    return chain(DENSE, 4, **nodes, fc2=affine(4, 5), fc2_n=lif(4))


def _leaky_between() -> Any:
    nodes = {"li": nir.LI(full(4 * DT, 5), full(4, 5), full(0, 5)), "fc2": affine(4, 5)}
    return chain(DENSE, 4, fc1=affine(5, 6), **nodes, fc2_n=lif(4))
