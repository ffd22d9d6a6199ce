"""Calls of a model with its inputs, and with inputs of which a part is replaced."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from spikesam.common.errors import InputError
from spikesam.pipeline.imports.libraries.known import library_that_fires
from spikesam.pipeline.imports.libraries.library import Takes

EXPECTED = "a tensor that the model is called with once, or a list of tensors, one for each step"


@dataclass(frozen=True, eq=False)
class PassInputs:
    """Inputs of a model, call by call; `takes` are the axes of a tensor."""

    calls: tuple[Tensor, ...]
    takes: Takes = "B..."
    samples: int = 0
    steps: int = 1

    def with_sample_replaced(self, sample: int) -> PassInputs | None:
        """Another sample in the place of one; None if there is nothing else to put there."""
        calls = []
        for tensor in self.calls:
            values = self._arranged(tensor).clone()
            other_samples = [place for place in range(self.samples) if place != sample]
            chosen = next(
                (place for place in other_samples if not values[:, place].equal(values[:, sample])),
                None,
            )
            values[:, sample] = _another(values[:, sample]) if chosen is None else values[:, chosen]
            calls.append(self._back(values, tensor))
        return self._changed(calls)

    def with_last_step_replaced(self) -> PassInputs | None:
        """Another input at the last step; None if there is one step,
        or the steps are the model's.
        """
        if self.steps < 2:
            return None
        if len(self.calls) > 1:
            return self._changed([*self.calls[:-1], _another(self.calls[-1])])
        tensor = self.calls[0]
        values = self._arranged(tensor).clone()
        if len(values) < 2:
            return None
        values[-1] = _another(values[-1])
        return self._changed([self._back(values, tensor)])

    def _changed(self, calls: Sequence[Tensor]) -> PassInputs | None:
        same = all(map(torch.equal, calls, self.calls))
        return None if same else PassInputs(tuple(calls), self.takes, self.samples, self.steps)

    def _arranged(self, tensor: Tensor) -> Tensor:
        """(T, B, …)."""
        if self.takes == "TB...":
            return tensor
        if self.takes == "BT...":
            return tensor.transpose(0, 1)
        if self.takes == "B...T":
            return tensor.movedim(-1, 0)
        if self.takes == "(BT)...":
            return tensor.unflatten(0, (self.samples, -1)).transpose(0, 1)
        return tensor[None]

    def _back(self, values: Tensor, tensor: Tensor) -> Tensor:
        """(T, B, …) with the axes of a tensor."""
        if self.takes in ("BT...", "(BT)..."):
            values = values.transpose(0, 1)
        elif self.takes == "B...T":
            values = values.movedim(0, -1)
        return values.reshape(tensor.shape).contiguous()


def _another(values: Tensor) -> Tensor:
    """Other values of the same kind: mirrored, or the opposite where that is the same."""
    mirrored = values.flatten().flip(0).view(values.shape)
    if not mirrored.equal(values):
        return mirrored
    return torch.zeros_like(values) if values.any() else torch.ones_like(values)


def read_inputs(inputs: Any, timesteps: int | None, takes: str | None) -> PassInputs:
    """Inputs as they are given; samples and steps are known after :func:`sized`."""
    if takes is not None and takes not in get_args(Takes):
        raise InputError(f"takes: got {takes!r}, expected one of {', '.join(get_args(Takes))}")
    if isinstance(inputs, Tensor):
        calls = (inputs,) * (1 if timesteps is None else _whole(timesteps))
    elif isinstance(inputs, list | tuple) and inputs:
        calls = tuple(inputs)
        if timesteps is not None:
            raise InputError(
                "timesteps: got a number beside a list of inputs, expected one of them"
            )
    else:
        raise InputError(f"inputs: got {type(inputs).__name__}, expected {EXPECTED}")
    for tensor in calls:
        if not isinstance(tensor, Tensor) or not tensor.ndim or not tensor.numel():
            raise InputError(f"inputs: got {_kind(tensor)}, expected {EXPECTED}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError("inputs: hold NaN or infinite numbers, expected finite ones")
        if tensor.shape != calls[0].shape:
            raise InputError(
                f"inputs: got shapes {tuple(calls[0].shape)} and {tuple(tensor.shape)}, expected "
                "one shape at all steps"
            )
    return PassInputs(calls, _takes(takes) if takes else "B...")


def _takes(takes: Any) -> Takes:
    known: Takes = takes
    return known


def _kind(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _whole(timesteps: Any) -> int:
    if isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1:
        raise InputError(f"timesteps: got {timesteps!r}, expected a whole number, at least 1")
    return timesteps


@dataclass(frozen=True)
class FirstNeurons:
    """The neurons that ran first: axes, shape of what arrived, and how many calls there were."""

    module: nn.Module
    shape: tuple[int, ...]
    calls: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Steps and samples."""
        return sizes_of(self.module, self.shape, self.calls)


