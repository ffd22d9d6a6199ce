"""Outputs of known neurons, and whether they follow from what arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikesam.backends.network import NetworkError
from spikesam.pipeline.check._rule import CheckedRule, why_unchecked
from spikesam.pipeline.check.findings import Finding
from spikesam.pipeline.check.passes import sizes_of
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.imports.torch.call import tensors
from spikesam.pipeline.imports.torch.modules import NeuronModules
from spikesam.pipeline.record.detection import Probe, beside, find_firing_beside

UNKNOWN = "whose equation is not known here"
FAR = 0.5  # of the threshold, which no membrane reached
MANY = 0.5  # of the neurons of a layer; a smaller share that never fires is common


@dataclass(eq=False)
class NeuronCounts:
    """The values that a module of neurons put out, and its membranes if their equation is known."""

    rule: CheckedRule | None
    values: int = 0
    fired: int = 0  # of them, other than 0
    others: int = 0  # of them, neither 0 nor 1
    example: float = 0.0  # one of these
    ever: Tensor | None = None  # (N,) of each neuron of a sample, True if it fired at all
    always: Tensor | None = None  # (N,), True if it fired at every step of every sample
    returned: list[Tensor] = field(default_factory=list)  # by the last call


class CheckedNeurons:
    """Looks at the neurons of a model in one run."""

    def __init__(self, neurons: Mapping[str, nn.Module]) -> None:
        self._known = neurons
        self.unchecked: list[str] = []
        self._seen = {
            name: NeuronCounts(self._rule(name, module)) for name, module in neurons.items()
        }

    def _rule(self, name: str, module: nn.Module) -> CheckedRule | None:
        modules, reason = NeuronModules(), UNKNOWN
        if modules.describes(name, module):
            try:
                spiking = modules.describe(name, module)
            except NetworkError as error:
                reason = f"whose equation is not known here: {error}"
            else:
                reason = why_unchecked(spiking)
                if not reason:
                    return CheckedRule(spiking)
        self.unchecked.append(f"the rule of {name!r}, {reason}")
        return None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Look within the block."""
        handles = []
        try:
            for name, module in self._known.items():
                handles.append(module.register_forward_hook(partial(self._see, name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        outputs, arrived, summary = list(tensors(output)), list(tensors(inputs)), self._seen[name]
        if not outputs or not outputs[0].numel():
            return
        spikes = outputs[0].detach()
        fired = (_steps(module, spikes) != 0).flatten(2).flatten(0, 1)
        ever, always = fired.any(0), fired.all(0)
        summary.ever = ever if summary.ever is None else summary.ever | ever
        summary.always = always if summary.always is None else summary.always & always
        neither = (spikes != 0) & (spikes != 1)
        summary.values += spikes.numel()
        summary.fired += int((spikes != 0).sum())
        others = int(neither.sum())
        if others and not summary.others:
            summary.example = float(spikes[neither][0])
        summary.others += others
        if summary.rule is None:
            return
        follows = arrived and all(_was_left(state, summary.returned) for state in arrived[1:])
        if not follows or arrived[0].shape != spikes.shape or neither.any():
            reason = "which is given states, or currents, of another kind"
            self.unchecked.append(f"the rule of {name!r}, {reason}")
            summary.rule = None
            return
        for current, fired in zip(
            _steps(module, arrived[0].detach()), _steps(module, spikes), strict=True
        ):
            summary.rule.step(current, fired)
        summary.returned = outputs

    def findings(self, others_behind: Callable[[str], Mapping[str, int]]) -> Iterator[Finding]:
        """Findings of all neurons that ran; `others_behind` gives modules -> numbers but 0 and 1
        that their weights get of some neurons.
        """
        for name, summary in self._seen.items():
            if not summary.values:
                continue
            if summary.others:
                yield _not_spikes(name, summary, others_behind(name))
            if summary.rule is not None and summary.rule.wrong is not None:
                yield _another_rule(name, summary.rule)
            elif summary.rule is not None and summary.rule.steps == 1:
                yield Finding(
                    "one step",
                    name,
                    "it runs for one step, so nothing of its membrane is ever used",
                    "give it more steps: a T that was set elsewhere may not reach the model",
                )
            yield from _extremes(name, summary)


def _extremes(name: str, summary: NeuronCounts) -> Iterator[Finding]:
    """Silence, and neurons that fire always."""
    if summary.fired == summary.values:
        yield Finding(
            "always firing",
            name,
            f"all {summary.values:,} values are spikes",
            "see whether its threshold is too low, or its currents too strong",
        )
    if summary.fired:
        yield from _shares(name, summary)
        return
    highest = summary.rule.highest if summary.rule is not None else torch.inf
    if highest < FAR:
        yield Finding(
            "far from threshold",
            name,
            f"none of {summary.values:,} values is a spike, and the highest membrane is "
            f"{highest:.2f} of the threshold",
            "see whether its currents are too weak, or its threshold too high",
        )
    else:
        yield Finding(
            "silent",
            name,
            f"none of {summary.values:,} values is a spike",
            "give stronger inputs or more steps, or see whether it is meant to be silent",
        )


def _shares(name: str, summary: NeuronCounts) -> Iterator[Finding]:
    """Many neurons of a layer that are silent, or fire always, where others do not."""
    assert summary.ever is not None
    assert summary.always is not None
    neurons, silent = len(summary.ever), int((~summary.ever).sum())
    always = int(summary.always.sum())
    if silent >= MANY * neurons:
        near = ""
        if summary.rule is not None and summary.rule.highest_by_neuron is not None:
            far = int((summary.rule.highest_by_neuron < FAR).sum())
            near = f", and {far:,} never come above {FAR} of the threshold"
        yield Finding(
            "silent",
            name,
            f"{silent:,} of {neurons:,} neurons ({silent / neurons:.0%}) never fire{near}",
            "give more samples or steps, or see whether so many neurons are of use",
        )
    if MANY * neurons <= always < neurons:
        yield Finding(
            "always firing",
            name,
            f"{always:,} of {neurons:,} neurons ({always / neurons:.0%}) fire at every step",
            "see whether their thresholds are too low, or their currents too strong",
        )


def _not_spikes(name: str, summary: NeuronCounts, others_by_module: Mapping[str, int]) -> Finding:
    reach = ", ".join(
        f"{others:,} of {module or 'the model'}" for module, others in others_by_module.items()
    )
    return Finding(
        "not spikes",
        name,
        f"{summary.others / summary.values:.2%} of what it puts out is neither 0 nor 1, such as "
        f"{summary.example:.4g}; such numbers that reach weights: {reach or 'none'}",
        "behind it, weights multiply numbers; graded spikes need counts= in a recording",
    )


def _another_rule(name: str, rule: CheckedRule) -> Finding:
    assert rule.wrong is not None
    step, sample, neuron = rule.wrong
    fires = "fires not" if rule.reached > 1 else "fires"
    fits = rule.fits()
    also = f"; what it fires follows if it {fits}" if fits else ""
    return Finding(
        "another rule",
        name,
        f"at step {step} of sample {sample}, neuron {neuron} {fires}, though its membrane is "
        f"{rule.reached:.3f} of its threshold by the library's equation{also}",
        "compare its class, its options and the library's version with those it was trained with",
    )


def _was_left(state: Tensor, returned: list[Tensor]) -> bool:
    """True of a state at rest, before the first call, or of one that the last call returned."""
    if not returned:
        return not state.any()
    return any(
        state.shape == returned_tensor.shape and torch.equal(state, returned_tensor)
        for returned_tensor in returned
    )


def _steps(module: nn.Module, values: Tensor) -> Tensor:
    """(T, B, …) of what a module takes, or gives."""
    library = library_that_fires(module)
    axes = library.axes(module) if library else "B..."
    if axes == "B...":
        return values[None]
    if axes == "(BT)...":
        _, samples = sizes_of(module, values.shape, 1)
        return values.unflatten(0, (samples, -1)).transpose(0, 1)
    if axes == "BT...":
        return values.transpose(0, 1)
    return values.movedim(-1, 0) if axes == "B...T" else values


class FiringBeside:
    """Modules of no known library that put out spikes in a run, though none went in."""

    def __init__(self, model: nn.Module, neurons: Mapping[str, nn.Module]) -> None:
        names = [name for name, _ in model.named_modules() if name]
        self._modules = {name: model.get_submodule(name) for name in beside(names, neurons)}
        self._probes: dict[str, Probe] = {}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Look within the block."""
        handles = []
        try:
            for name, module in self._modules.items():
                handles.append(module.register_forward_hook(partial(self._see, name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        probe = self._probes.setdefault(name, Probe())
        probe.enter(tensors(inputs))
        for values in tensors(output):
            probe.left.see(values)

    @property
    def unchecked(self) -> Iterator[str]:
        """A sentence for each of them."""
        for name in find_firing_beside(self._probes):
            kind = type(self._modules[name]).__name__
            yield f"the rule of {name!r}, which puts out spikes: no library known here has {kind}"
