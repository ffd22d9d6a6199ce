"""The backward pass of neurons: to each part of a membrane its share of the relevance of the spike
that the membrane fired.

    i[t] = κ i[t-1] + gain · x[t]
    v[t] = λ v[t-1] + i[t] - ρ s[t-1]              reset by subtraction
    v[t] = λ v[t-1] (1 - s[t-1]) + i[t]            reset to zero

With the gradient g[t] of what is explained by the spike s[t], from the last step to the first:

    c[t] = g[t] s[t] / v[t] + what v[t] gets from step t+1          v[t] > 0 where it divides
    d[t] = c[t] + what i[t] gets from step t+1
    gain · d[t] goes to x[t], κ d[t] to i[t-1]
    (λ - ρ s[t-1] / v[t-1]) c[t] goes to v[t-1]                     reset by subtraction
    λ (1 - s[t-1]) c[t] goes to v[t-1]                              reset to zero

So spikes times their gradient is the relevance of pipeline/maps/relevance.py, rule "signed": a
spike's derivative by its membrane is s / v, and the spike that was subtracted is a function of its
own membrane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikesam.backends.network import LIF
from spikesam.backends.network.step import ROUNDING
from spikesam.pipeline.imports.libraries.library import SpikingModule
from spikesam.pipeline.record._comparisons import are_zero, silent
from spikesam.pipeline.record._layouts import Layout


class ShareState(NamedTuple):
    """The state of neurons after a step, each (B, …)."""

    membrane: Tensor  # v, with its graph
    current: Tensor  # i, with its graph
    spikes: Tensor  # s
    per_membrane: Tensor  # s / v


class ShareRule:
    """The constants of neurons as tensors of a device, which broadcast with a step (B, …)."""

    def __init__(self, neurons: SpikingModule, like: Tensor) -> None:
        neuron = neurons.neuron
        assert isinstance(neuron, LIF)

        def constant(value: Any) -> Tensor:
            return torch.as_tensor(value, dtype=like.dtype, device=like.device)

        self.levels, self.rounds_down = neurons.levels, neurons.rounds_down
        self.to_zero, self.at_threshold = neuron.reset == "zero", neuron.fires_at_threshold
        self.leak, self.gain = constant(neuron.leak), constant(neurons.gain)
        self.threshold, self.subtracted = constant(neuron.threshold), constant(neuron.subtracted)
        self.synaptic_leak, self.begins = constant(neuron.synaptic_leak), constant(neurons.begins)
        self.lowest = None if neuron.min_v_mem is None else constant(neuron.min_v_mem)

    @cached_property
    def gains(self) -> bool:
        """True if a current is not what arrives."""
        return bool((self.gain != 1).any())

    @cached_property
    def outlasts(self) -> bool:
        """True if a current acts in later steps, too."""
        return bool(self.synaptic_leak.any())

    def step(self, x: Tensor, before: ShareState | None) -> tuple[Tensor, Tensor]:
        """v[t] and i[t], of x[t] (B, …) and the state before; None is rest."""
        current = x * self.gain if self.gains else x
        if before is None:
            return self._held(current + self.begins), current
        if self.outlasts:
            current = torch.addcmul(current, before.current, self.synaptic_leak)
        if self.to_zero:
            left = before.membrane * self.leak
            return self._held(torch.addcmul(current, left, silent(before.spikes))), current
        membrane = torch.addcmul(current, before.membrane, self.leak)
        return self._held(membrane.addcmul_(before.spikes, self.subtracted, value=-1)), current

    def _held(self, membrane: Tensor) -> Tensor:
        return membrane if self.lowest is None else torch.maximum(membrane, self.lowest)

    def fires(self, membrane: Tensor) -> Tensor:
        """Spikes of membranes; several where neurons fire more than one a step."""
        if self.levels == 1:
            above = torch.ge if self.at_threshold else torch.gt
            return above(membrane, self.threshold, out=torch.empty_like(membrane))
        ratio = membrane / self.threshold
        return (ratio.floor() if self.rounds_down else ratio.round()).clamp(0, self.levels)

    def wrong(self, spikes: Tensor, membrane: Tensor, current: Tensor) -> Tensor | None:
        """Where spikes do not follow from membranes (B, …), up to rounding; None if all do."""
        if are_zero(self.fires(membrane) - spikes):
            return None
        near = ROUNDING * (self.threshold + membrane.abs() + current.abs())
        least, most = self.fires(membrane - near), self.fires(membrane + near)
        wrong = ~((least <= spikes) & (spikes <= most))
        return wrong if bool(wrong.any()) else None


@dataclass
class NeuronCall:
    """One call of a module of neurons; `state` is that before the call, then that behind it."""

    module: str
    rule: ShareRule
    layout: Layout  # of what arrives and of spikes, to (S, B, …); gives a view
    spikes: Tensor  # as the module gave them
    state: ShareState | None
    refuse: Callable[[int, Tensor, Tensor], None]  # a step, where it is wrong, and the membranes

    def run(self, x: Tensor, anchor: Tensor) -> Tensor:
        """The spikes, as a function of what arrived and of the state before."""
        before = self.state
        states = () if before is None else (before.membrane, before.current)
        spikes, membrane, current = _Neurons.apply(self, anchor, x, *states)
        assert self.state is not None
        self.state = self.state._replace(membrane=membrane, current=current)
        return spikes


class _Neurons(torch.autograd.Function):
    """Forward, the module's own spikes; backward, the shares of the membranes."""

    @staticmethod
    def forward(
        ctx: Any, call: NeuronCall, anchor: Tensor, x: Tensor, *states: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the membranes that the spikes followed from."""
        rule, before = call.rule, call.state
        arriving, fired = call.layout(x.detach()), call.layout(call.spikes)
        ctx.rule, ctx.layout, ctx.continues = rule, call.layout, before is not None
        ctx.shape, ctx.module = x.shape, call.module
        ctx.set_materialize_grads(False)
        shares, held = torch.empty_like(arriving), []
        state = before
        for t, (x_of_step, spikes) in enumerate(zip(arriving, fired, strict=True)):
            membrane, current = rule.step(x_of_step, state)
            wrong = rule.wrong(spikes, membrane, current)
            if wrong is not None:
                call.refuse(t, wrong, membrane)
            share = torch.div(spikes, membrane, out=shares[t])
            share.nan_to_num_(0, torch.inf, -torch.inf)  # of 0 / 0
            if rule.lowest is not None:
                held.append(membrane <= rule.lowest)
            state = ShareState(membrane, current, spikes, shares[t])
        assert state is not None
        call.state = state
        earlier = torch.empty(0) if before is None else before.per_membrane
        ctx.save_for_backward(shares, earlier, *held)
        return call.spikes.detach(), state.membrane, state.current

    @staticmethod
    def backward(
        ctx: Any, spikes: Tensor | None, membrane: Tensor | None, current: Tensor | None
    ) -> Any:
        """The gradients of what arrived, and of the state before."""
        rule, (shares, earlier, *held) = ctx.rule, ctx.saved_tensors
        gradient = torch.empty(ctx.shape, dtype=shares.dtype, device=shares.device)
        to_spikes = None if spikes is None else ctx.layout(spikes)
        to_x, per_membrane, per_current = ctx.layout(gradient), membrane, current
        for t in range(len(shares) - 1, -1, -1):
            if per_membrane is None:
                per_membrane = torch.zeros_like(shares[t])
            if to_spikes is not None:
                per_membrane = torch.addcmul(per_membrane, to_spikes[t], shares[t])
            if held:
                per_membrane = torch.where(held[t], 0, per_membrane)
            per_current = per_membrane if per_current is None else per_current + per_membrane
            if rule.gains:
                torch.mul(per_current, rule.gain, out=to_x[t])
            else:
                to_x[t].copy_(per_current)
            if t == 0 and not ctx.continues:
                return None, None, gradient
            per_current = per_current * rule.synaptic_leak if rule.outlasts else None
            before = shares[t - 1] if t else earlier
            if rule.to_zero:
                per_membrane = per_membrane * rule.leak * silent(before)
            else:
                kept = torch.addcmul(rule.leak, before, rule.subtracted, value=-1)
                per_membrane = per_membrane * kept
        return None, None, gradient, per_membrane, per_current