def sizes_of(module: nn.Module, shape: Sequence[int], calls: int) -> tuple[int, int]:
    """Steps and samples of what arrives at known neurons in so many calls."""
    library = library_that_fires(module)
    assert library is not None
    axes = library.axes(module)
    if axes == "(BT)...":
        samples = int(getattr(module, "batch_size", -1))
        steps = int(getattr(module, "num_timesteps", -1))
        samples = samples if samples > 0 else shape[0] // max(1, steps)
        return shape[0] // max(1, samples), samples
    if axes == "B..." or len(shape) < 2:
        return calls, shape[0]
    if axes == "TB...":
        return shape[0], shape[1]
    return (shape[1] if axes == "BT..." else shape[-1]), shape[0]


def sized(inputs: PassInputs, takes: str | None, neurons: FirstNeurons | None) -> PassInputs:
    """Inputs with their samples and steps, as `takes` says, or as the neurons were called."""
    shape, calls = inputs.calls[0].shape, inputs.calls
    axes: Takes = inputs.takes
    if len(calls) > 1:
        return PassInputs(calls, "B...", shape[0], len(calls))
    if takes is None:
        axes = _guessed(shape, neurons)
    if axes == "B...":
        steps = 1 if neurons is None else neurons.sizes[0]
        return PassInputs(calls, axes, shape[0], steps)
    if axes == "(BT)...":
        steps, samples = neurons.sizes if neurons else (1, shape[0])
        if samples < 1 or shape[0] != steps * samples:
            raise InputError(
                f"takes: got '(BT)...' of {shape[0]} rows, but the neurons say {steps} steps of "
                f"{samples} samples"
            )
        return PassInputs(calls, axes, samples, steps)
    if len(shape) < 2:
        raise InputError(f"inputs: got shape {tuple(shape)}, expected axes as takes={axes!r} says")
    place = {"TB...": (0, 1), "BT...": (1, 0), "B...T": (-1, 0)}[axes]
    return PassInputs(calls, axes, shape[place[1]], shape[place[0]])


def _guessed(shape: Sequence[int], neurons: FirstNeurons | None) -> Takes:
    """The axes of inputs that agree with the steps and samples that the first neurons ran for."""
    library = None if neurons is None else library_that_fires(neurons.module)
    if neurons and library and library.axes(neurons.module) == "(BT)...":
        return "(BT)..."
    if len(shape) < 3:
        return "B..."
    if neurons is None or library is None:
        if len(shape) == 4:
            return "B..."
        raise InputError(
            f"takes: cannot tell the axes of inputs of shape {tuple(shape)}, as no known neurons "
            "ran; say takes='TB...', 'BT...' or 'B...'"
        )
    steps, samples = neurons.sizes
    if len(shape) == 4 and shape[0] == samples:
        return "B..."
    if steps > 1 and library.axes(neurons.module) == "B...T" and shape[-1] == steps:
        return "B...T"
    time_first = steps > 1 and tuple(shape[:2]) == (steps, samples)
    batch_first = steps > 1 and tuple(shape[:2]) == (samples, steps)
    if time_first and (not batch_first or library.axes(neurons.module) == "TB..."):
        return "TB..."
    if batch_first and not time_first:
        return "BT..."
    if shape[0] == samples and not time_first:
        return "B..."
    if library.axes(neurons.module) == "TB..." and not batch_first:
        return "TB..."
    raise InputError(
        f"takes: cannot tell the axes of inputs of shape {tuple(shape)}: the first neurons ran for "
        f"{steps} steps of {samples} samples; say takes='TB...', 'BT...' or 'B...'"
    )


def outputs_of_model(model: nn.Module, inputs: PassInputs) -> list[Any]:
    """The outputs of a model, call by call; see :func:`calls_of`."""
    return list(calls_of(model, inputs))


def calls_of(model: nn.Module, inputs: PassInputs) -> Iterator[Any]:
    """Call a model, and give its output, for each of its inputs; a state, where its forward takes
    one, is handed on.
    """
    stateful = len(inputs.calls) > 1 and "state" in inspect.signature(model.forward).parameters
    states: list[Any] = [None] if stateful else []
    for tensor in inputs.calls:
        output = model(tensor.clone(), *states)
        if stateful:
            output, *states = output
        yield output
