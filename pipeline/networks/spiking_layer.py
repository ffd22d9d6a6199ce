"""One layer of spiking neurons as a differentiable function of what it reads, over all steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikesam.backends.network import DEFAULT_RANGE, PIXEL_LIMIT, Input, Layer, Network
from spikesam.backends.torch.synapses import apply_synapses, attended_maps
from spikesam.pipeline.networks.firing import fire, fire_step
from spikesam.recordings.schema import steps_that_matter

Steps = Tensor | list[Tensor]  # (T, B, C, H, W), or one step after the other
Fired = Mapping[str, Tensor]  # name of a layer, or "input" -> the spikes of all steps


class SpikingLayer(nn.Module):
    """Spikes (T, B, C, H, W) of a layer, from those that it reads or an image; gradients of the first `reach` steps."""

    def __init__(self, layer: Layer, network: Network, width: float = 1.0) -> None:
        super().__init__()
        place, self.width = network.place(layer.name), width
        self.name, self.steps = layer.name, network.timesteps - 1  # at the first one nothing arrives
        self.inputs, self.shape = layer.inputs, network.shapes[place]
        self.driven = [number for at, number in network.driven if at == place - 1]
        self.constant = network.encoder == "constant-current"
        self.unit = network.input_range / DEFAULT_RANGE
        self.weights = nn.ParameterList(
            constant_parameter(np.zeros(0) if each.weight is None else each.weight) for each in self.inputs
        )
        self.reach = steps_that_matter(network.timesteps, network.to_readout[layer.name]) - 1
        self.neuron = layer.spiking_neuron
        gains = [each.gain for each in self.inputs]
        self.gain = gains.pop() if len(gains) == 1 else np.ones((1, self.shape[0]))  # which the neurons' steps apply
        self.gains = [torch.tensor(gain, dtype=torch.float32) for gain in gains]
        self.recurrent = layer.reads_itself

    def forward(self, fired: Fired) -> Tensor:
        """From the spikes of all steps of the layers that this one reads, its own of all steps."""
        if self.recurrent:
            return self._step_by_step(fired)
        late = {name: each.detach() for name, each in fired.items()}
        early, rest = self._driven(fired, 0, self.reach), self._driven(late, self.reach, self.steps)
        return fire(self.neuron, self.gain, early, rest, self.width)

    def currents(self, fired: Fired) -> Tensor:
        """The currents of the neurons at steps 1 … T - 1: of several inputs, with their gains."""
        return self._driven(fired, 0, self.steps)

    def _driven(self, fired: Fired, start: int, stop: int) -> Tensor:
        """The currents of all inputs at steps start + 1 … stop."""
        first, *more = (self._weighed(number, fired, start, stop) for number in range(len(self.inputs)))
        return sum(more, first)

    def _weighed(self, number: int, fired: Mapping[str, Any], start: int, stop: int) -> Tensor:
        """The currents of one input at steps start + 1 … stop, times its gain."""
        currents = self._currents(number, fired, start, stop)
        if not self.gains:
            return currents
        rows = self.gains[number]
        rows = rows if len(rows) == 1 else rows[start : start + len(currents)]
        return currents * rows.to(currents)[:, None, :, None, None]

    def _currents(self, number: int, fired: Mapping[str, Any], start: int, stop: int) -> Tensor:
        """The currents of one input at steps start + 1 … stop, (S, B, C, H, W)."""
        each, weight = self.inputs[number], self.weights[number]
        stop = max(start, stop)
        if number in self.driven:
            return self._of_numbers(each, weight, fired["input"], start, stop)
        arrived = [
            source.sign * source.arriving(partial(_later, fired[source.layer], start, stop)) for source in each.sources
        ]
        if each.heads:
            sums = [sum(more, first) for first, *more in each.summands(arrived)]
            tokens = torch.cat(sums, 2).flatten(0, 1).flatten(2).mT
            found = attended_maps(tokens, each.heads, self.shape[0])
            return found.mT.reshape(-1, *arrived[0].shape[1:2], *self.shape)
        maps = sum(arrived[1:], arrived[0])
        for axis, times in zip((2, 3, 4), each.spread, strict=True):
            maps = maps if times == 1 else maps.repeat_interleave(times, axis)
        if each.weight is None:
            return maps
        return apply_synapses(each, weight, maps.flatten(0, 1)).reshape(*maps.shape[:2], *self.shape)

    def _of_numbers(self, each: Input, weight: Tensor, given: Tensor, start: int, stop: int) -> Tensor:
        """The currents of numbers, summed in float64 and rounded once: see backends/input_currents.py."""
        delay = each.sources[0].longest
        silent = min(max(0, delay - start - 1), stop - start)  # steps before they arrive
        maps = given[None] if self.constant else given[max(0, start + 1 - delay) : max(0, stop + 1 - delay)]
        numbers = maps.flatten(0, 1).double() / PIXEL_LIMIT
        found = (
            (apply_synapses(each, weight.double(), numbers) * self.unit).float().reshape(*maps.shape[:2], *self.shape)
        )
        found = found.expand(stop - start - silent, -1, -1, -1, -1) if self.constant else found
        return torch.cat([found.new_zeros((silent, *found.shape[1:])), found]) if silent else found

    def _step_by_step(self, fired: Fired) -> Tensor:
        """The spikes of a layer that reads itself."""
        reads_itself = [any(source.layer == self.name for source in each.sources) for each in self.inputs]
        known = [
            None if again else self._weighed(number, fired, 0, self.steps) for number, again in enumerate(reads_itself)
        ]
        before, given = list(fired.items())[-1]
        samples = len(given) if self.constant and before == "input" else given.shape[1]  # an image has no steps
        own = [torch.zeros((samples, *self.shape), device=given.device)]
        state: Any = None
        for t in range(1, self.steps + 1):
            with_own = {**fired, self.name: own}
            found = [
                self._weighed(number, with_own, t - 1, t)[0] if each is None else each[t - 1]
                for number, each in enumerate(known)
            ]
            spikes, state = fire_step(self.neuron, self.gain, sum(found[1:], found[0]), t, own[-1], state, self.width)
            own.append(spikes)
        return torch.stack(own)


def _later(spikes: Steps, start: int, stop: int, delay: int) -> Tensor:
    """The spikes that arrive at steps start + 1 … stop, `delay` steps after they were fired; silence at first."""
    first, last = start + 1 - delay, stop + 1 - delay
    silent, among = min(max(0, -first), stop - start), slice(max(0, first), max(0, last))
    if isinstance(spikes, list):
        return torch.stack([*silent * [torch.zeros_like(spikes[0])], *spikes[among]])
    arrived = spikes[among]
    return torch.cat([spikes.new_zeros((silent, *spikes.shape[1:])), arrived]) if silent else arrived


def constant_parameter(weight: object) -> nn.Parameter:
    """Weights that have no gradient."""
    return nn.Parameter(torch.tensor(np.asarray(weight)), requires_grad=False)
