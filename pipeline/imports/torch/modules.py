"""Modules of torch and of libraries: which are neurons, and which operations of the road the others
are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.network import LIF, NetworkError, ReLU, Windows
from spikesam.common.errors import at
from spikesam.pipeline.imports.libraries.known import LIBRARIES
from spikesam.pipeline.imports.libraries.library import (
    Describe,
    SpikingModule,
    Takes,
    number,
    recognised,
)
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road.operations import (
    ByStep,
    Convolve,
    Integral,
    Junction,
    Linear,
    Mix,
    Operation,
    Path,
    Pool,
    Scale,
    Shift,
    TimeSum,
    expect,
)
from spikesam.pipeline.imports.torch._functions import pair_of_setting, through
from spikesam.pipeline.imports.torch._stream import Followed, JumbledError, Lost, Stream, mapped

OwnNeurons = (
    LIF | tuple[LIF, Any]
)  # what an author's neurons are; with a gain, by which they multiply currents


class NeuronModules:
    """The modules of a model that are neurons; `own_neurons` are the caller's own, by name or class
    of a module.
    """

    def __init__(
        self,
        own_neurons: Mapping[str | type, OwnNeurons] | None = None,
        takes: Takes | None = None,
        rectified: bool = False,
    ) -> None:
        self.rectified = rectified
        self.given = {
            key: neuron if isinstance(neuron, tuple) else (neuron, 1.0)
            for key, neuron in (own_neurons or {}).items()
        }
        self.takes = takes

    def check(self, model: nn.Module) -> None:
        """Refuse equations of the caller's that are none, or of modules that the model does not
        have.
        """
        if self.rectified and (spiking := next(self.of("", model), None)):
            name, module = spiking
            raise NetworkError(
                f"{label(name, module)} spikes, expected an ANN, whose neurons are ReLU; "
                "import spiking networks with spikesam.from_torch(model, example)"
            )
        modules = dict(model.named_modules())
        for key, own_neurons in self.given.items():
            if len(own_neurons) != 2 or not isinstance(own_neurons[0], LIF):
                kind = type(own_neurons[0]).__name__
                raise NetworkError(
                    f"neurons: got {kind} for {key!r}, expected LIF(…), or (LIF(…), gain)"
                )
            if not any(_stands_for(key, name, module) for name, module in modules.items()):
                names = ", ".join(filter(None, modules))
                raise NetworkError(
                    f"neurons: got {key!r}, expected the name or the class of a module, such as "
                    f"{names}"
                )

    def describes(self, name: str, module: nn.Module) -> bool:
        """True if a module is neurons, or something that stands for neurons that cannot be
        imported.
        """
        return self._given(name, module) is not None or _equation(module) is not None

    def of(self, name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules of neurons in a module of that name."""
        if self.describes(name, module):
            yield name, module
            return
        for part, child in module.named_children():
            yield from self.of(f"{name}.{part}" if name else part, child)

    def describe(self, name: str, module: nn.Module) -> SpikingModule:
        """The neurons of a module."""
        own_neurons = self._given(name, module)
        if own_neurons is not None:
            neuron, gain = own_neurons
            return SpikingModule(neuron, "B..." if self.takes is None else None, gain=gain)
        describe = _equation(module)
        assert describe is not None
        with at(label(name, module)):
            return describe(module)

    def states(self, name: str, module: nn.Module) -> dict[str, Any]:
        """Copies of the numbers that a module of neurons may keep from one call to the next, by
        their attribute.
        """
        library = next(
            (candidate for candidate in LIBRARIES.values() if candidate.equation(module)), None
        )
        values = {**vars(module), **module._buffers}
        if library is not None and self._given(name, module) is None:
            if re.fullmatch(library.fresh, type(module).__name__):
                return {}
            values = {state: getattr(module, state, None) for state in library.states}
        copies = {state: _copied(value) for state, value in values.items()}
        return {state: copy for state, copy in copies.items() if copy is not None}

    def _given(self, name: str, module: nn.Module) -> tuple[LIF, Any] | None:
        return next(
            (neuron for key, neuron in self.given.items() if _stands_for(key, name, module)), None
        )


def _stands_for(key: str | type, name: str, module: nn.Module) -> bool:
    return isinstance(module, key) if isinstance(key, type) else key == name


def _equation(module: nn.Module) -> Describe | None:
    return next(filter(None, (library.equation(module) for library in LIBRARIES.values())), None)


