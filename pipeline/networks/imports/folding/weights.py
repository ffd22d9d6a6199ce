"""Operations with weights: convolutions, dense layers and batch normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.networks import kernels
from pipeline.networks.libraries.library import expect, number

from .synapses import FoldedSynapses


def convolution(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`Conv2d`, and `Conv1d` as one of height 1."""
    expect(module.padding_mode == "zeros", where, f"has padding_mode={module.padding_mode!r}", "'zeros'")
    weight = kernels.ungrouped(_weight(module), module.groups)
    if weight.ndim == 3:
        weight = weight[:, :, None]
    weight = kernels.undilated(weight, (1, *module.dilation)[-2:])
    if isinstance(module.padding, str):
        padding = kernels.same_padding(weight.shape[2:]) if module.padding == "same" else ((0, 0), (0, 0))
    else:
        rows, columns = (0, *module.padding)[-2:]
        padding = ((rows, rows), (columns, columns))
    return _convolved(synapses, weight, padding, (1, *module.stride)[-2:], module.bias, where)


def _convolved(
    synapses: FoldedSynapses, weight: NDArray[np.float32], padding: Any, stride: kernels.Pair, bias: Any, where: str
) -> FoldedSynapses:
    _expect_first(synapses, where)
    expect(synapses.order is None, where, "sees a map whose neurons are permuted", "C-order (C, H, W)")
    channels, height, width = synapses.shape
    expect(weight.shape[1] == channels, where, f"sees {weight.shape[1]} channels", f"{channels}")
    sides = [
        (side + sum(around) - kernel) // step + 1
        for side, around, kernel, step in zip((height, width), padding, weight.shape[2:], stride, strict=True)
    ]
    weight, around = kernels.evenly_padded(weight, padding)
    made = replace(synapses, weight=weight, stride=stride, padding=around, shape=(len(weight), sides[0], sides[1]))
    return _biased(made, bias)


def dense(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`Linear`."""
    return _connected(synapses, _weight(module), module.bias, where)


def _connected(synapses: FoldedSynapses, weight: NDArray[np.float32], bias: Any, where: str) -> FoldedSynapses:
    _expect_first(synapses, where)
    inputs = int(np.prod(synapses.shape))
    if synapses.order is not None:
        ordered = np.zeros((len(weight), inputs), np.float32)
        ordered[:, list(synapses.order)] = weight
        weight = ordered
    expect(weight.shape[1] == inputs, where, f"sees {weight.shape[1]} neurons", f"{inputs}")
    return _biased(replace(synapses, weight=weight, shape=(len(weight), 1, 1), order=None), bias)


def _biased(synapses: FoldedSynapses, bias: Any) -> FoldedSynapses:
    return synapses if bias is None else replace(synapses, bias=synapses.bias + np.asarray(number(bias)))


def normalised(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """`BatchNorm1d` and `BatchNorm2d` in evaluation, and SpikingJelly's that depend on the threshold."""
    expect(synapses.weight is not None, where, "normalises spikes", "a convolution or linear layer in front of it")
    expect(module.running_var is not None, where, "has track_running_stats=False", "running statistics")
    gain = 1 / np.sqrt(np.atleast_1d(number(module.running_var)) + module.eps)
    shift = -number(module.running_mean) * gain
    channels = synapses.shape[0]
    expect(len(gain) == channels, where, f"normalises {len(gain)} features", f"the {channels} channels in front of it")
    if module.affine:
        gain, shift = gain * number(module.weight), shift * number(module.weight) + number(module.bias)
    return replace(synapses, gain=synapses.gain * gain, bias=synapses.bias * gain + shift)


def lava_convolution(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """lava-dl's `synapse.Conv`."""
    weight = kernels.undilated(kernels.ungrouped(_lava_weight(module), module.groups), module.dilation[:2])
    rows, columns = module.padding[:2]
    return _convolved(synapses, weight, ((rows, rows), (columns, columns)), module.stride[:2], None, where)


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
    return _convolved(synapses, weight, ((rows, rows), (columns, columns)), module.stride[:2], None, where)


def _lava_weight(module: Any) -> NDArray[np.float32]:
    """Weights as lava-dl uses them, rounded to 8 bits, without their axis of time."""
    expect(not module.complex, "lava-dl synapse", "has complex weights", "real ones")
    hook = module.pre_hook_fx
    weight = module.weight if hook is None else hook(module.weight)
    return np.asarray(weight.detach().cpu().numpy(), np.float32)[..., 0]


def _weight(module: Any) -> NDArray[np.float32]:
    return np.asarray(module.weight.detach().cpu().numpy(), np.float32)


def _expect_first(synapses: FoldedSynapses, where: str) -> None:
    expect(
        synapses.weight is None,
        where,
        "follows another convolution or linear layer without neurons between them",
        "neurons between them, or one layer that is their product",
    )
