"""The example of an import, checked, and how the model is called with it: step by step or once,
found by trying.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.network import DEFAULT_RANGE, PIXEL_LIMIT, Encoder, Network, NetworkError
from spikesam.common.errors import at
from spikesam.pipeline.images.encoding import in_eight_bits, mean_spikes
from spikesam.pipeline.imports.libraries.library import Takes
from spikesam.pipeline.imports.road.operations import Path, expect
from spikesam.pipeline.imports.torch._stream import Stream
from spikesam.pipeline.imports.torch.call import tensors
from spikesam.pipeline.imports.torch.follower import (
    FollowedLayer,
    Follower,
    ModelOutput,
    NotTakenError,
)
from spikesam.pipeline.imports.torch.modules import NeuronModules, reset

FORMS = (
    "one batch as the model takes it at every step, (B, C, H, W) or (B, N), or a sequence of them, "
    "(T, B, …); of a model with Conv1d alone, a sequence (T, B, C, L)"
)


@dataclass(frozen=True, eq=False)
class Example:
    """Input of a model: "spikes" of 0 and 1, else "constant-current" or "changing-current"; "image"
    of an ANN.
    """

    sequence: Tensor  # (T, B, C, H, W), (T, B, C, L) or (T, B, N) float32
    constant: bool  # whether every step is the same
    encoder: Encoder
    input_range: float = (
        DEFAULT_RANGE  # of a current, see :class:`spikesam.backends.network.Network`
    )

    @property
    def timesteps(self) -> int:
        """T."""
        return len(self.sequence)

    @property
    def samples(self) -> int:
        """B."""
        return self.sequence.shape[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a sample; (C, 1, L) of rows, (N, 1, 1) of one that is no map."""
        channels, *sides = self.sequence.shape[2:]
        height, width = (1, 1, *sides)[-2:]
        return channels, height, width

    def parts(self, samples: int) -> Iterator[Example]:
        """This example, so many samples at a time."""
        for start in range(0, self.samples, samples):
            yield replace(self, sequence=self.sequence[:, start : start + samples])

    def varied(self) -> Example:
        """A dense input of the same kind, in which what drives neurons one way adds up.

        Of spikes, half of all places fire at every step, the others seldom or often. Of currents,
        places of each channel are shuffled, and half of all hold an end of the range.
        """
        random = torch.Generator("cpu").manual_seed(0)
        device, shape = self.sequence.device, self.sequence.shape
        steps = self.sequence[:1] if self.constant else self.sequence

        def drawn(*sizes: int) -> Tensor:
            return torch.rand(sizes, generator=random, device="cpu").to(device)

        if self.encoder == "spikes":
            spikes = drawn(*steps.shape) < 2 * drawn(*shape[1:])
            return replace(self, sequence=spikes.to(steps.dtype).expand(shape))
        maps = steps.flatten(3) if steps.ndim > 3 else steps[..., None]
        places = drawn(*maps.shape[1:]).argsort(-1)
        moved = maps.gather(-1, places.expand(maps.shape)).view(steps.shape)
        least = -self.input_range if (steps < 0).any() else 0.0
        largest = self.input_range if (steps > 0).any() else 0.0
        draws = drawn(*shape[1:])
        moved = torch.where(draws < 1 / 6, least, torch.where(draws > 2 / 3, largest, moved))
        moved = moved if self.encoder == "image" else _on_grid(moved, self.input_range)
        return replace(self, sequence=moved.expand(shape))

    def silenced(self) -> Example:
        """The input of this example without spikes or currents."""
        return replace(self, sequence=torch.zeros_like(self.sequence[:1]).expand_as(self.sequence))

    def encoded(self, timesteps: int) -> NDArray[Any]:
        """The input of a network of so many steps: spikes or numbers, then silence; or the image,
        int8 as a current.
        """
        samples = (self.samples, *self.shape)
        if self.encoder == "image":
            return mean_spikes(self.sequence[0].reshape(samples).cpu().numpy(), self.input_range)
        if self.encoder == "constant-current":
            return in_eight_bits(self.sequence[0].reshape(samples).cpu().numpy(), self.input_range)
        input_rows = self.sequence.reshape(self.timesteps, *samples).cpu().numpy()[:timesteps]
        steps = (
            input_rows != 0
            if self.encoder == "spikes"
            else in_eight_bits(input_rows, self.input_range)
        )
        return np.concatenate([steps, np.zeros((timesteps - len(steps), *samples), steps.dtype)])


