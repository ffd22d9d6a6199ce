"""Modules of torch and of libraries: how each is followed, and which operations of the road it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.network import LIF, NetworkError, ReLU, Windows
from spikesam.pipeline.imports.libraries.library import SpikingModule, Takes, number, recognised
from spikesam.pipeline.imports.road import kernels
from spikesam.pipeline.imports.road.operations import (
    ByStep,
    Conv,
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
from spikesam.pipeline.imports.torch.functions import of_rows, through
from spikesam.pipeline.imports.torch.stream import Followed, JumbledError, Lost, Stream, mapped

# Modules that are followed as a whole, and how many axes of a sample each works on: all three of a map (C, H, W), the
# last one alone, or none of them, as it treats each number alike. The functions inside of others are followed.
AXES = {
    "torch": {"ConvTranspose2d": 3, "BatchNorm2d": 3, "LPPool2d": 3, "BatchNorm1d": 1},
    "spikingjelly": {
        "ThresholdDependentBatchNorm2d": 3,
        "TemporalEffectiveBatchNorm2d": 3,
        "ThresholdDependentBatchNorm1d": 1,
        "TemporalEffectiveBatchNorm1d": 1,
        "VotingLayer": 1,
        "VoltageScaler": 0,
        "ChannelVoltageScaler": 0,
    },
}


def axes_of(module: nn.Module) -> int | None:
    """How many axes a module works on that is followed as a whole; None of others."""
    found = (recognised(module, library, names) for library, names in AXES.items())
    return next((axes for axes in found if axes is not None), None)


def stream_behind(operation: Operation, stream: Stream, given: Tensor, output: Tensor) -> Followed:
    """The stream behind a module that is followed as a whole."""
    axes = axes_of(operation.what)
    if type(operation.what).__name__ == "VotingLayer":  # classes that are the mean of some neurons each
        size = operation.what.voting_size
        operation = Operation(operation.where, Linear(np.kron(np.eye(output.shape[-1]), np.full((1, size), 1 / size))))
    if not axes:
        return stream.then(operation)
    if isinstance(operation.what, nn.BatchNorm1d) and output.shape[-1] != stream.size:  # of (C, L)
        axes = 2
    try:
        if axes == 1:
            return mapped(stream, 1, operation, output.shape[-1], tuple(output.shape))
        return through(stream, operation, given, output, axes)
    except JumbledError:
        return Lost(f"{operation.where}, whose input is not a map (C, H, W) in C-order")


def behind_synapse(operation: Operation, stream: Stream, given: Tensor, output: Tensor, takes: Takes | None) -> Stream:
    """The stream behind synapses that belong to neurons: a linear layer, or those that work on (B, …, T)."""
    if takes != "B...T":
        return mapped(stream, 1, operation, output.shape[-1], tuple(output.shape))
    moved = stream.rearranged(stream.where.movedim(-1, 1))
    shape = tuple(output.movedim(-1, 1).shape)
    try:
        behind = mapped(moved, given.ndim - 2, operation, prod(shape[2:]), shape)
    except JumbledError:
        raise NetworkError(f"{operation.where}: its input is not (B, C, H, W, T) in C-order") from None
    return behind.rearranged(behind.where.movedim(1, -1))


def label(name: str, module: nn.Module) -> str:
    """The name of a module in messages."""
    return f"module {name!r} ({type(module).__name__})"


Emit = Callable[[Any, str], Iterable[Any]]  # a module or an operation, and where it is -> operations of the road


def emitted(path: Path) -> Path:
    """A followed path in operations of the road."""
    source = path.source
    if isinstance(source, Junction):
        source = replace(source, branches=tuple(map(emitted, source.branches)))
    return replace(path, source=source, operations=_all(path.operations))


def emitted_answer(path: Path, over: bool = False) -> tuple[Path, nn.Module]:
    """The path of an answer, `over` None of an ANN, and the function, such as a softmax, that it passed last."""
    probabilities: nn.Module = nn.Identity()
    kept: list[Operation] = []
    for operation in path.operations:
        what, where = operation.what, operation.where
        expect(type(probabilities) is nn.Identity, where, "follows probabilities", "nothing behind them")
        if isinstance(what, (nn.Softmax, nn.LogSoftmax)):
            expect(over, where, "is of every step", "of the sum over steps, or of the last membrane")
            probabilities = what
        elif isinstance(what, SpikingModule):
            kept += (Operation(where, each) for each in _integral(what, where))
        else:
            kept += _all([operation])
        over = over or isinstance(what, (SpikingModule, TimeSum))
    return replace(emitted(replace(path, operations=())), operations=tuple(kept)), probabilities


def _all(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(Operation(each.where, what) for each in operations for what in _emitted(each.what, each.where))


def _emitted(what: Any, where: str) -> Iterable[Any]:
    for library, table in EMITS.items():
        if emit := recognised(what, library, table):
            found: Iterable[Any] = emit(what, where)
            return found
    raise NetworkError(f"{where}: cannot stand between neurons")


def _as_it_is(operation: Any, where: str) -> list[Any]:
    return [operation]


def _refused(found: str) -> Emit:
    def refuse(module: Any, where: str) -> list[Any]:
        raise NetworkError(f"{where}: {found}")

    return refuse


def _array(tensor: Any) -> NDArray[Any]:
    return tensor if isinstance(tensor, np.ndarray) else np.asarray(tensor.detach().cpu().numpy())


def _bias(module: Any) -> Any:
    return None if module.bias is None else np.asarray(number(module.bias))


def _linear(module: Any, where: str) -> list[Any]:
    return [Linear(_array(module.weight), _bias(module))]


def _mix(mix: Mix, where: str) -> list[Any]:
    """`Mix`, whose weights are torch's."""
    return [replace(mix, weight=_array(mix.weight), bias=_bias(mix))]


