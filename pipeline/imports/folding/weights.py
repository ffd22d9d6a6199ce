"""Operations with weights: convolutions, dense layers and batch normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import NO_POOLING, NetworkError, Shape
from spikesam.pipeline.imports import kernels
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.following.stream import Pad
from spikesam.pipeline.imports.libraries.library import expect, number


def convolution(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`Conv2d`, and `Conv1d` as one of height 1."""
    weight = kernels.ungrouped(_weight(module), module.groups)
    if weight.ndim == 3:
        weight = weight[:, :, None]
    weight = kernels.undilated(weight, (1, *module.dilation)[-2:])
    if isinstance(module.padding, str):
        padding = kernels.same_padding(weight.shape[2:]) if module.padding == "same" else ((0, 0), (0, 0))
    else:
        rows, columns = (0, *module.padding)[-2:]
        padding = ((rows, rows), (columns, columns))
    return convolved(synapses, weight, padding, (1, *module.stride)[-2:], module.bias, where)


def transposed(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`ConvTranspose2d` of stride 1: a convolution with the kernel turned round."""
    expect(module.stride == (1, 1), where, f"has stride={module.stride}", "1: maps are not made larger here")
    kernel = _weight(module)
    grouped = kernel.reshape(module.groups, -1, *kernel.shape[1:]).swapaxes(1, 2)
    turned = grouped.reshape(-1, *grouped.shape[2:])[:, :, ::-1, ::-1]
    weight = kernels.undilated(kernels.ungrouped(turned, module.groups), module.dilation)
    rows, columns = (side - 1 - around for side, around in zip(weight.shape[2:], module.padding, strict=True))
    expect(min(rows, columns) >= 0, where, f"has padding={module.padding}", "less than its kernel")
    down, right = module.output_padding
    return convolved(synapses, weight, ((rows, rows + down), (columns, columns + right)), (1, 1), module.bias, where)


def convolved(
    synapses: FoldedSynapses, weight: NDArray[np.float32], padding: Any, stride: kernels.Pair, bias: Any, where: str
) -> FoldedSynapses:
    """A convolution behind spikes; or behind another one, if it does not pad, or the other sees single places."""
    whole = synapses.order is None or synapses.order.channels
    expect(whole, where, "sees a map whose places are moved", "places that stay, of channels in any order")
    channels, height, width = synapses.shape
    expect(weight.shape[1] == channels, where, f"sees {weight.shape[1]} channels", f"{channels}")
    sides = [
        (side + sum(around) - kernel) // step + 1
        for side, around, kernel, step in zip((height, width), padding, weight.shape[2:], stride, strict=True)
    ]
    weight, around = kernels.evenly_padded(weight, padding)
    scaled, outer = _scaled_inputs(synapses, weight, where)
    outer, inner = synapses.columns(outer), synapses.weight
    if inner is not None:
        whole = around == (0, 0) or inner.shape[2:] == synapses.stride == (1, 1)
        expect(whole and inner.ndim == 4 and synapses.windows == NO_POOLING, where, *FOLLOWS)
        outer = kernels.composed(outer, inner, synapses.stride)
        stride = stride[0] * synapses.stride[0], stride[1] * synapses.stride[1]
        around = around[0] + synapses.padding[0], around[1] + synapses.padding[1]
    shape = len(weight), sides[0], sides[1]
    made = replace(scaled, weight=outer.astype(np.float32), stride=stride, padding=around, shape=shape, order=None)
    return _biased(made, bias)


def padded(synapses: FoldedSynapses, pad: Pad, where: str) -> FoldedSynapses:
    """Zeros around a map: a convolution that gives what it sees."""
    identity = np.eye(synapses.shape[0], dtype=np.float32)[:, :, None, None]
    return convolved(synapses, identity, pad.padding, (1, 1), None, where)


def pads(module: Any) -> bool:
    """Whether a convolution sees zeros around its map."""
    return module.padding == "same" or (module.padding != "valid" and bool(np.any(module.padding)))


def _single_places(weight: NDArray[Any], stride: kernels.Pair, padding: kernels.Pair) -> bool:
    """Whether a convolution sees one place of a map for each place that it gives."""
    return weight.shape[2:] == stride == (1, 1) and padding == (0, 0)


def _scaled_inputs(
    synapses: FoldedSynapses, weight: NDArray[np.float32], where: str
) -> tuple[FoldedSynapses, NDArray[np.floating[Any]]]:
    """Synapses with the bias that weights (out, C, …) behind them make of theirs; and these weights times their gain.

    Weights that pad see no bias, which is an input of its own then. Spikes keep a gain that is one number, at each step
    if steps differ.
    """
    channels = synapses.shape[0]
    each: NDArray[np.floating[Any]] = weight.reshape(len(weight), channels, -1)
    bias = np.array(0.0)
    if synapses.bias.any():
        sums = each.sum(axis=2, dtype=np.float64)
        bias = np.broadcast_to(synapses.bias, (*synapses.bias.shape[:-1], channels)) @ sums.T
    if synapses.gain.ndim == 2:
        found = "sees channels whose gains differ from step to step, each in its own way"
        expect((synapses.gain == synapses.gain[:, :1]).all(), where, found, "one gain of a step, or gains behind it")
        return replace(synapses, gain=synapses.gain[:, :1], bias=bias), weight
    if synapses.weight is None and not synapses.gain.ndim:
        return replace(synapses, bias=bias), weight
    each = each * np.broadcast_to(synapses.gain, channels)[:, None]
    return replace(synapses, gain=np.array(1.0), bias=bias), each.reshape(weight.shape)


def dense(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`Linear`."""
    return _connected(synapses, _weight(module), module.bias, where)


def _connected(synapses: FoldedSynapses, weight: NDArray[np.float32], bias: Any, where: str) -> FoldedSynapses:
    inputs = int(np.prod(synapses.shape))
    expect(weight.shape[1] == inputs, where, f"sees {weight.shape[1]} neurons", f"{inputs}")
    scaled, outer = _scaled_inputs(synapses, weight, where)
    outer = synapses.columns(outer.reshape(len(outer), synapses.shape[0], -1)).reshape(len(outer), -1)
    inner = synapses.weight
    if inner is not None and inner.ndim == 2:
        outer = outer @ inner.astype(np.float64)
    elif inner is not None:
        alone = _single_places(inner, synapses.stride, synapses.padding) and synapses.windows == NO_POOLING
        expect(alone, where, *FOLLOWS)
        maps = outer.reshape(len(outer), synapses.shape[0], -1)
        outer = np.tensordot(maps, inner[:, :, 0, 0].astype(np.float64), (1, 0)).swapaxes(1, 2).reshape(len(outer), -1)
    about: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "order": None, "shape": (len(weight), 1, 1)}
    return _biased(replace(scaled, weight=outer.astype(np.float32), **about), bias)


