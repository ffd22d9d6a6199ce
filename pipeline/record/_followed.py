"""Hooks around the neurons of known libraries, which give their spikes a backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spikesam.backends.network import LIF, NetworkError
from spikesam.common.errors import InputError, at
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.imports.libraries.library import SpikingModule, Takes
from spikesam.pipeline.record._arrangement import known_layout
from spikesam.pipeline.record._comparisons import are_zero
from spikesam.pipeline.record._layouts import one_step
from spikesam.pipeline.record._outputs import first_tensor
from spikesam.pipeline.record._shares import NeuronCall, ShareRule, ShareState
from spikesam.pipeline.record.constants import NONE, ConstantTracker, unseen

GRADIENTS = (
    "why: got a model that runs without gradients, expected it to run with them: leave out "
    "torch.no_grad() and torch.inference_mode()"
)


class FollowedNeurons:
    """One module of neurons: what it gives in the batch at hand, as functions of what arrived.

    `spikes` are what its calls gave. The module itself runs without gradients.
    """

    def __init__(
        self, name: str, module: nn.Module, anchor: Tensor, tracker: ConstantTracker
    ) -> None:
        library = library_that_fires(module)
        assert library is not None
        self.name, self.where = name, f"why: module {name!r}"
        self._module, self._library, self._anchor = module, library, anchor
        self._tracker = tracker
        self._rule: ShareRule | None = None
        self._neurons: SpikingModule | None = None
        self._enabled: bool | None = None  # whether gradients were, in front of the call at hand
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget the calls."""
        self.spikes: list[Tensor] = []
        self._versions: list[int] = []  # of the spikes, when they were handed on
        self._constants = NONE  # on which what arrived depends
        self._steps = 0
        self._state: ShareState | None = None
        self._fired: Tensor | None = None  # of the last step, with its graph
        self._given: list[Tensor] = []  # the state that the last call gave
        self._kept: list[Tensor] = []  # and that the module keeps itself

    @property
    def states(self) -> Sequence[Tensor]:
        """The numbers of states of the module, whose graph is not known."""
        return [part for part in (*self._given, *self._kept) if part.is_leaf]

    @property
    def changed(self) -> bool:
        """True if spikes were changed in place after they were handed on."""
        return [spikes._version for spikes in self.spikes] != self._versions

    def attach(self) -> Iterator[RemovableHandle]:
        """The hooks."""
        yield self._module.register_forward_pre_hook(self._enter, with_kwargs=True)
        yield self._module.register_forward_hook(self._leave, with_kwargs=True, always_call=True)

    @unseen
    def _enter(self, module: nn.Module, arguments: Any, keywords: Mapping[str, Any]) -> None:
        if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            raise InputError(GRADIENTS)
        handed = list(_tensors([*arguments, *keywords.values()]))[1:]
        state, state_before = (handed, self._given) if handed else (self._own_state(), self._kept)
        if not all(map(are_zero, state)):
            if not _same(state, state_before):
                membrane_found = "another membrane than it had" if self.spikes else "a membrane"
                raise InputError(
                    f"{self.where}: begins with {membrane_found}, expected one at rest, or what "
                    "its call before left; reset the model before each batch"
                )
        else:
            self._state = self._fired = None
        self._enabled = True
        self._tracker.pause()
        torch.set_grad_enabled(False)

    @unseen
    def _leave(
        self, module: nn.Module, arguments: Any, keywords: Mapping[str, Any], output: Any
    ) -> Any:
        if self._enabled:
            self._tracker.resume()
            torch.set_grad_enabled(True)
        self._enabled = None
        if output is None:  # an error was raised in the module
            return None
        x = next(_tensors([*arguments, *keywords.values()]))
        spikes = first_tensor(output, self.where)
        if not self._neurons:
            self._neurons = self._described()
        if not (x.is_floating_point() and x.dtype in (torch.float32, torch.float64)):
            raise InputError(f"{self.where}: got {x.dtype}, expected float32 or float64")
        followed = self._run(self._neurons, x, spikes)
        self._constants |= self._tracker.read([arguments, keywords])
        self.spikes.append(followed)
        tensors_beside = list(_tensors([output]))[1:]
        replacements = {id(spikes): followed}
        if self._library.gives_membranes and tensors_beside and self._state is not None:
            of_state = (self._state.current, self._state.membrane)[-len(tensors_beside) :]
            for part, graph in zip(tensors_beside, of_state, strict=True):
                replacements[id(part)] = as_given(part, graph)
        self._tracker.hold(replacements.values())
        self._given = [replacements.get(id(part), part) for part in tensors_beside]
        self._kept = self._own_state()
        for part in self.states:
            if part.is_floating_point():
                part.requires_grad_()  # so that whoever reads it is noticed
        self._versions.append(followed._version)
        self._tracker.mark([followed, *self._given, *self._kept], self._constants)
        return _replaced(output, replacements)

    def end_batch(self) -> None:
        """Leave the module's state as the module keeps it."""
        for part in self.states:
            part.requires_grad_(False)
        self.begin_batch()

    def _own_state(self) -> list[Tensor]:
        """The tensors that the module keeps from one call to the next."""
        states = (getattr(self._module, name, None) for name in self._library.states)
        return [state for state in states if isinstance(state, Tensor)]

    def _described(self) -> SpikingModule:
        describe = self._library.equation(self._module)
        if describe is None:
            kind = type(self._module).__name__
            raise InputError(f"{self.where}: {kind} follows an equation that is not known here")
        try:
            with at(self.where):
                neurons = describe(self._module)
        except NetworkError as error:
            raise InputError(str(error)) from error
        if not isinstance(neurons.neuron, LIF) or neurons.rounds or neurons.delayed:
            raise InputError(f"{self.where}: {neurons.rounds or 'passes spikes on a step later'}")
        if neurons.above is not None:
            raise InputError(
                f"{self.where}: has reset_delay=False, whose membrane is reset twice; expected True"
            )
        return neurons

    def _run(self, neurons: SpikingModule, x: Tensor, spikes: Tensor) -> Tensor:
        """The spikes of a call as a function of what arrived; the state goes on."""
        if neurons.synapse is not None:
            x = neurons.synapse.forward(x)
        if self._rule is None or self._rule.leak.device != x.device:
            self._rule = ShareRule(neurons, x)
        layout = known_layout(self._module) or one_step
        if neurons.recurrent is None:
            followed, self._state = self._called(x, spikes, layout)
            return followed
        takes = self._library.axes(self._module)
        steps = []
        for x_of_step, fired in zip(layout(x), layout(spikes), strict=True):
            back = torch.zeros_like(fired) if self._fired is None else self._fired
            driven = x_of_step + neurons.recurrent.forward(back)
            self._fired, self._state = self._called(driven, fired, one_step)
            steps.append(self._fired)
        return _laid_out(steps, takes)

    def _called(
        self, x: Tensor, spikes: Tensor, layout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, ShareState | None]:
        assert self._rule is not None
        call = NeuronCall(self.name, self._rule, layout, spikes, self._state, self._refuse)
        followed = call.run(x, self._anchor)
        self._steps += len(layout(spikes))
        return followed, call.state

    def _refuse(self, step: int, wrong: Tensor, membrane: Tensor) -> None:
        """Name the first spike that does not follow from what arrived."""
        sample, *place = (int(number) for number in wrong.nonzero()[0])
        place_of_neuron = (sample, *place)
        assert self._rule is not None
        share = float((membrane / self._rule.threshold)[place_of_neuron])
        raise InputError(
            f"{self.where}, sample {sample}, step {self._steps + step}, neuron {tuple(place)}: "
            f"what arrived makes a membrane of {share:.2%} of the threshold, which does not fit "
            "its spikes; expected the equation of its library, from rest at the beginning of a "
            "batch"
        )