def _conv(conv: Conv, where: str) -> list[Any]:
    """`Conv`, whose weights are torch's; of rows as one of height 1."""
    weight = _array(conv.weight)
    return [replace(conv, weight=weight if weight.ndim == 4 else weight[:, :, None], bias=_bias(conv))]


def _recurrent_conv(module: nn.Conv2d, where: str) -> list[Any]:
    """`Conv2d` as the recurrent weights of neurons."""
    dilation = of_rows(module.dilation, 2, 1)
    if isinstance(module.padding, str):
        extent = kernels.extent(module.weight.shape[2:], dilation)
        around = kernels.same_padding(extent) if module.padding == "same" else ((0, 0), (0, 0))
    else:
        rows, columns = module.padding
        around = (rows, rows), (columns, columns)
    stride = of_rows(module.stride, 2, 1)
    return [Conv(_array(module.weight), _bias(module), stride, around, dilation, module.groups)]


def _transposed(module: Any, where: str) -> list[Any]:
    """`ConvTranspose2d` of stride 1: a convolution with the kernel turned round."""
    expect(module.stride == (1, 1), where, f"has stride={module.stride}", "1: maps are not made larger here")
    kernel = _array(module.weight)
    grouped = kernel.reshape(module.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
    turned = grouped.reshape(-1, *grouped.shape[2:])[:, :, ::-1, ::-1]
    extent = kernels.extent(turned.shape[2:], module.dilation)
    rows, columns = (side - 1 - around for side, around in zip(extent, module.padding, strict=True))
    expect(min(rows, columns) >= 0, where, f"has padding={module.padding}", "less than its kernel")
    down, right = module.output_padding
    around = (rows, rows + down), (columns, columns + right)
    return [Conv(turned, _bias(module), (1, 1), around, module.dilation, module.groups)]


def _total(module: Any, where: str) -> list[Any]:
    """`LPPool2d` with norm_type 1, such as sinabs' `SumPool2d`: the average of windows times their size."""
    expect(module.norm_type == 1, where, f"has norm_type={module.norm_type}", "1: a sum")
    expect(not module.ceil_mode, where, "has ceil_mode=True", "False")
    window = of_rows(module.kernel_size, 2, 1)
    windows = Windows(window, of_rows(module.stride or module.kernel_size, 2, 1))
    return [Pool("average", windows), Scale(window[0] * window[1])]


def _normalised(module: Any, where: str) -> list[Any]:
    """`BatchNorm1d` and `BatchNorm2d` in evaluation, and SpikingJelly's that depend on the threshold."""
    expect(module.running_var is not None, where, "has track_running_stats=False", "running statistics")
    gain = 1 / np.sqrt(np.atleast_1d(number(module.running_var)) + module.eps)
    shift = -number(module.running_mean) * gain
    if module.affine:
        gain, shift = gain * number(module.weight), shift * number(module.weight)
    return [Scale(gain), Shift(shift), *([] if module.bias is None else [Shift(_bias(module))])]


def _effective(module: Any, where: str) -> list[Any]:
    """SpikingJelly's `TemporalEffectiveBatchNorm1d` and `2d`, which scale each step."""
    return [*_normalised(module, where), Scale(np.reshape(number(module.scale), (-1, 1)))]


def _by_step(by_step: ByStep, where: str) -> list[Any]:
    return [ByStep({step: _all(operations) for step, operations in by_step.at.items()})]


def _voltage_scaled(module: Any, where: str) -> list[Any]:
    """SpikingJelly's `VoltageScaler` and `ChannelVoltageScaler`, which its converted networks have around neurons."""
    scale = number(module.scale)
    fits = np.ndim(scale) == 0 or module.channel_dim == 1
    expect(fits, where, f"has {np.size(scale)} scales along axis {getattr(module, 'channel_dim', 1)}", "axis 1")
    return [Scale(scale)]


def _one_to_one(module: Any, where: str) -> list[Any]:
    """snnTorch's recurrent weights where each neuron drives itself."""
    return [Scale(np.ravel(number(module.V)) if np.ndim(number(module.V)) else number(module.V))]


def _lava_conv(module: Any, where: str) -> list[Any]:
    """lava-dl's `synapse.Conv`."""
    rows, columns = module.padding[:2]
    around = (rows, rows), (columns, columns)
    return [Conv(_lava_weight(module), None, module.stride[:2], around, module.dilation[:2], module.groups)]


def _lava_dense(module: Any, where: str) -> list[Any]:
    """lava-dl's `synapse.Dense`."""
    weight = _lava_weight(module)
    return [Linear(weight.reshape(len(weight), -1))]


def _lava_pool(module: Any, where: str) -> list[Any]:
    """lava-dl's `synapse.Pool`, a sum: a convolution of each channel with itself."""
    rows, columns = module.padding[:2]
    return [Conv(_lava_weight(module), None, module.stride[:2], ((rows, rows), (columns, columns)), groups=0)]


def _lava_weight(module: Any) -> NDArray[np.float32]:
    """Weights as lava-dl uses them, rounded to 8 bits, without their axis of time."""
    expect(not module.complex, "lava-dl synapse", "has complex weights", "real ones")
    hook = module.pre_hook_fx
    return _array(module.weight if hook is None else hook(module.weight))[..., 0]


def _integral(about: SpikingModule, where: str) -> list[Any]:
    """The readout that a module of neurons is whose membranes are the answer."""
    neuron = about.neuron
    if isinstance(neuron, LIF):
        expect(not np.any(neuron.synaptic_leak), where, "answers with membranes of a synaptic current", "spikes")
        none = neuron.reset == "subtract" and not np.any(neuron.subtracted)
        expect(none, where, "answers with membranes that are reset", "spikes, or membranes without a reset")
    assert not isinstance(neuron, ReLU)
    leak = np.unique(neuron.leak)
    expect(len(leak) == 1, where, "has a leak for each class", "one leak")
    return [Scale(about.gain), Integral(float(leak[0]))]


AT_THE_END = _refused("stands between neurons, expected at the end")
EMITS: dict[str, dict[str, Emit]] = {
    "spikingjelly": {
        "VoltageScaler": _voltage_scaled,
        "ChannelVoltageScaler": _voltage_scaled,
        "ThresholdDependentBatchNorm1d": _normalised,
        "ThresholdDependentBatchNorm2d": _normalised,
        "TemporalEffectiveBatchNorm1d": _effective,
        "TemporalEffectiveBatchNorm2d": _effective,
    },
    "snntorch": {"RecurrentOneToOne": _one_to_one},
    "torch": {
        "Conv2d": _recurrent_conv,
        "ConvTranspose2d": _transposed,
        "Linear": _linear,
        "BatchNorm1d": _normalised,
        "BatchNorm2d": _normalised,
        "LPPool2d": _total,
        "Softmax": AT_THE_END,
        "LogSoftmax": AT_THE_END,
    },
    "lava": {"Conv": _lava_conv, "Dense": _lava_dense, "Pool": _lava_pool},
    "spikesam": {
        "Conv": _conv,
        "Linear": _linear,
        "ByStep": _by_step,
        "Mix": _mix,
        "Total": _as_it_is,
        "Spread": _as_it_is,
        "Repeat": _as_it_is,
        "Pool": _as_it_is,
        "Pad": _as_it_is,
        "Scale": _as_it_is,
        "Shift": _as_it_is,
        "Order": _as_it_is,
        "TimeSum": _as_it_is,
        "SpikingModule": _refused(
            "its membranes drive other layers, expected its spikes; membranes can only be the answer"
        ),
    },
}
