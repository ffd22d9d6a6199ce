"""Which operations can stand between neurons: by library and class, what each does to the parts of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from backends.network import NetworkError, Shape
from pipeline.networks.imports.following.stream import Operation, Order, Path, Scale
from pipeline.networks.libraries.library import SpikingModule, expect, number, recognised

from . import pooling, weights
from .synapses import Fold, FoldedSynapses


def fold(path: Path, shape: Shape) -> FoldedSynapses:
    """The operations of a path as parts of a layer.

    Parameters
    ----------
    shape : (C, H, W) of the neurons at its beginning
    """
    synapses = FoldedSynapses(shape)
    for operation in path.operations:
        synapses = fold_one(synapses, operation, FOLDS)
    return synapses


def fold_one(synapses: FoldedSynapses, operation: Operation, folds: Mapping[str, Mapping[str, Fold]]) -> FoldedSynapses:
    """FoldedSynapses with one more operation, by a table of library and class; see :func:`fold`."""
    for library, table in folds.items():
        if found := recognised(operation.what, library, table):
            done: FoldedSynapses = found(synapses, operation.what, operation.where)
            return done
    raise NetworkError(f"{operation.where}: cannot stand between neurons")


def _scaled(synapses: FoldedSynapses, scale: Scale, where: str) -> FoldedSynapses:
    return synapses.scaled(scale.factor)


def _voltage_scaled(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """SpikingJelly's `VoltageScaler` and `ChannelVoltageScaler`, which its converted networks have around neurons."""
    scale = number(module.scale)
    if np.ndim(scale) == 0:
        return synapses.scaled(scale)
    fits = synapses.weight is not None and module.channel_dim == 1 and len(scale) == synapses.shape[0]
    expect(fits, where, f"has {len(scale)} scales along axis {module.channel_dim}", "one for each channel of weights")
    return synapses.scaled(scale)


def _ordered(synapses: FoldedSynapses, order: Order, where: str) -> FoldedSynapses:
    return replace(synapses, order=order.neurons)


def _membranes(synapses: FoldedSynapses, about: SpikingModule, where: str) -> FoldedSynapses:
    raise NetworkError(
        f"{where}: its membranes drive other layers, expected its spikes; membranes can only be the answer"
    )


def _refused(found: str) -> Fold:
    def refuse(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
        raise NetworkError(f"{where}: {found}")

    return refuse


FOLDS: dict[str, dict[str, Fold]] = {
    "spikingjelly": {
        "WSConv2d": _refused("standardises its weights, expected Conv2d; give it the standardised weights"),
        "WSLinear": _refused("standardises its weights, expected Linear; give it the standardised weights"),
        "VoltageScaler": _voltage_scaled,
        "ChannelVoltageScaler": _voltage_scaled,
        "VotingLayer": _refused("stands between neurons, expected at the end"),
        "ThresholdDependentBatchNorm1d": weights.normalised,
        "ThresholdDependentBatchNorm2d": weights.normalised,
    },
    "torch": {
        "Conv1d": weights.convolution,
        "Conv2d": weights.convolution,
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
        "Softmax": _refused("stands between neurons, expected at the end"),
        "LogSoftmax": _refused("stands between neurons, expected at the end"),
    },
    "lava": {"Conv": weights.lava_convolution, "Dense": weights.lava_dense, "Pool": weights.lava_pooling},
    "pipeline": {
        "Scale": _scaled,
        "TimeSum": _refused("stands between neurons, expected at the end"),
        "Order": _ordered,
        "SpikingModule": _membranes,
    },
}
