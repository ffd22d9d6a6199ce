"""Modules that are known: what each does to a stream."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from spikesam.backends.network import NetworkError
from spikesam.pipeline.imports.following.functions import through
from spikesam.pipeline.imports.following.stream import Followed, JumbledError, Lost, Operation, Stream, mapped
from spikesam.pipeline.imports.libraries.library import Takes, recognised

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


def behind(operation: Operation, stream: Stream, given: Tensor, output: Tensor) -> Followed:
    """What a module makes of a stream that is followed as a whole."""
    axes = axes_of(operation.what)
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
    """What messages call a module."""
    return f"module {name!r} ({type(module).__name__})"