def checked_model(model: Any) -> nn.Module:
    """A model, or the one that torch.compile was called with; refuses one that would not be what it
    seems.
    """
    if type(model).__name__ == "OptimizedModule":  # to import this class takes seconds
        model = model._orig_mod
    if not isinstance(model, nn.Module):
        raise NetworkError(f"model: got {type(model).__name__}, expected a torch.nn.Module")
    for name, module in model.named_modules():
        subject = f"module {name!r}" if name else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise NetworkError(
                f"model: {subject} is scripted or traced, expected the module that it was made from"
            )
        trains = module.training and not any(True for _ in module.children())
        with at("model"):
            expect(not trains, f"{subject} is in training mode", "evaluation; call model.eval()")
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if weight.is_floating_point():
            right = weight.dtype == torch.float32
            finite = torch.isfinite(weight).all()
            with at("model"):
                expect(right, f"{name!r} has dtype {weight.dtype}", "float32; call model.float()")
                expect(finite, f"{name!r} holds NaN or infinite numbers", "finite ones")
    return model


def read_example(
    arguments: Any,
    timesteps: int | None,
    model: nn.Module,
    network: Network | None = None,
    *,
    rounded: bool = True,
    at_least: float = 0.0,
) -> Example:
    """An example, see :data:`FORMS`, as a sequence, of currents in int8 if `rounded`; for
    `network`, if it is given.

    `timesteps` are those of a batch, and must be those of a sequence, but for a network.
    """
    with at("example"):
        tensor = _tensor(arguments, model)
    sequence = is_sequence(tensor.ndim, model)
    timesteps = None if sequence and network else timesteps
    full = tensor.ndim in (2, 3, 4, 5) and 0 not in tensor.shape
    with at("example"):
        expect(full, f"got shape {tuple(tensor.shape)}", FORMS)
    if timesteps is None and not sequence:
        raise NetworkError(
            f"timesteps: got none for one batch, {tuple(tensor.shape)}; say how many steps it is "
            "shown for"
        )
    steps = len(tensor) if timesteps is None else timesteps
    if (
        isinstance(steps, bool)
        or not isinstance(steps, int)
        or steps < 1
        or (sequence and steps != len(tensor))
    ):
        expected = (
            f"{len(tensor)}, as the example has" if sequence else "a whole number, at least 1"
        )
        raise NetworkError(f"timesteps: got {timesteps!r}, expected {expected}")
    if sequence and (tensor == tensor[0]).all():
        tensor, sequence = tensor[0], False
    bits = bool(((tensor == 0) | (tensor == 1)).all())
    current: Encoder = "changing-current" if sequence else "constant-current"
    encoder: Encoder = network.encoder if network else "spikes" if bits else current
    if encoder == "spikes" and not bits:
        raise NetworkError(
            "example: holds other numbers than 0 and 1, but the network takes spikes"
        )
    if encoder == "constant-current" and sequence:
        raise NetworkError(
            "example: changes from step to step, but the network takes a constant current"
        )
    largest = float(tensor.abs().max())
    if not largest and network is None:
        raise NetworkError(
            "example: holds zeros alone, which shows nothing of the input; give some of the "
            "model's own data"
        )
    input_range = DEFAULT_RANGE
    if encoder != "spikes":
        of_example = largest if encoder == "changing-current" else _range_of(max(largest, at_least))
        input_range = network.input_range if network else of_example
        covered = f"numbers in ±{input_range:g}, which the network's input covers"
        advice = "import it with an example that holds its largest number"
        with at("example"):
            expect(largest <= input_range, f"holds {largest:g}", f"{covered}; {advice}")
        tensor = _on_grid(tensor, input_range) if rounded else tensor
    return Example(
        tensor if sequence else tensor.expand(steps, *tensor.shape),
        not sequence,
        encoder,
        input_range,
    )


