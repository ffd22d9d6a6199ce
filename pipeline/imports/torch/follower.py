"""A model is followed while it runs: what reaches its neurons at every step, what they fire, and
what it answers.

Hooks see its modules, a function mode sees the functions between them. Each tensor that comes from
the example is kept beside its :class:`Stream`, so that its identity stays its own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from math import prod
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spikesam.backends.network import LIF, NetworkError, ReLU, Shape
from spikesam.common.errors import at
from spikesam.pipeline.imports.libraries.library import (
    Feedback,
    LeakyIntegrator,
    SpikingModule,
    Takes,
    planes,
    reset_at_once,
)
from spikesam.pipeline.imports.road.build import REPEATING
from spikesam.pipeline.imports.road.constants import per_channel
from spikesam.pipeline.imports.road.kernels import around
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    NOTHING,
    Convolve,
    Junction,
    Operation,
    Pad,
    Path,
    Pool,
    Scale,
    Shift,
    expect,
)
from spikesam.pipeline.imports.torch._functions import (
    fired_alone,
    followed,
    may_rectify,
    pools_maximum,
    rectifier,
    rounding,
)
from spikesam.pipeline.imports.torch._products import Gate, Gates
from spikesam.pipeline.imports.torch._stream import (
    RELAYED,
    Followed,
    JumbledError,
    Limited,
    Lost,
    Product,
    Stream,
    agreed,
    all_agreed,
    differing_weights,
    in_time,
    steps_present,
    unchanging,
    zeros,
)
from spikesam.pipeline.imports.torch.call import Call, tensors
from spikesam.pipeline.imports.torch.modules import (
    NeuronModules,
    axes_of,
    behind_synapse,
    label,
    stream_behind,
)

EXITS = (
    *("item", "tolist", "numpy", "__array__", "__dlpack__", "is_nonzero", "equal", "allclose"),
    *("__contains__", "__bool__", "__float__", "__int__", "__index__", "__complex__"),
)
KNOWN = (
    "expected Conv2d or Conv1d, Linear, batch normalisation, pooling, flattening, dropout, sums, "
    "concatenations, and "
)
SPIKING = f"{KNOWN}products of spikes; neurons of snnTorch, SpikingJelly, Norse, sinabs or lava-dl"
RECTIFIED = f"{KNOWN}ReLU, ReLU6 or clamp(min=0), with which the model can be trained instead"
RANDOM = (
    "rand",
    "rand_like",
    "randn",
    "randn_like",
    "randint",
    "random",
    "bernoulli",
    "normal",
    "uniform",
    "poisson",
)


ABOVE = "/above"  # behind the name of neurons: see `reset_at_once`
MAXIMUM = ReLU()  # neurons of an ANN that pool by maximum what others give


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """The output of the model."""

    path: Path  # what led to it
    # (B, K) float64 — the sum over all steps; of an integrator, what it holds at the last one
    scores: Tensor
    # True of a score for each class; False of maps, such as the pixels of (B, C, H, W)
    by_class: bool


class Follower:
    """Follows one run of a model on B samples over T steps; their numbers may be spikes."""

    def __init__(
        self, neurons: NeuronModules, samples: int, timesteps: int, brings_spikes: bool
    ) -> None:
        self.samples, self.timesteps, self.brings_spikes = samples, timesteps, brings_spikes
        self._neurons = neurons
        self._kept: dict[int, tuple[Tensor, Followed, int]] = {}
        self._rasters: dict[str, Raster] = {}
        self._begun: dict[
            str, tuple[nn.Module, dict[str, Tensor]]
        ] = {}  # neurons, and their states before they ran
        self._hooked: set[nn.Module] = set()
        self._inside = 0  # modules whose inside is not followed
        self._calling: list[
            tuple[str, str, bool]
        ] = []  # name and label of modules that run, and whether alone
        self._called: Counter[str] = (
            Counter()
        )  # how often ReLU and the like were called, by their place
        self._calls = 0  # of functions that may be neurons of an ANN

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Follow what `model` does in this block; its hooks are left in it."""
        self._hook("", model)
        with torch.no_grad(), _FunctionMode(self):
            yield

    def bring(self, tensor: Tensor, places: Tensor, size: int, static: bool = False) -> Tensor:
        """Let a tensor be the model's input; see :class:`Stream`."""
        self._keep([tensor], [Stream(places, size, Path(INPUT, lag=None if static else 0))])
        return tensor

    def known(self, value: Any) -> Followed | None:
        """The stream of a tensor; None if it does not come from the example."""
        followed = self._kept.get(id(value)) if isinstance(value, Tensor) else None
        return followed[1] if followed else None

    @property
    def fired(self) -> bool:
        """True if any neurons ran."""
        return bool(self._rasters)

    def layers(self) -> dict[str, FollowedLayer]:
        """By the name of their module, all neurons that ran; NotTakenError if they did not run once
        per step.
        """
        for name, (module, states) in self._begun.items():
            after = self._neurons.states(name, module)
            for state, value in states.items():
                if state not in after or not torch.equal(value, after[state]):
                    raster = self._rasters.get(name) or self._rasters[f"{name}/1"]
                    _check_rest(value, raster.about, f"{label(name, module)}: begins with {state}")
        return {name: raster.finished() for name, raster in self._rasters.items()}

    def answer(self, outputs: Iterable[Tensor]) -> ModelOutput:
        """The answer in the tensors that the model gave: one, or one for each step."""
        outputs = list(outputs)
        self.lose_changed(outputs)
        pieces = [
            (tensor.flatten().double(), self._ordered(tensor, "the model's output"))
            for tensor in outputs
        ]
        streams = [stream for _, stream in pieces]
        size, summed = streams[0].size, streams[0].summed
        path = all_agreed(streams, self.samples)
        if path is None or any(stream.size != size for stream in streams):
            first = streams[0].path.last
            raise NetworkError(
                f"the model's output comes from {first}, and at other steps from other layers"
            )
        values = torch.cat([value for value, _ in pieces])
        steps = torch.cat([stream.steps(self.samples).flatten() for stream in streams])
        within = torch.cat([stream.within(self.samples).flatten() for stream in streams])
        step_count, expected = len(summed) or len(steps.unique()), self.timesteps
        if not summed and any(
            isinstance(operation.what, SpikingModule) for operation in path.operations
        ):
            last = steps == self.timesteps - 1
            values, within, step_count, expected = values[last], within[last], int(last.any()), 1
        if (
            step_count != expected
            or len(within) != (1 if summed else step_count) * self.samples * size
        ):
            steps_of = f"comes from {path.last}, but from {step_count} of {self.timesteps} steps"
            raise NetworkError(
                f"the model's output {steps_of}; expected all steps, their sum or their mean"
            )
        scores = torch.zeros(self.samples * size, dtype=torch.float64, device=within.device)
        scores = scores.index_add_(0, within, values).view(self.samples, size)
        return ModelOutput(path, scores, by_class=size in outputs[0].shape)

    def lose_changed(self, values: Any) -> None:
        """Lose tensors that were changed in place through others that share their memory."""
        for tensor in tensors(values):
            _, stream, version = self._kept.get(id(tensor), (tensor, None, 0))
            if isinstance(stream, Stream) and version != version_of(tensor):
                self._keep(
                    [tensor],
                    [Lost(f"a tensor that was changed in place, behind {stream.path.last}")],
                )

    def function(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Follow a function that was called between modules."""
        name = getattr(function, "__name__", "")
        if name.rstrip("_") in RANDOM and not self._inside:
            self._keep(tensors(result), repeat(Lost(f"{name}, which draws random numbers")))
        self._calls += may_rectify(function, args, kwargs)
        if self._inside or not any(self.known(tensor) for tensor in tensors((args, kwargs))):
            return
        target = args[0] if function is Tensor.__setitem__ else result
        _, module_label, standalone = self._calling[-1] if self._calling else ("", "", False)
        module = module_label if standalone else ""
        call = Call(function, args, kwargs, target, self.known, self.samples, module, self._fires)
        if call.name in EXITS:
            raise NetworkError(
                f"{_line_of_model()}: {call.called} makes a number of Python of what the example "
                "gives, which an import would take for a constant; expected tensors alone"
            )
        neuron = rectifier(call) if self._neurons.rectified else None
        counted = None if self._neurons.rectified else rounding(call)
        if counted is not None:
            streams: Any = [self._counted(call, counted)]
        else:
            streams = followed(call) if neuron is None else [self._rectified(call, neuron)]
        if streams is not None:
            results = [self._gated(stream, call) for stream in streams]
            if pools_maximum(function):
                pooled = self._pooled if self._neurons.rectified else self._relayed
                results = [pooled(stream, call) for stream in results]
            self._keep(tensors(target), results)

    def _keep(self, values: Iterable[Tensor], streams: Iterable[Followed]) -> None:
        self._kept.update(
            (id(value), (value, stream, version_of(value)))
            for value, stream in zip(values, streams, strict=False)
        )

    def _stream(self, tensor: Tensor, whose: str) -> Stream:
        stream = self.known(tensor) or zeros(tensor, self.samples)
        if isinstance(stream, Stream):
            return stream
        if isinstance(stream, Product):
            raise NetworkError(
                f"{whose} comes from a product of {stream.named}, expected q · kᵀ · v; {SPIKING}"
            )
        reason = (
            stream.reason
            if stream
            else "numbers that do not come from the example, or cannot be followed"
        )
        raise NetworkError(
            f"{whose} comes from {reason}; {RECTIFIED if self._neurons.rectified else SPIKING}"
        )

    def _ordered(self, tensor: Tensor, whose: str) -> Stream:
        """The stream of a tensor that must have one, counted in the order of the tensor."""
        stream = self._stream(tensor, whose)
        try:
            return stream.ordered
        except JumbledError:
            raise NetworkError(
                f"{whose} holds neurons in an order that {stream.moved} changes from sample to "
                "sample"
            ) from None

    def _hook(self, name: str, module: nn.Module) -> None:
        """Follow a module, once: as a whole where it is known, else its parts, or the functions
        that it calls.
        """
        if module in self._hooked:
            return
        self._hooked.add(module)
        parts = {
            part: child for part, child in module.named_children() if part != "parametrizations"
        }
        if not (
            self._neurons.describes(name, module) or (axes_of(module) is not None and not parts)
        ):
            for part, child in parts.items():
                self._hook(f"{name}.{part}" if name else part, child)
            self._hook_inside(name, module, standalone=bool(name) and not parts)
            return

        def entered(_: nn.Module, args: Any, kwargs: Any) -> None:
            self.lose_changed((args, kwargs))
            if name not in self._begun and self._neurons.describes(name, module):
                self._begun[name] = module, self._neurons.states(name, module)
            self._inside += 1

        def left(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._module(name, module, list(tensors((args, kwargs))), list(tensors(output)))
            self._inside -= 1

        module.register_forward_pre_hook(entered, with_kwargs=True)
        module.register_forward_hook(left, with_kwargs=True)

    def _hook_inside(self, name: str, module: nn.Module, standalone: bool) -> None:
        """Notice where a module gives what does not come from what was followed in it; one alone
        has no parts.
        """

        def entered(_: nn.Module, args: Any, kwargs: Any) -> None:
            self._calling.append((name, label(name, module), standalone))
            for tensor in tensors((args, kwargs) if standalone else ()):
                if self.known(tensor) is None and (nothing := zeros(tensor, self.samples)):
                    self._keep([tensor], [nothing])

        def left(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._calling.pop()
            unknown = [
                tensor
                for tensor in tensors(output)
                if not (self.known(tensor) or zeros(tensor, self.samples))
            ]
            if unknown and any(self.known(tensor) for tensor in tensors((args, kwargs))):
                subject = label(name, module) if name else "the model's own operations"
                self._keep(unknown, repeat(Lost(subject)))

        module.register_forward_pre_hook(entered, with_kwargs=True)
        module.register_forward_hook(left, with_kwargs=True)

    def _module(
        self, name: str, module: nn.Module, inputs: list[Tensor], output: list[Tensor]
    ) -> None:
        if self._neurons.describes(name, module):
            self._neuron(name, module, inputs, output)
            return
        stream = self.known(inputs[0]) or zeros(inputs[0], self.samples) if inputs else None
        if isinstance(stream, Stream):
            stream = stream_behind(
                Operation(label(name, module), module), stream, inputs[0], output[0]
            )
        if stream is not None:
            self._keep(output, repeat(stream))

    def _neuron(
        self, name: str, module: nn.Module, inputs: list[Tensor], output: list[Tensor]
    ) -> None:
        module_label = label(name, module)
        stream = self._stream(inputs[0], f"{module_label}: its input")
        if not stream.channels_last:
            stream = self._ordered(inputs[0], f"{module_label}: its input")
        raster = self._rasters.get(name)
        spiking = raster.about if raster else self._neurons.describe(name, module)
        if spiking.levels > 1:
            self._keep(output[:1], [self._planes(name, module_label, spiking, stream, output[0])])
            return
        above: SpikingModule | None = None
        if spiking.above is not None:
            spiking, above = reset_at_once(spiking, name, f"{name}{ABOVE}")
        if spiking.synapse is not None:
            stream = behind_synapse(
                Operation(module_label, spiking.synapse),
                stream,
                inputs[0],
                output[0],
                spiking.takes,
            )
        if raster is None:
            raster = self._rasters[name] = Raster(
                name, module_label, spiking, self.samples, self.timesteps, stream
            )
            for state in inputs[1:]:
                if state.ndim > 1 and output[0].shape[-state.ndim :] == state.shape:
                    _check_rest(state, spiking, f"{module_label}: is handed a state")
        timed = raster.timed(stream)
        membranes = timed.then(Operation(module_label, spiking))
        if isinstance(spiking.neuron, LeakyIntegrator):
            self._keep(output, _at_steps(membranes, output))
            return
        if output[0].shape != timed.places.shape:
            shapes = f"got {tuple(inputs[0].shape)}, gave {tuple(output[0].shape)}"
            raise NetworkError(
                f"{module_label}: {shapes}, expected neurons that each give what they fire"
            )
        raster.add(timed.places, output[0], None if spiking.synapse is not None else inputs[0])
        if above is not None and spiking.above is not None:
            self._neurons_of(
                f"{name}{ABOVE}", module_label, above, stream, spiking.above(module).float()
            )
        self._keep(
            [tensor for tensor in output[1:] if tensor.shape == timed.places.shape],
            repeat(membranes),
        )
        self._keep(output[:1], [timed.along(Path(name, lag=int(spiking.delayed)))])

    def _planes(
        self, name: str, label: str, spiking: SpikingModule, stream: Stream, output: Tensor
    ) -> Stream:
        """The stream behind neurons that fire several spikes a step: the sum of planes of bits."""
        if ((output < 0) | (output > spiking.levels) | (output != output.round())).any():
            raise NetworkError(
                f"{label}: gave values in {output.min():g} … {output.max():g}, expected whole "
                "numbers"
            )
        names = tuple(f"{name}/{number}" for number in range(1, spiking.levels + 1))
        plane_layers = [
            self._neurons_of(plane_name, label, plane, stream, (output >= number).float())
            for number, (plane_name, plane) in enumerate(
                zip(names, planes(spiking, names), strict=True), 1
            )
        ]
        return plane_layers[0].along(
            Path(Junction(label, "sum", tuple(plane.path for plane in plane_layers)), lag=None)
        )

    def _counted(self, call: Call, limited: Limited) -> Followed:
        """The stream behind neurons without memory that a function is: they fire as often as it
        rounds numbers to.
        """
        name, label = self._place(call)
        neuron = LIF(0.0, 1.0, reset="zero", fires_at_threshold=limited.half)
        try:
            stream = limited.stream.ordered
        except JumbledError:
            return call.lost("on numbers whose order differs from sample to sample")
        return self._planes(
            name, label, SpikingModule(neuron, None, levels=limited.most), stream, call.result
        )

    def _rectified(self, call: Call, neuron: ReLU) -> Followed:
        """The activations of ReLU, which are neurons wherever it is called."""
        stream = self.known(call.argument(0, "input"))
        try:
            ordered = stream.ordered if isinstance(stream, Stream) else None
        except JumbledError:
            return call.lost("on numbers whose order differs from sample to sample")
        return stream or call.lost() if ordered is None else self._made(call, neuron, ordered)

    def _pooled(self, stream: Followed, call: Call) -> Followed:
        """Activations behind a maximum pooling: neurons of their own, driven by the largest of each
        window.
        """
        earlier = self.known(call.args[0])
        if not (
            isinstance(stream, Stream) and isinstance(earlier, Stream) and fired_alone(earlier)
        ):
            return stream
        single_places = Operation(
            stream.path.last, Convolve(np.ones((1, 1, 1, 1), np.float32), groups=0)
        )
        return self._made(
            call,
            MAXIMUM,
            stream.along(replace(stream.path, operations=(single_places, *stream.path.operations))),
        )

    def _made(self, call: Call, neuron: ReLU, stream: Stream) -> Stream:
        """Neurons that a function is, named after the place where it is called, numbered from its
        second call on.
        """
        name, label = self._place(call)
        self._called[name] += 1
        if (number := self._called[name]) > 1:
            name, label = f"{name}/{number}", f"{label}, call {number}"
        neurons = self._neurons_of(
            name, label, SpikingModule(neuron, None), stream, next(tensors(call.result))
        )
        if torch.equal(
            neurons.places.flatten(),
            torch.arange(neurons.places.numel(), device=neurons.places.device),
        ):
            self._rasters[name].call = self._calls
        return neurons

    def _place(self, call: Call) -> tuple[str, str]:
        """The place where a function is called: a name, and one for messages.

        It is the module that calls it, with the name of the function where it calls others, too.
        """
        kind, label = call.function.__name__.rstrip("_"), call.label
        name, holder, standalone = self._calling[-1] if self._calling else ("", "", False)
        if not standalone:
            name, label = (
                f"{name}/{kind}" if name else kind,
                f"{label} in {holder}" if name else label,
            )
        return name, label

    def _neurons_of(
        self, name: str, label: str, spiking: SpikingModule, stream: Stream, output: Tensor
    ) -> Stream:
        """The stream behind neurons that are no module of neurons."""
        if name not in self._rasters:
            self._rasters[name] = Raster(name, label, spiking, self.samples, self.timesteps, stream)
        timed = self._rasters[name].timed(stream)
        self._rasters[name].add(timed.places, output, None)
        return timed.along(Path(name))

    def _relayed(self, stream: Followed, call: Call) -> Followed:
        """Spikes behind a maximum pooling that no layer has: neurons of their own, which fire where
        any did.
        """
        if not isinstance(stream, Stream):
            return stream
        source, operations = stream.path.source, stream.path.operations
        if not isinstance(source, str) or source not in self._rasters or not operations:
            return stream
        *border, operation = operations  # a border where windows reach beyond the map (ceil_mode)
        if any(not isinstance(pad.what, Pad) or pad.label != operation.label for pad in border):
            return stream
        if not border and stands_in_front(operation.what, self._rasters[source].map[1:]):
            return stream
        pooled = Operation(operation.label, relay(operation.what))
        relayed = stream.along(replace(stream.path, operations=(*border, pooled)))
        name = self._numbered(f"{source}{RELAYED}", REPEATING, relayed)
        spiking = SpikingModule(REPEATING, None)
        return self._neurons_of(name, operation.label, spiking, relayed, call.result)

    def _fires(self, source: str) -> bool:
        """True of a source whose numbers are all 0 or 1."""
        if self._neurons.rectified:
            return False
        return source in (NOTHING, *self._rasters) or (source == INPUT and self.brings_spikes)

    def _gated(self, result: Followed | Gates, call: Call) -> Followed:
        """The stream that a function gives; gates are neurons of their own."""
        if self._neurons.rectified and not isinstance(result, Lost):
            source = result.path.source if isinstance(result, Stream) else None
            if source is None or (isinstance(source, Junction) and source.kind == "attention"):
                return call.lost("a product of layers")
        if not isinstance(result, Gates):
            return result
        streams = [self._fired(gate, call.label) for gate in result.gates]
        paths = tuple(stream.path for stream in streams)
        path = paths[0] if len(paths) == 1 else Path(Junction(call.label, "sum", paths), lag=None)
        if result.constant:
            path += Operation(call.label, Shift(result.constant))
        return streams[0].along(path)

    def _numbered(self, name: str, neuron: LIF, stream: Stream) -> str:
        """The name of neurons that are no module: theirs of earlier steps, numbered where others
        have it.
        """
        numbered, number = name, 1
        while numbered in self._rasters and not self._rasters[numbered].fits(neuron, stream):
            number += 1
            numbered = f"{name}{number}"
        return numbered

    def _fired(self, gate: Gate, label: str) -> Stream:
        """The stream behind the neurons of a gate: those of an earlier step if they fit."""
        junction = gate.stream.path.source
        assert isinstance(junction, Junction)
        first = next(junction.branches[0].leaves).source
        name = self._numbered(f"{first}{gate.kind}", gate.neuron, gate.stream)
        spiking = SpikingModule(gate.neuron, None)
        fired = self._neurons_of(name, label, spiking, gate.stream, gate.fired)
        scale = Operation(label, Scale(gate.factor))
        return fired if gate.factor == 1 else fired.then(scale)


def stands_in_front(pool: Pool, sides: Iterable[int]) -> bool:
    """True if windows stand side by side on a map of spikes and cover it, so that a layer can have
    them in front.
    """
    window, stride, padding = pool.windows
    divides = not any(side % size for side, size in zip(sides, window, strict=True))
    return divides and window == stride and padding == (0, 0) and pool.dilation == (1, 1)


def relay(pool: Pool) -> Convolve:
    """A maximum pooling of spikes that is neurons of its own: the spikes of a window, summed."""
    window, stride, padding = pool.windows
    return Convolve(
        np.ones((1, 1, *window), np.float32),
        None,
        stride,
        around(padding, window),
        pool.dilation,
        groups=0,
    )


class _FunctionMode(TorchFunctionMode):
    """Shows a follower every function that is called."""

    def __init__(self, follower: Follower) -> None:
        super().__init__()
        self.follower = follower

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.follower.lose_changed((args, kwargs))
        result = func(*args, **(kwargs or {}))
        self.follower.function(func, args, kwargs or {}, result)
        return result


class WatchedCalls(TorchFunctionMode):
    """Gives `see` what each layer of a followed ANN gives, while the model runs on other images."""

    def __init__(
        self, layers: Iterable[FollowedLayer], see: Callable[[FollowedLayer, Tensor], None]
    ) -> None:
        super().__init__()
        self.waiting, self.see, self.calls = (
            {layer.call: layer for layer in layers if layer.call},
            see,
            0,
        )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if may_rectify(func, args, kwargs or {}):
            self.calls += 1
            if self.calls in self.waiting:
                self.see(self.waiting.pop(self.calls), next(tensors(result)))
        return result


def version_of(tensor: Tensor) -> int:
    """The count of times a tensor, or another that shares its memory, was changed in place."""
    return 0 if tensor.is_inference() else tensor._version


def _line_of_model() -> str:
    """The line that the model has reached, in its author's code."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "spikesam",
        "torch",
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "the model"


def _check_rest(state: Tensor, spiking: SpikingModule, finding: str) -> None:
    """Refuse a state in which neurons begin that is not their rest."""
    resting_membrane = torch.as_tensor(
        spiking.begins or spiking.rest, dtype=state.dtype, device=state.device
    )
    if not ((state == resting_membrane) | ((state == 0) & (not spiking.begins))).all():
        largest = float(state.flatten()[state.abs().argmax()])
        raise NetworkError(
            f"{finding} of up to {largest:g}, expected neurons at rest, as those of a network begin"
        )


def _at_steps(membranes: Stream, output: list[Tensor]) -> list[Stream]:
    """Membranes as an integrator gives them: all in one tensor, a tensor for each step, or the last
    step alone.
    """
    places = membranes.places
    if output[0].shape == places.shape:
        return [membranes] * len(output)
    if len(output) == 1:
        return [membranes.rearranged(places[-1])]
    return [membranes.rearranged(step) for step in places]


class NotTakenError(NetworkError):
    """The model does not take its input in the way it was called."""


@dataclass(frozen=True, eq=False)
class FollowedLayer:
    """The neurons of a module, called `label` in messages, as they were driven and fired."""

    name: str
    label: str
    about: SpikingModule  # its equation
    path: Path  # what led to it
    shape: Shape  # (C, H, W), as its tensors say
    spikes: Tensor  # (T, B, N) bool; of ReLU, its activations in float32
    currents: (
        Tensor | None
    )  # (T, B, N) float32, what drove it; None where its synapses are part of it
    # which call of the model gives its activations, sample by sample; 0 if none does, see
    # `WatchedCalls`
    call: int = 0


class Raster:
    """Spikes of a module of neurons, call by call: `timesteps` T of `samples` B; `first` is what
    reaches it.
    """

    def __init__(
        self,
        name: str,
        label: str,
        spiking: SpikingModule,
        samples: int,
        timesteps: int,
        first: Stream,
    ) -> None:
        self.name, self.label, self.about = name, label, spiking
        self.path, self.steps = first.path.later(0, timesteps), frozenset[int]()
        self.shape = (timesteps, samples, first.size)
        self.call = 0
        self.map = _map_shape(first, spiking.takes)
        self.calls = 0
        count, device = timesteps * samples * first.size, first.places.device
        self.spikes = torch.zeros(
            count, dtype=torch.float32 if self.rectified else torch.bool, device=device
        )
        self.currents: Tensor | None = torch.zeros(count, dtype=torch.float32, device=device)
        self.seen = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def rectified(self) -> bool:
        """True if it is not of spikes, but of what ReLU gives."""
        return isinstance(self.about.neuron, ReLU)

    def fits(self, neuron: LIF, stream: Stream) -> bool:
        """True if these neurons, without memory, can be driven by a stream at further steps."""
        earlier_neuron, places = self.about.neuron, stream.places.flatten()
        alike = isinstance(earlier_neuron, LIF) and earlier_neuron.threshold == neuron.threshold
        if not alike or self.shape[2] != stream.size or places.max() >= len(self.seen):
            return False
        steps = self.steps, steps_present(places, self.shape[1] * stream.size)
        path = agreed(self.path, stream.path.later(0, self.shape[0]), steps)
        return path is not None and not bool(self.seen[places].any())

    def timed(self, stream: Stream) -> Stream:
        """The input of the module, with its steps; NotTakenError if these are not those that the
        module takes.
        """
        with at(self.label):
            return self._timed(stream)

    def _timed(self, stream: Stream) -> Stream:
        timesteps, samples, size = self.shape
        places, takes, late = stream.places, self.about.takes, 0
        expect(places.min() >= 0, "gets a tensor that was written in part", "all of it")
        if stream.static and takes not in (None, "B..."):
            axis = next(
                (
                    a
                    for a, side in enumerate(places.shape)
                    if side == timesteps and unchanging(places, a)
                ),
                None,
            )
            if axis is None:
                raise NotTakenError(
                    f"takes all steps in one call, got {tuple(places.shape)} of one step"
                )
            places = in_time(places, axis, samples * size)
        elif stream.static:
            places = places + self.calls * samples * size
        elif takes == "B...":
            lag = self.calls - stream.steps(samples)
            if lag.min() < 0 or (lag != lag.flatten()[0]).any():
                raise NotTakenError(
                    f"takes one step in each call, got others than step {self.calls}"
                )
            late = int(lag.flatten()[0])
            places = places + late * samples * size
        steps = self.steps, steps_present(places, samples * size)
        path = agreed(self.path, stream.path.later(late, timesteps), steps)
        if path is None and agreed(self.path, stream.path, steps):
            raise NotTakenError(f"takes one step in each call, got others than step {self.calls}")
        if path is None and (weights := differing_weights(self.path, stream.path)):
            same = "expected the same weights at every step, where only gains and biases can differ"
            ways = f"through {weights[0]} at one step, and through {weights[1]} at another"
            raise NetworkError(f"is driven {ways}; {same}")
        if path is None:
            ways = f"what {stream.path.last} gives, and in another call what {self.path.last} gives"
            raise NetworkError(f"gets {ways}; expected one input, and one call per step")
        self.path, self.steps = path, self.steps | steps[1]
        self.calls += 1
        if places.max() >= len(self.spikes) or self.seen[places.flatten()].any():
            raise NotTakenError(f"ran more often than once in each of {timesteps} timesteps")
        self.seen[places.flatten()] = True
        return Stream(places, size, path)

    def add(self, places: Tensor, fired: Tensor, current: Tensor | None) -> None:
        """Take what the module gave, which must be bits but of ReLU, and what drove it."""
        if not self.rectified and ((fired != 0) & (fired != 1)).any():
            raise NetworkError(
                f"{self.label}: gave values in {fired.min():g} … {fired.max():g}, expected spikes "
                "of 0 and 1; graded spikes and counts cannot be imported"
            )
        self.spikes[places.flatten()] = fired.flatten().to(self.spikes.dtype)
        if current is None:
            self.currents = None
        elif self.currents is not None:
            self.currents[places.flatten()] = current.flatten().float()

    def finished(self) -> FollowedLayer:
        """All steps; NotTakenError if some are missing."""
        if not self.seen.all():
            raise NotTakenError(
                f"{self.label}: ran for fewer than {self.shape[0]} timesteps, in {self.calls} calls"
            )
        path, recurrent = self.path, self.about.recurrent
        if recurrent is not None:
            weights = Operation(f"{self.label}: its recurrent weights", recurrent)
            module, _, _ = self.name.partition("/")
            path = Path(Junction(self.label, "sum", (path, Path(module, (weights,), 1))), lag=None)
        back = tuple(
            Path(feedback.neurons, (self._added(feedback),), feedback.steps)
            for feedback in self.about.back
            if feedback.steps < self.shape[0]
        )
        if back:
            path = Path(Junction(self.label, "sum", (path, *back)), lag=None)
        currents = None if self.currents is None or recurrent else self.currents.view(self.shape)
        spikes = self.spikes.view(self.shape)
        return FollowedLayer(
            self.name, self.label, self.about, path, self.map, spikes, currents, self.call
        )

    def _added(self, feedback: Feedback) -> Operation:
        """The weights of a feedback, which the gain multiplies, as all that drives the neurons."""
        with at(self.label):
            amount = per_channel(feedback.amount, self.map, "threshold")
            gain = per_channel(self.about.gain, self.map, "gain")
        return Operation(f"{self.label}: its reset", Scale(amount / gain))


def _map_shape(stream: Stream, takes: Takes | None) -> Shape:
    """(C, H, W) of a sample, whose axes are the last ones of its tensors, or stand in front of the
    steps.
    """
    shape = stream.places.shape[:-1] if takes == "B...T" else stream.places.shape
    leading = [2] if takes in ("TB...", "BT...") else [1] if takes else range(len(shape) - 1, 0, -1)
    token_shape = next((shape[axes:] for axes in leading if prod(shape[axes:]) == stream.size), ())
    channels, *sides = token_shape if 1 <= len(token_shape) <= 3 else (stream.size,)
    height, width = (*[1] * (2 - len(sides)), *sides) if sides else (1, 1)
    return channels, height, width