def one_to_one(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """snnTorch's recurrent weights where each neuron drives itself."""
    factor = np.asarray(by_channel(number(module.V), synapses.shape, where, "V"))
    return replace(synapses, gain=synapses.gain * factor, bias=synapses.bias * factor)


def by_channel(value: Any, shape: Shape, where: str, what: str) -> Any:
    """A constant of neurons, one number or (C,)."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return array.item()
    channels = shape[0]
    for map_shape in (shape, (int(np.prod(shape)),)):
        try:
            whole = np.broadcast_to(array, (1, *map_shape)).reshape(channels, -1)
        except ValueError:
            continue
        if (whole == whole[:, :1]).all():
            return whole[0, 0].item() if (whole == whole[0, 0]).all() else whole[:, 0].copy()
    raise NetworkError(f"{where}: its {what} has shape {array.shape}, expected one number, or one for each channel")


def _biased(synapses: FoldedSynapses, bias: Any) -> FoldedSynapses:
    return synapses if bias is None else replace(synapses, bias=synapses.bias + np.asarray(number(bias)))


def normalised(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`BatchNorm1d` and `BatchNorm2d` in evaluation, and SpikingJelly's that depend on the threshold."""
    expect(module.running_var is not None, where, "has track_running_stats=False", "running statistics")
    gain = 1 / np.sqrt(np.atleast_1d(number(module.running_var)) + module.eps)
    shift = -number(module.running_mean) * gain
    channels = synapses.shape[0]
    expect(len(gain) == channels, where, f"normalises {len(gain)} features", f"the {channels} channels in front of it")
    if module.affine:
        gain, shift = gain * number(module.weight), shift * number(module.weight)
    return _biased(replace(synapses, gain=synapses.gain * gain, bias=synapses.bias * gain + shift), module.bias)


def effective(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """SpikingJelly's `TemporalEffectiveBatchNorm1d` and `2d`, which scale each step."""
    return normalised(synapses, module, where).scaled(np.reshape(number(module.scale), (-1, 1)))


def lava_convolution(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """lava-dl's `synapse.Conv`."""
    weight = kernels.undilated(kernels.ungrouped(_lava_weight(module), module.groups), module.dilation[:2])
    rows, columns = module.padding[:2]
    return convolved(synapses, weight, ((rows, rows), (columns, columns)), module.stride[:2], None, where)


def lava_dense(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """lava-dl's `synapse.Dense`."""
    weight = _lava_weight(module)
    return _connected(synapses, weight.reshape(len(weight), -1), None, where)


def lava_pooling(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """lava-dl's `synapse.Pool`, a sum: a convolution of each channel with itself."""
    channels, height, width = synapses.shape
    kernel = _lava_weight(module)
    fits = not (height % kernel.shape[2] or width % kernel.shape[3])
    expect(fits, where, f"pools {kernel.shape[2:]} on a map of {height}×{width}", "sides that are multiples of it")
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None] * kernel
    rows, columns = module.padding[:2]
    return convolved(synapses, weight, ((rows, rows), (columns, columns)), module.stride[:2], None, where)


def _lava_weight(module: Any) -> NDArray[np.float32]:
    """Weights as lava-dl uses them, rounded to 8 bits, without their axis of time."""
    expect(not module.complex, "lava-dl synapse", "has complex weights", "real ones")
    hook = module.pre_hook_fx
    weight = module.weight if hook is None else hook(module.weight)
    return np.asarray(weight.detach().cpu().numpy(), np.float32)[..., 0]


def _weight(module: Any) -> NDArray[np.float32]:
    return np.asarray(module.weight.detach().cpu().numpy(), np.float32)


PADDING = (padded, convolution, lava_convolution, lava_pooling)
FOLLOWS = (
    "follows another convolution or linear layer without neurons between them",
    "neurons between them, or no padding, or one layer that is their product",
)
