"""Modules that are known: what each does to a stream."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from torch import Tensor, nn

from spikesam.backends.network import NetworkError
from spikesam.pipeline.networks.imports.following.functions import through
from spikesam.pipeline.networks.imports.following.stream import Followed, JumbledError, Lost, Operation, Stream, mapped
from spikesam.pipeline.networks.libraries.library import Takes, recognised

# Modules that are followed as a whole, by what they work on: each number, the map of a sample, (C, H, W) or (C, L), or
# its last axis. The functions inside of others are followed.
ON_MAPS = {
    "torch": ("ConvTranspose2d", "BatchNorm2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "LPPool2d"),
    "spikingjelly": ("ThresholdDependentBatchNorm2d", "TemporalEffectiveBatchNorm2d"),
}
ON_ROWS = {"torch": ("MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d")}
BY_CHANNEL = {"torch": ("BatchNorm1d",)}  # of (C, L), too
ON_NUMBERS = {"spikingjelly": ("VoltageScaler", "ChannelVoltageScaler")}
ON_NEURONS = {
    "torch": ("BatchNorm1d", "Softmax", "LogSoftmax"),
    "spikingjelly": ("ThresholdDependentBatchNorm1d", "TemporalEffectiveBatchNorm1d", "VotingLayer"),
}


def is_known(module: nn.Module) -> bool:
    """Whether a module is followed as a whole."""
    return any(_is_one_of(module, kinds) for kinds in (ON_MAPS, ON_ROWS, BY_CHANNEL, ON_NUMBERS, ON_NEURONS))


def behind(operation: Operation, stream: Stream, given: Tensor, output: Tensor) -> Followed:
    """What a module makes of a stream."""
    module = operation.what
    try:
        if _is_one_of(module, ON_MAPS):
            return through(stream, operation, given, output)
        if _is_one_of(module, ON_ROWS) or (_is_one_of(module, BY_CHANNEL) and output.shape[-1] != stream.size):
            return through(stream, operation, given, output, axes=2)
        if _is_one_of(module, ON_NUMBERS):
            return stream.then(operation)
        if _is_one_of(module, ON_NEURONS):
            return mapped(stream, 1, operation, output.shape[-1], tuple(output.shape))
    except JumbledError:
        return Lost(f"{operation.where}, whose input is not a map (C, H, W) in C-order")
    return Lost(operation.where)


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


def _is_one_of(module: nn.Module, kinds: Mapping[str, tuple[str, ...]]) -> bool:
    return any(recognised(module, library, dict.fromkeys(names, True)) for library, names in kinds.items())
