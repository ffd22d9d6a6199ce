"""The membranes of neurons by their library's equation, driven by what arrived in a run.

The spikes that reset a membrane are the model's own, so the first spike that does not follow is
the fault, and none behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spikesam.backends.network import LIF
from spikesam.pipeline.imports.libraries.library import SpikingModule

TIE = 1e-4  # of threshold and currents: what float32 may move a membrane, over many steps
WATCHED = 256  # neurons of a sample of which other rules are tried
Bit = tuple[int, int, int]  # step, sample, neuron


def why_unchecked(spiking: SpikingModule) -> str:
    """Why spikes do not follow from what arrives at a module by its equation alone; "" if they
    do.
    """
    if not isinstance(spiking.neuron, LIF):
        return "which has no threshold"
    if spiking.levels > 1:
        return "which fires several spikes a step"
    if spiking.recurrent is not None:
        return "whose spikes come back to it"
    if spiking.synapse is not None:
        return "which holds its own weights"
    if spiking.rounds or spiking.rounding or spiking.unit:
        return "whose library rounds its states"
    if spiking.above is not None or spiking.others or spiking.back or spiking.delayed:
        return "which resets, or passes its spikes on, in another step than it fires"
    return ""


class CheckedRule:
    """The membranes of a module, step by step."""

    def __init__(self, spiking: SpikingModule) -> None:
        assert isinstance(spiking.neuron, LIF)
        self._about, self._neuron = spiking, spiking.neuron
        self._constants: dict[str, Tensor] = {}
        self._current: Any = 0.0
        self._membrane: Any = None
        self._before: Any = 0.0  # spikes of the step before
        self.steps = 0
        self.wrong: Bit | None = None  # the first bit that does not follow, and its membrane
        self.reached = 0.0  # the membrane there, of its threshold
        self.highest_by_neuron: Tensor | None = None  # membrane, of its threshold, (N,)
        self._watched: list[tuple[Tensor, Tensor]] = []

    @property
    def highest(self) -> float:
        """The highest membrane of all, of its threshold."""
        of_neurons = self.highest_by_neuron
        return -torch.inf if of_neurons is None else float(of_neurons.max())

    def step(self, arrived: Tensor, fired: Tensor) -> None:
        """Take what arrived at a step, and what fired: (B, …)."""
        if not self._constants:
            self._set_constants(arrived)
        current, spikes = arrived.flatten(1).double(), fired.flatten(1).double()
        watched = slice(None), slice(WATCHED)
        self._watched.append((current[watched].clone(), spikes[watched].clone()))
        self._advance(current, spikes)

    def _set_constants(self, arrived: Tensor) -> None:
        """Constants of every neuron of a sample, (N,)."""
        neuron, shape = self._neuron, arrived.shape[1:]
        numbers = {
            "leak": neuron.leak,
            "threshold": neuron.threshold,
            "lost": neuron.subtracted if neuron.reset == "subtract" else 0.0,
            "lasts": neuron.synaptic_leak,
            "gain": self._about.gain,
        }
        for name, number in numbers.items():
            constant = torch.as_tensor(number, dtype=torch.float64, device=arrived.device)
            self._constants[name] = constant.expand(shape).flatten()

    def _advance(self, current: Tensor, spikes: Tensor) -> None:
        constants, neuron = self._constants, self._neuron
        lasting = current * constants["gain"]
        self._current = lasting + self._current * constants["lasts"]
        if self._membrane is None:
            left: Any = torch.full_like(current, float(self._about.begins))
        else:
            left_by_reset = (
                self._membrane if neuron.reset != "zero" else self._membrane * (1 - self._before)
            )
            left = left_by_reset * constants["leak"] - constants["lost"] * self._before
        membrane = left + self._current
        if neuron.min_v_mem is not None:
            membrane = membrane.clamp(min=float(neuron.min_v_mem))
        threshold = constants["threshold"]
        follows = membrane >= threshold if neuron.fires_at_threshold else membrane > threshold
        doubtful = TIE * (threshold + self._current.abs() + left.abs())
        wrong = (follows != (spikes != 0)) & ((membrane - threshold).abs() > doubtful)
        relative = membrane / threshold
        highest, before = relative.amax(0), self.highest_by_neuron
        self.highest_by_neuron = highest if before is None else torch.maximum(before, highest)
        if self.wrong is None and bool(wrong.any()):
            sample, place = torch.nonzero(wrong)[0].tolist()
            self.wrong = self.steps, sample, place
            self.reached = float(relative[sample, place])
        self._membrane, self._before = membrane, spikes
        self.steps += 1

    def fits(self) -> str:
        """The rule by which all watched spikes follow, in words; "" if none of those tried."""
        for words, neuron in _others(self._neuron):
            variant = CheckedRule(replace(self._about, neuron=neuron))
            variant._constants = {
                name: constant[:WATCHED] for name, constant in self._constants.items()
            }
            variant._constants["lasts"] = _full(neuron.synaptic_leak, variant._constants["lasts"])
            lost = neuron.subtracted if neuron.reset == "subtract" else 0.0
            variant._constants["lost"] = _full(lost, variant._constants["lost"])
            for current, spikes in self._watched:
                variant._advance(current, spikes)
            if variant.wrong is None:
                return words
        return ""


def _full(number: Any, like: Tensor) -> Tensor:
    constant = torch.as_tensor(number, dtype=torch.float64, device=like.device).flatten()
    return constant.expand(like.shape) if constant.numel() == 1 else like


def _others(neuron: LIF) -> Iterator[tuple[str, LIF]]:
    """Rules that neurons often follow in place of theirs."""
    at_threshold = not neuron.fires_at_threshold
    words = "fires at the threshold, too" if at_threshold else "fires above the threshold alone"
    yield words, replace(neuron, fires_at_threshold=at_threshold)
    yield "resets to zero", replace(neuron, reset="zero", reset_by=None)
    yield "subtracts the threshold", replace(neuron, reset="subtract", reset_by=None)
    lost = neuron.leak * neuron.threshold
    yield "subtracts leak · threshold", replace(neuron, reset="subtract", reset_by=lost)
    yield "does not reset", replace(neuron, reset="subtract", reset_by=0.0)
    yield "has no synaptic current", replace(neuron, synaptic_leak=0.0)