def _copied(value: Any) -> Tensor | None:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.clone()
    return torch.tensor(value, device="cpu") if isinstance(value, float) else None


def reset(model: nn.Module) -> None:
    """Bring the neurons of a model to rest, as its library does."""
    for module in model.modules():
        for library in LIBRARIES.values():
            library.reset(module)


def axes_of(module: nn.Module) -> int | None:
    """The number of axes that a module works on, if it is followed as a whole; None of others."""
    row = _row(module)
    return row[0] if row else None


def _row(module: nn.Module) -> tuple[int | None, Emit] | None:
    return next(
        filter(None, (recognised(module, library, rows) for library, rows in MODULES.items())), None
    )


def stream_behind(
    operation: Operation, stream: Stream, operand: Tensor, output: Tensor
) -> Followed:
    """The stream behind a module that is followed as a whole."""
    axes = axes_of(operation.what)
    kind = type(operation.what).__name__
    if kind == "VotingLayer":  # classes that are the mean of some neurons each
        size = operation.what.voting_size
        operation = Operation(
            operation.label, Linear(np.kron(np.eye(output.shape[-1]), np.full((1, size), 1 / size)))
        )
    elif kind.startswith("TemporalEffective"):  # its numbers of each step, which a delay moves
        operation = Operation(operation.label, _effective(operation))
    if not axes:
        return stream.then(operation)
    if isinstance(operation.what, nn.BatchNorm1d) and output.shape[-1] != stream.size:  # of (C, L)
        axes = 2
    try:
        if axes == 1:
            return mapped(stream, 1, operation, output.shape[-1], tuple(output.shape))
        return through(stream, operation, operand, output, axes)
    except JumbledError:
        return Lost(f"{operation.label}, whose input is not a map (C, H, W) in C-order")


def behind_synapse(
    operation: Operation, stream: Stream, operand: Tensor, output: Tensor, takes: Takes | None
) -> Stream:
    """The stream behind synapses that belong to neurons: a linear layer, or those that work on (B,
    …, T).
    """
    if takes != "B...T":
        return mapped(stream, 1, operation, output.shape[-1], tuple(output.shape))
    moved = stream.rearranged(stream.places.movedim(-1, 1))
    shape = tuple(output.movedim(-1, 1).shape)
    try:
        stream_behind_it = mapped(moved, operand.ndim - 2, operation, prod(shape[2:]), shape)
    except JumbledError:
        with at(operation.label):
            raise NetworkError("its input is not (B, C, H, W, T) in C-order") from None
    return stream_behind_it.rearranged(stream_behind_it.places.movedim(1, -1))


def label(name: str, module: nn.Module) -> str:
    """The name of a module in messages."""
    return f"module {name!r} ({type(module).__name__})"


# a module, or an operation of other arrays -> operations of the road
Emit = Callable[[Any], list[Any]]


def emitted(path: Path) -> Path:
    """A followed path in operations of the road."""
    source = path.source
    if isinstance(source, Junction):
        source = replace(source, branches=tuple(map(emitted, source.branches)))
    return replace(path, source=source, operations=_all(path.operations))


def emitted_answer(path: Path, over: bool = False) -> tuple[Path, nn.Module]:
    """The path of an answer, `over` None of an ANN, and the function, such as a softmax, that it
    passed last.
    """
    probabilities: nn.Module = nn.Identity()
    operations_kept: list[Operation] = []
    for operation in path.operations:
        kind = operation.what
        with at(operation.label):
            expect(
                type(probabilities) is nn.Identity, "follows probabilities", "nothing behind them"
            )
        if isinstance(kind, (nn.Softmax, nn.LogSoftmax)):
            with at(operation.label):
                expected = "of the sum over steps, or of the last membrane"
                expect(over, "is of every step", expected)
            probabilities = kind
        elif isinstance(kind, SpikingModule):
            with at(operation.label):
                integral = _integral(kind)
            operations_kept += (Operation(operation.label, member) for member in integral)
        else:
            operations_kept += _all([operation])
        over = over or isinstance(kind, (SpikingModule, TimeSum))
    return replace(
        emitted(replace(path, operations=())), operations=tuple(operations_kept)
    ), probabilities