class _AsGiven(torch.autograd.Function):
    """The numbers of a module, with the graph of those that were computed again."""

    passes_relevance = True

    @staticmethod
    def forward(ctx: Any, graph: Tensor, numbers: list[Tensor]) -> Tensor:
        return numbers[0].detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None


def as_given(numbers: Tensor, graph: Tensor) -> Tensor:
    """The numbers of a module, with the graph of those that were computed again."""
    return _AsGiven.apply(graph, [numbers])


def _same(state: Sequence[Tensor], state_before: Sequence[Tensor]) -> bool:
    return len(state) == len(state_before) and all(
        part is earlier or torch.equal(part, earlier)
        for part, earlier in zip(state, state_before, strict=True)
    )


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """All tensors in arguments, or in what a module gave."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _replaced(output: Any, tensors: Mapping[int, Tensor]) -> Any:
    """The output of a module, with other tensors in it."""
    if isinstance(output, Tensor):
        return tensors.get(id(output), output)
    if isinstance(output, (tuple, list)):
        parts = [_replaced(part, tensors) for part in output]
        named = hasattr(output, "_fields")
        return type(output)(*parts) if named else type(output)(parts)
    return output


def _laid_out(steps: Sequence[Tensor], takes: Takes) -> Tensor:
    """Steps (B, …) as a module gives them."""
    if takes == "B...":
        return steps[0]
    axis = {"TB...": 0, "BT...": 1, "(BT)...": 1, "B...T": -1}[takes]
    stacked = torch.stack(list(steps), axis)
    return stacked.flatten(0, 1) if takes == "(BT)..." else stacked