def _range_of(largest: float) -> float:
    """The range of constant currents as large as these: 1 of pixels in 0 … 1, which then use all of
    int8.
    """
    return 1.0 if largest <= 1 else max(DEFAULT_RANGE, largest)


def is_sequence(ndim: int, model: nn.Module) -> bool:
    """True if an example of so many axes holds all steps; of a model of rows alone, (T, B, C, L)
    does, too.
    """
    on_rows, on_maps = (
        any(isinstance(module, kind) for module in model.modules())
        for kind in (nn.Conv1d, nn.Conv2d)
    )
    return ndim in (3, 5) or (ndim == 4 and on_rows and not on_maps)


def _tensor(value: Any, model: nn.Module) -> Tensor:
    """A tensor of finite float32, where the model is."""
    try:
        tensor = (
            value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)
        )  # which would move it
    except (TypeError, ValueError, RuntimeError) as error:
        raise NetworkError(f"got {type(value).__name__}, expected {FORMS}: {error}") from None
    wide_enough = not tensor.is_complex() and tensor.dtype not in (torch.float16, torch.bfloat16)
    expect(wide_enough, f"has dtype {tensor.dtype}", "float32; give example.float()")
    devices = {str(weight.device) for weight in (*model.parameters(), *model.buffers())}
    if devices - {str(tensor.device)}:
        devices_named = ", ".join(sorted(devices))
        raise NetworkError(
            f"is on {tensor.device}, the model on {devices_named}; move one with .to(…)"
        )
    tensor = tensor.float()
    expect(torch.isfinite(tensor).all(), "holds NaN or infinite numbers", "finite ones")
    return tensor


def _on_grid(numbers: Tensor, input_range: float) -> Tensor:
    rounded = in_eight_bits(numbers.cpu().numpy(), input_range).astype(np.float32)
    return torch.from_numpy(rounded * np.float32(input_range / PIXEL_LIMIT)).to(numbers.device)


class NoNeuronsError(NetworkError):
    """No neurons of a known library run in a model, nor functions that are some; `kinds` are its
    modules.
    """

    def __init__(self, model: nn.Module) -> None:
        self.kinds = ", ".join(dict.fromkeys(type(module).__name__ for module in model.modules()))
        super().__init__(
            f"found no neurons in {self.kinds}; expected those of snnTorch, SpikingJelly, Norse, "
            "sinabs or lava-dl, or "
            "equations of your own: neurons={'name of the module': LIF(…)}; an ANN, whose neurons "
            "are ReLU, becomes a spiking network by spikesam.convert(model, images)"
        )


@dataclass(frozen=True, eq=False)
class FollowedModel:
    """A model as it ran on an example: its neurons, by name of their module, and what it gave."""

    layers: dict[str, FollowedLayer]
    answer: ModelOutput  # of what it gave, what counts
    others: list[Path]  # what led to the rest


@dataclass(frozen=True)
class Way:
    """One way of calling a model: once, or at every step; "B..." once means that it loops over
    steps itself.
    """

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
        except NotTakenError as error:
            failures.append((not way.every_step, str(error)))
        except NetworkError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    if example.constant:
        _refuse_other_loop(model, example, neurons)
    likeliest = min(failures, key=lambda failure: failure[0])[
        1
    ]  # the first of a call at every step, if there is one
    raise NetworkError(f"{likeliest}; say what the model takes, such as takes='TB...'")


def follow_images(model: nn.Module, images: Example, neurons: NeuronModules) -> FollowedModel:
    """Run an ANN on images, and follow it."""
    neurons.check(model)
    try:
        return _run(model, images, neurons, Way("B...", every_step=True))
    except NotTakenError as error:
        raise NetworkError(
            str(error).replace("called at every step with", "images: of one batch of")
        ) from error


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
        raise NetworkError(
            f"{name} ran {count} times, expected {example.timesteps}: pass timesteps={count}"
        )


