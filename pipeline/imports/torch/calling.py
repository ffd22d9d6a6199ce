"""How a model is called: at every step, or once with all steps, found out by trying; it is left as it was."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikesam.backends.network import NetworkError
from spikesam.pipeline.imports.libraries.library import Takes
from spikesam.pipeline.imports.road.operations import Path
from spikesam.pipeline.imports.torch.example import Example
from spikesam.pipeline.imports.torch.follower import Follower, ModelOutput
from spikesam.pipeline.imports.torch.functions import tensors
from spikesam.pipeline.imports.torch.neuron_modules import NeuronModules, reset
from spikesam.pipeline.imports.torch.raster import FollowedLayer, NotTakenError
from spikesam.pipeline.imports.torch.stream import Stream


class NoNeuronsError(NetworkError):
    """No neurons of a known library run in a model, nor functions that are some; `kinds` are its modules."""

    def __init__(self, model: nn.Module) -> None:
        self.kinds = ", ".join(dict.fromkeys(type(module).__name__ for module in model.modules()))
        super().__init__(
            f"found no neurons in {self.kinds}; expected those of snnTorch, SpikingJelly, Norse, sinabs or lava-dl, or "
            "equations of your own: neurons={'name of the module': LIF(…)}; an ANN, whose neurons are ReLU, becomes a "
            "spiking network by spikesam.convert(model, images)"
        )


@dataclass(frozen=True, eq=False)
class FollowedModel:
    """A model as it ran on an example: its neurons, by the name of their module, and what it gave."""

    layers: dict[str, FollowedLayer]
    answer: ModelOutput  # of what it gave, what counts
    others: list[Path]  # what led to the rest


@dataclass(frozen=True)
class Way:
    """One way of calling a model: once, or at every step; "B..." once means that it loops over steps itself."""

    takes: Takes
    every_step: bool = False


def follow_model(model: nn.Module, example: Example, neurons: NeuronModules) -> FollowedModel:
    """Run a model on an example, and follow it."""
    neurons.check(model)
    failures: list[tuple[bool, str]] = []
    refusals: list[NetworkError] = []
    for way in _ways(model, example, neurons):
        try:
            return _run(model, example, neurons, way)
        except NotTakenError as error:  # noqa: PERF203
            failures.append((not way.every_step, str(error)))
        except NetworkError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    if example.constant:
        _refuse_other_loop(model, example, neurons)
    likeliest = min(failures, key=lambda each: each[0])[1]  # the first of a call at every step, if there is one
    raise NetworkError(f"{likeliest}; say what the model takes, such as takes='TB...'")


def follow_images(model: nn.Module, images: Example, neurons: NeuronModules) -> FollowedModel:
    """Run an ANN on images, and follow it."""
    neurons.check(model)
    try:
        return _run(model, images, neurons, Way("B...", every_step=True))
    except NotTakenError as error:
        raise NetworkError(str(error).replace("called at every step with", "images: of one batch of")) from error


def _refuse_other_loop(model: nn.Module, example: Example, neurons: NeuronModules) -> None:
    """Refuse a model that loops over steps itself, over another number of them."""
    calls: Counter[str] = Counter()
    with preserved(model), torch.no_grad(), suppress(Exception):  # whatever fails was told before
        reset(model)
        for name, module in neurons.of("", model):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        model(example.sequence[0])
    name, count = next(iter(calls.items()), ("", 0))
    if count > 1 and count != example.timesteps and set(calls.values()) == {count}:
        raise NetworkError(f"{name} ran {count} times, expected {example.timesteps}: pass timesteps={count}")


def _ways(model: nn.Module, example: Example, neurons: NeuronModules) -> list[Way]:
    """Ways of calling a model, the likeliest first; an image that it shows to itself comes before a sequence of it."""
    once = [Way("B...")] if example.constant else []
    if neurons.takes == "B...":
        return [*once, Way("B...", every_step=True)]
    if neurons.takes:
        return [Way(neurons.takes)]
    takes = [neurons.describe(name, module).takes for name, module in neurons.of("", model)]
    first: Takes = (takes[0] if takes else None) or "B..."
    if first == "B...":
        return [*once, Way("TB..."), Way("B...", every_step=True), Way("BT...")]
    return [*(once if first == "TB..." else []), Way(first)]


def _run(model: nn.Module, example: Example, neurons: NeuronModules, way: Way) -> FollowedModel:
    follower = Follower(neurons, example.samples, example.timesteps)
    try:
        return _followed(model, example, follower, way)
    except NetworkError as error:
        if follower.fired or neurons.rectified or any(True for _ in neurons.of("", model)):
            raise
        raise NoNeuronsError(model) from error


def _followed(model: nn.Module, example: Example, follower: Follower, way: Way) -> FollowedModel:
    sequence, size = example.sequence, example.sequence[0, 0].numel()
    where = torch.arange(sequence.numel(), device=sequence.device).view(sequence.shape)
    with preserved(model):
        reset(model)
        with follower.following(model):
            if way.every_step:
                outputs = _every_step(model, sequence, where, size, follower)
            elif way.takes == "B...":
                outputs = [_called(model, "once", follower.bring(sequence[0].clone(), where[0], size, static=True))]
            else:
                given, places = (_arranged(each, way.takes) for each in (sequence, where))
                outputs = [_called(model, "once", follower.bring(given, places, size))]
        answers = [tensor for output in outputs for tensor in answers_in(output, example.timesteps)]
        others = [stream.path for each in tensors(outputs[-1]) if isinstance(stream := follower.known(each), Stream)]
        return FollowedModel(follower.layers(), follower.answer(answers), others)


def _every_step(model: nn.Module, sequence: Tensor, where: Tensor, size: int, follower: Follower) -> list[Any]:
    """Call a model at every step; a state, where its forward takes one, is handed on."""
    states: list[Any] = [None] if "state" in inspect.signature(model.forward).parameters else []
    outputs = []
    for step, places in zip(sequence, where, strict=True):
        output = _called(model, "at every step", follower.bring(step.clone(), places, size), *states)
        if states:
            output, *states = output
        outputs.append(output)
    return outputs


def _called(model: nn.Module, how: str, *given: Any) -> Any:
    """The output of a model; NotTakenError if it fails."""
    try:
        return model(*given)
    except NetworkError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise NotTakenError(f"called {how} with {tuple(given[0].shape)}, the model fails with {reason}") from error


def answers_in(output: Any, timesteps: int) -> list[Tensor]:
    """The answer in a model's output: its first tensor, or the first list of a tensor for each step."""
    while isinstance(output, (tuple, list, dict)) and output:
        values = list(output.values()) if isinstance(output, dict) else list(output)
        if isinstance(output, list) and len(values) == timesteps and all(map(torch.is_tensor, values)):
            return values
        output = values[0]
    if not isinstance(output, Tensor):
        raise NetworkError(
            f"the model's output is {type(output).__name__}, expected a tensor, or a tuple that begins with one"
        )
    return [output]


def _arranged(sequence: Tensor, takes: Takes) -> Tensor:
    """(T, B, …) with the axes that a model takes, in memory of its own."""
    if takes == "B...T":
        sequence = sequence.movedim(0, -1)
    elif takes != "TB...":
        sequence = sequence.transpose(0, 1)
    return (sequence.flatten(0, 1) if takes == "(BT)..." else sequence).clone(memory_format=torch.contiguous_format)


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Whatever happens in this block, the model is afterwards as it was before: its states and its hooks."""
    kept = [(module, module.__dict__.copy()) for module in model.modules()]
    for module, attributes in kept:
        containers = {name: copy.copy(value) for name, value in attributes.items() if isinstance(value, (dict, list))}
        module.__dict__.update(containers)
        for name, buffer in module._buffers.items():
            module._buffers[name] = buffer if buffer is None else buffer.detach().clone()
    try:
        yield
    finally:
        for module, attributes in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)
