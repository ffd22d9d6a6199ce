"""Which operations can stand between neurons: by library and class, what each does to the parts of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from spikesam.backends.network import NetworkError, Shape, Source
from spikesam.pipeline.imports.folding import pooling, weights
from spikesam.pipeline.imports.folding.borders import bordered
from spikesam.pipeline.imports.folding.synapses import Chosen, Fold, FoldedSynapses
from spikesam.pipeline.imports.following.stream import (
    NOTHING,
    ByStep,
    Junction,
    Operation,
    Order,
    Path,
    Scale,
    Shift,
)
from spikesam.pipeline.imports.libraries.library import SpikingModule, expect, number, recognised


def fold(path: Path, shapes: Mapping[str, Shape]) -> list[FoldedSynapses]:
    """The operations of a path as parts of a layer, one for each of its inputs.

    Parameters
    ----------
    shapes : (C, H, W) of the input and of neurons, by the name of their module
    """
    folded = begin(path, shapes)
    for operation in path.operations:
        folded = fold_one(folded, operation, FOLDS)
    return folded


def begin(path: Path, shapes: Mapping[str, Shape]) -> list[FoldedSynapses]:
    """What a path begins with: the spikes of one source, or what meets at a junction."""
    source = path.source
    if isinstance(source, Junction):
        branches = [fold(branch, shapes) for branch in source.branches]
        return (summed if source.kind == "sum" else concatenated)(branches, source)
    if source == NOTHING:
        raise NetworkError("zeros that stay zeros drive a layer, expected what neurons fire")
    return [FoldedSynapses(shapes[source], sources=(Source(source, path.lag or 0),))]


def fold_one(
    folded: list[FoldedSynapses], operation: Operation, folds: Mapping[str, Mapping[str, Fold]]
) -> list[FoldedSynapses]:
    """What was folded, with one more operation, by a table of library and class; see :func:`fold`."""
    for library, table in folds.items():
        if found := recognised(operation.what, library, table):
            alone = len(folded) == 1 and len(folded[0].sources) == 1
            if found is pooling.maximum and not alone:
                raise NetworkError(f"{operation.where}: pools a sum or a concatenation by maximum, expected one layer")
            if found in weights.PADDING and weights.pads(operation.what):
                folded = bordered(folded, operation.where)
            first, *others = (found(synapses, operation.what, operation.where) for synapses in folded)
            return [first, *(replace(each, bias=np.array(0.0)) for each in others)]
    raise NetworkError(f"{operation.where}: cannot stand between neurons")


def summed(branches: Sequence[list[FoldedSynapses]], junction: Junction) -> list[FoldedSynapses]:
    """A sum, in the order in which the model adds: what was summed before comes first."""
    shapes = [branch[0].shape for branch in branches]
    if len(set(shapes)) > 1:
        found = " and ".join(
            f"{shape} of {branch.last}" for shape, branch in zip(shapes, junction.branches, strict=True)
        )
        raise NetworkError(f"{junction.where}: adds maps (C, H, W) {found}, expected equal ones")
    kept: list[FoldedSynapses] = []
    for synapses in chain(*sorted(branches, key=len, reverse=True)):
        for place, each in enumerate(kept):
            if both := each.with_sources_of(synapses):
                kept[place] = both
                break
        else:
            kept.append(synapses)
    return _with_bias(kept, sum(branch[0].bias for branch in branches))


def concatenated(branches: Sequence[list[FoldedSynapses]], junction: Junction) -> list[FoldedSynapses]:
    """Channels of maps of one size, one behind the other: each branch drives its own."""
    channels = sum(branch[0].shape[0] for branch in branches)
    placed: list[FoldedSynapses] = []
    before = 0
    for branch in branches:
        placed += [synapses.placed(before, channels) for synapses in branch]
        before += branch[0].shape[0]
    return _with_bias(placed, sum(synapses.bias for synapses in placed))


def _with_bias(folded: list[FoldedSynapses], bias: Any) -> list[FoldedSynapses]:
    return [replace(each, bias=np.array(0.0) if number else np.asarray(bias)) for number, each in enumerate(folded)]


def _scaled(synapses: FoldedSynapses, scale: Scale, where: str) -> FoldedSynapses:
    return synapses.scaled(_of_channels(scale, synapses, where))


def _shifted(synapses: FoldedSynapses, shift: Shift, where: str) -> FoldedSynapses:
    return replace(synapses, bias=synapses.bias + _of_channels(shift, synapses, where))


def _of_channels(operation: Scale | Shift, synapses: FoldedSynapses, where: str) -> Any:
    numbers, shape = np.asarray(operation.numbers), synapses.shape
    each = numbers.repeat(prod(shape) // len(numbers)) if numbers.ndim else numbers
    return weights.by_channel(each, shape, where, type(operation).__name__.lower())


def _by_step(synapses: FoldedSynapses, by_step: ByStep, where: str) -> FoldedSynapses:
    """(S, C) gains and shifts, which are 0 at steps at which nothing passed."""
    gain, shift = np.zeros((2, max(by_step.at) + 1, synapses.shape[0]))
    for step, operation in by_step.at.items():
        plain = replace(synapses, gain=np.array(1.0), bias=np.array(0.0))
        (alone,) = fold_one([plain], operation, FOLDS)
        gain[step], shift[step] = alone.gain, alone.bias
    return replace(synapses, gain=synapses.gain * gain, bias=synapses.bias * gain + shift)


def _voltage_scaled(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """SpikingJelly's `VoltageScaler` and `ChannelVoltageScaler`, which its converted networks have around neurons."""
    scale = number(module.scale)
    if np.ndim(scale) == 0:
        return synapses.scaled(scale)
    fits = synapses.weight is not None and module.channel_dim == 1 and len(scale) == synapses.shape[0]
    expect(fits, where, f"has {len(scale)} scales along axis {module.channel_dim}", "one for each channel of weights")
    return synapses.scaled(scale)