def _ways(model: nn.Module, example: Example, neurons: NeuronModules) -> list[Way]:
    """Ways of calling a model, the likeliest first; an image that it shows to itself comes before a
    sequence of it.
    """
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
    follower = Follower(neurons, example.samples, example.timesteps, example.encoder == "spikes")
    try:
        return _followed(model, example, follower, way)
    except NetworkError as error:
        if follower.fired or neurons.rectified or any(True for _ in neurons.of("", model)):
            raise
        raise NoNeuronsError(model) from error


def _followed(model: nn.Module, example: Example, follower: Follower, way: Way) -> FollowedModel:
    sequence, size = example.sequence, example.sequence[0, 0].numel()
    places = torch.arange(sequence.numel(), device=sequence.device).view(sequence.shape)
    with preserved(model):
        reset(model)
        with follower.following(model):
            if way.every_step:
                outputs = _every_step(model, sequence, places, size, follower)
            elif way.takes == "B...":
                outputs = [
                    _called(
                        model,
                        "once",
                        follower.bring(sequence[0].clone(), places[0], size, static=True),
                    )
                ]
            else:
                model_input, model_places = (
                    _arranged(values, way.takes) for values in (sequence, places)
                )
                outputs = [_called(model, "once", follower.bring(model_input, model_places, size))]
        answers = [tensor for output in outputs for tensor in answers_in(output, example.timesteps)]
        further_paths = [
            stream.path
            for tensor in tensors(outputs[-1])
            if isinstance(stream := follower.known(tensor), Stream)
        ]
        return FollowedModel(follower.layers(), follower.answer(answers), further_paths)


def _every_step(
    model: nn.Module, sequence: Tensor, places: Tensor, size: int, follower: Follower
) -> list[Any]:
    """Call a model at every step; a state, where its forward takes one, is handed on."""
    states: list[Any] = [None] if "state" in inspect.signature(model.forward).parameters else []
    outputs = []
    for step, places_of_step in zip(sequence, places, strict=True):
        output = _called(
            model, "at every step", follower.bring(step.clone(), places_of_step, size), *states
        )
        if states:
            output, *states = output
        outputs.append(output)
    return outputs


def _called(model: nn.Module, how: str, *arguments: Any) -> Any:
    """The output of a model; NotTakenError if it fails."""
    try:
        return model(*arguments)
    except NetworkError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise NotTakenError(
            f"called {how} with {tuple(arguments[0].shape)}, the model fails with {reason}"
        ) from error


def answers_in(output: Any, timesteps: int) -> list[Tensor]:
    """The answer in a model's output: its first tensor, or the first list of a tensor for each
    step.
    """
    while isinstance(output, (tuple, list, dict)) and output:
        values = list(output.values()) if isinstance(output, dict) else list(output)
        if (
            isinstance(output, list)
            and len(values) == timesteps
            and all(map(torch.is_tensor, values))
        ):
            return values
        output = values[0]
    if not isinstance(output, Tensor):
        raise NetworkError(
            f"the model's output is {type(output).__name__}, expected a tensor, or a tuple that "
            "begins with one"
        )
    return [output]


def _arranged(sequence: Tensor, takes: Takes) -> Tensor:
    """(T, B, …) with the axes that a model takes, in memory of its own."""
    if takes == "B...T":
        sequence = sequence.movedim(0, -1)
    elif takes != "TB...":
        sequence = sequence.transpose(0, 1)
    return (sequence.flatten(0, 1) if takes == "(BT)..." else sequence).clone(
        memory_format=torch.contiguous_format
    )


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Whatever happens in this block, the model is afterwards as it was before: its states and its
    hooks. In this block what was compiled runs as it was written.
    """
    saved_state = [(module, module.__dict__.copy()) for module in model.modules()]
    for module, attributes in saved_state:
        containers = {
            name: copy.copy(value)
            for name, value in attributes.items()
            if isinstance(value, (dict, list))
        }
        module.__dict__.update(containers)
        for name, buffer in module._buffers.items():
            module._buffers[name] = buffer if buffer is None else buffer.detach().clone()
    compiles = "torch._dynamo" in sys.modules  # nothing is compiled before that is imported
    try:
        with torch.compiler.set_stance("force_eager") if compiles else nullcontext():
            yield
    finally:
        for module, attributes in saved_state:
            module.__dict__.clear()
            module.__dict__.update(attributes)