def _all(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    emitted_operations: list[Operation] = []
    for operation in operations:
        if isinstance(operation.what, ByStep):  # whose operations have places of their own
            by_step = operation.what.at.items()
            kinds: list[Any] = [ByStep({step: _all(of_step) for step, of_step in by_step})]
        else:
            with at(operation.label):
                kinds = _emitted(operation.what)
        emitted_operations += (Operation(operation.label, kind) for kind in kinds)
    return tuple(emitted_operations)


def _emitted(kind: Any) -> list[Any]:
    if not isinstance(kind, nn.Module):
        return OPERATIONS[type(kind)](kind) if type(kind) in OPERATIONS else [kind]
    row = _row(kind)
    expect(row, "cannot stand between neurons", "a convolution or a linear layer")
    assert row is not None
    return row[1](kind)


def _refused(finding: str) -> Emit:
    def refuse(module: Any) -> list[Any]:
        raise NetworkError(finding)

    return refuse


def _array(tensor: Any) -> NDArray[Any]:
    return tensor if isinstance(tensor, np.ndarray) else np.asarray(tensor.detach().cpu().numpy())


def _bias(module: Any) -> Any:
    return None if module.bias is None else np.asarray(number(module.bias))


def _linear(module: Any) -> list[Any]:
    return [Linear(_array(module.weight), _bias(module))]


def _conv(conv: Convolve) -> list[Any]:
    """`Conv`, whose weights are torch's; of rows as one of height 1."""
    weight = _array(conv.weight)
    return [
        replace(conv, weight=weight if weight.ndim == 4 else weight[:, :, None], bias=_bias(conv))
    ]


def _recurrent_conv(module: Any) -> list[Any]:
    """`Conv2d` as the recurrent weights of neurons."""
    stride, dilation = (
        pair_of_setting(setting, 2, 1) for setting in (module.stride, module.dilation)
    )
    padding = kernels.around(module.padding, module.weight.shape[2:], dilation)
    return [
        Convolve(_array(module.weight), _bias(module), stride, padding, dilation, module.groups)
    ]


def _transposed(module: Any) -> list[Any]:
    """`ConvTranspose2d` of stride 1: a convolution with the kernel turned round."""
    expect(
        module.stride == (1, 1),
        f"has stride={module.stride}",
        "1: maps are not made larger here",
    )
    kernel = _array(module.weight)
    grouped = kernel.reshape(module.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
    turned = grouped.reshape(-1, *grouped.shape[2:])[:, :, ::-1, ::-1]
    extent = kernels.extent(turned.shape[2:], module.dilation)
    rows, columns = (side - 1 - border for side, border in zip(extent, module.padding, strict=True))
    expect(min(rows, columns) >= 0, f"has padding={module.padding}", "less than its kernel")
    down, right = module.output_padding
    padding = (rows, rows + down), (columns, columns + right)
    return [Convolve(turned, _bias(module), (1, 1), padding, module.dilation, module.groups)]


def _total(module: Any) -> list[Any]:
    """`LPPool2d` with norm_type 1, such as sinabs' `SumPool2d`: the average of windows times their
    size.
    """
    expect(module.norm_type == 1, f"has norm_type={module.norm_type}", "1: a sum")
    expect(not module.ceil_mode, "has ceil_mode=True", "False")
    window = pair_of_setting(module.kernel_size, 2, 1)
    windows = Windows(window, pair_of_setting(module.stride or module.kernel_size, 2, 1))
    return [Pool("average", windows), Scale(window[0] * window[1])]


def _normalised(module: Any) -> list[Any]:
    """`BatchNorm1d` and `BatchNorm2d` in evaluation, and SpikingJelly's that depend on the
    threshold.
    """
    expect(module.running_var is not None, "has track_running_stats=False", "running statistics")
    gain = 1 / np.sqrt(np.atleast_1d(number(module.running_var)) + module.eps)
    shift = -number(module.running_mean) * gain
    if module.affine:
        gain, shift = gain * number(module.weight), shift * number(module.weight)
    shifts = [shift] if module.bias is None else [shift, _bias(module)]
    return [Scale(gain, flat=True), *(Shift(shift, flat=True) for shift in shifts)]


def _effective(operation: Operation) -> ByStep:
    """`TemporalEffectiveBatchNorm1d` and `…2d` in evaluation: a factor of each step."""
    with at(operation.label):
        normalised = _normalised(operation.what)
    factors = np.ravel(number(operation.what.scale)).tolist()
    return ByStep(
        {
            step: tuple(Operation(operation.label, kind) for kind in (*normalised, Scale(factor)))
            for step, factor in enumerate(factors)
        }
    )


def _voltage_scaled(module: Any) -> list[Any]:
    """SpikingJelly's `VoltageScaler` and `ChannelVoltageScaler`, which its converted networks have
    around neurons.
    """
    scale = number(module.scale)
    fits = np.ndim(scale) == 0 or module.channel_dim == 1
    expect(
        fits,
        f"has {np.size(scale)} scales along axis {getattr(module, 'channel_dim', 1)}",
        "axis 1",
    )
    return [Scale(scale)]


def _lava_conv(module: Any, pool: bool = False) -> list[Any]:
    """lava-dl's `synapse.Conv`, and `Pool`, a sum: a convolution of each channel with itself."""
    weight, padding = _lava_weight(module), kernels.around(module.padding[:2], ())
    return [
        Convolve(
            weight,
            None,
            module.stride[:2],
            padding,
            module.dilation[:2],
            0 if pool else module.groups,
        )
    ]


def _lava_dense(module: Any) -> list[Any]:
    weight = _lava_weight(module)
    return [Linear(weight.reshape(len(weight), -1))]


def _lava_weight(module: Any) -> NDArray[np.float32]:
    """Weights as lava-dl uses them, rounded to 8 bits, without their axis of time."""
    expect(not module.complex, "has complex weights", "real ones")
    hook = module.pre_hook_fx
    return _array(module.weight if hook is None else hook(module.weight))[..., 0]


def _integral(spiking: SpikingModule) -> list[Any]:
    """The readout that a module of neurons is whose membranes are the answer."""
    neuron = spiking.neuron
    if isinstance(neuron, LIF):
        expect(
            not np.any(neuron.synaptic_leak),
            "answers with membranes of a synaptic current",
            "spikes",
        )
        none = neuron.reset == "subtract" and not np.any(neuron.subtracted)
        expect(
            none,
            "answers with membranes that are reset",
            "spikes, or membranes without a reset",
        )
    assert not isinstance(neuron, ReLU)
    leak = np.unique(neuron.leak)
    expect(len(leak) == 1, "has a leak for each class", "one leak")
    return [Scale(spiking.gain), Integral(float(leak[0]))]


AT_THE_END = _refused("stands between neurons, expected at the end")
# Modules that are followed as a whole have a number: how many axes of a sample each works on, all
# three of a map (C, H, W), the last one alone, or none of them, as it treats each number alike. The
# functions inside of others are followed, but synapses and recurrent weights of neurons, and what
# stands behind the answer.
MODULES: dict[str, dict[str, tuple[int | None, Emit]]] = {
    "spikingjelly": {
        "VoltageScaler": (0, _voltage_scaled),
        "ChannelVoltageScaler": (0, _voltage_scaled),
        "ThresholdDependentBatchNorm1d": (1, _normalised),
        "ThresholdDependentBatchNorm2d": (3, _normalised),
        "TemporalEffectiveBatchNorm1d": (1, _normalised),  # see stream_behind
        "TemporalEffectiveBatchNorm2d": (3, _normalised),
        "VotingLayer": (1, _linear),
    },
    "snntorch": {"RecurrentOneToOne": (None, lambda module: [Scale(np.ravel(number(module.V)))])},
    "torch": {
        "Conv2d": (None, _recurrent_conv),
        "ConvTranspose2d": (3, _transposed),
        "Linear": (None, _linear),
        "BatchNorm1d": (1, _normalised),
        "BatchNorm2d": (3, _normalised),
        "LPPool2d": (3, _total),
        "Softmax": (None, AT_THE_END),
        "LogSoftmax": (None, AT_THE_END),
    },
    "lava": {
        "Conv": (None, _lava_conv),
        "Dense": (None, _lava_dense),
        "Pool": (None, partial(_lava_conv, pool=True)),
    },
}
MEMBRANES = (
    "its membranes drive other layers, expected its spikes; membranes can only be the answer"
)
OPERATIONS: dict[type, Emit] = {  # whose weights are torch's; others are as they are
    Convolve: _conv,
    Linear: _linear,
    Mix: lambda mix: [replace(mix, weight=_array(mix.weight), bias=_bias(mix))],
    SpikingModule: _refused(MEMBRANES),
}