def _ordered(synapses: FoldedSynapses, order: Order, where: str) -> FoldedSynapses:
    """Rows of the weights in another order; of spikes, what the next weights see."""
    (channels, *sides), places = synapses.shape, synapses.shape[1] * synapses.shape[2]
    numbers = np.array(order.neurons)
    firsts = numbers[::places]
    whole = np.array_equal(numbers, (firsts[:, None] + np.arange(places)).flatten()) and not (firsts % places).any()
    before, each_of = synapses.order, (synapses.gain, synapses.bias)
    gain, bias = (np.broadcast_to(each, (*each.shape[:-1], channels)) if each.ndim else each for each in each_of)
    if whole:
        numbers = firsts // places
    else:
        found = "moves places of a map between a convolution and neurons"
        expect(synapses.weight is None, where, found, "channels in another order, whose places stay")
        gain, bias = (each.repeat(places, axis=-1) if each.ndim else each for each in (gain, bias))
        if before is not None:
            every = (before.numbers[:, None] * places + np.arange(places)).flatten()
            before = Chosen(every, before.among * places, False)
        channels *= places
    gain, bias = (each[..., numbers] if each.ndim else each for each in (gain, bias))
    made = replace(synapses, gain=gain, bias=bias, shape=(len(numbers), *(sides if whole else (1, 1))))
    if synapses.weight is not None:
        return replace(made, weight=synapses.weight[numbers])
    if before is not None:
        return replace(made, order=replace(before, numbers=before.numbers[numbers]))
    return replace(made, order=Chosen(numbers, channels, whole))


def _membranes(synapses: FoldedSynapses, about: SpikingModule, where: str) -> FoldedSynapses:
    raise NetworkError(
        f"{where}: its membranes drive other layers, expected its spikes; membranes can only be the answer"
    )


def refused(found: str) -> Fold:
    """A fold that refuses, and says what it found."""

    def refuse(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
        raise NetworkError(f"{where}: {found}")

    return refuse


FOLDS: dict[str, dict[str, Fold]] = {
    "spikingjelly": {
        "VoltageScaler": _voltage_scaled,
        "ChannelVoltageScaler": _voltage_scaled,
        "VotingLayer": refused("stands between neurons, expected at the end"),
        "ThresholdDependentBatchNorm1d": weights.normalised,
        "ThresholdDependentBatchNorm2d": weights.normalised,
        "TemporalEffectiveBatchNorm1d": weights.effective,
        "TemporalEffectiveBatchNorm2d": weights.effective,
    },
    "snntorch": {"RecurrentOneToOne": weights.one_to_one},
    "torch": {
        "Conv1d": weights.convolution,
        "Conv2d": weights.convolution,
        "ConvTranspose2d": weights.transposed,
        "Linear": weights.dense,
        "BatchNorm1d": weights.normalised,
        "BatchNorm2d": weights.normalised,
        "AvgPool1d": pooling.average,
        "AvgPool2d": pooling.average,
        "AdaptiveAvgPool1d": pooling.adaptive,
        "AdaptiveAvgPool2d": pooling.adaptive,
        "LPPool2d": pooling.total,
        "MaxPool1d": pooling.maximum,
        "MaxPool2d": pooling.maximum,
        "Softmax": refused("stands between neurons, expected at the end"),
        "LogSoftmax": refused("stands between neurons, expected at the end"),
    },
    "lava": {"Conv": weights.lava_convolution, "Dense": weights.lava_dense, "Pool": weights.lava_pooling},
    "spikesam": {
        "Convolution": weights.convolution,
        "Linear": weights.dense,
        "Pad": weights.padded,
        "Scale": _scaled,
        "Shift": _shifted,
        "ByStep": _by_step,
        "TimeSum": refused("stands between neurons, expected at the end"),
        "Order": _ordered,
        "Relay": pooling.relay,
        "SpikingModule": _membranes,
    },
}
