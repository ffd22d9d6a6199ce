"""Layers that repeat spikes for the answer, where it comes from several, from earlier steps, or behind a maximum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from spikesam.backends.network import NetworkError, Shape, Source
from spikesam.pipeline.imports.folding.folds import concatenated
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.following.calling import FollowedModel
from spikesam.pipeline.imports.following.raster import FollowedLayer
from spikesam.pipeline.imports.following.stream import INPUT, RELAYED, Junction, Operation, Path, Relay
from spikesam.pipeline.imports.libraries.library import SpikingModule
from spikesam.pipeline.imports.repeating import REPEATING

GATHERED = "/answer"  # that layer, among the names of modules


def with_maximum(followed: FollowedModel) -> FollowedModel:
    """A model whose answer comes from a maximum pooling of spikes, with neurons of their own for it."""
    path = followed.answer.path
    pooling = path.operations[0].what if path.operations else None
    source = followed.layers.get(str(path.source))
    if source is None or not isinstance(pooling, (nn.MaxPool1d, nn.MaxPool2d)):
        return followed
    where, name = path.operations[0].where, f"{source.name}{RELAYED}"
    maps = source.spikes.flatten(0, 1).view(-1, *source.shape).float()
    pooled = pooling(maps.squeeze(2))[:, :, None] if isinstance(pooling, nn.MaxPool1d) else pooling(maps)
    spikes = pooled.bool().reshape(*source.spikes.shape[:2], -1)
    drives = Path(path.source, (Operation(where, Relay(pooling)),), path.lag)
    shape = (pooled.shape[1], pooled.shape[2], pooled.shape[3])
    relay = FollowedLayer(name, where, SpikingModule(REPEATING, None, pooling), drives, shape, spikes, None)
    answer = replace(followed.answer, path=Path(name, path.operations[1:]))
    return replace(followed, layers={**followed.layers, name: relay}, answer=answer)


def gathered(
    sources: Sequence[Source], shapes: Mapping[str, Shape], followed: FollowedModel
) -> tuple[FollowedLayer, list[FoldedSynapses]]:
    """The spikes of several sources, one behind the other, as a layer; and what drives it."""
    names = [source.layer for source in sources]
    if INPUT in names:
        raise NetworkError("the model's output comes from the input, too; expected neurons that fire in between")
    if len({shapes[name][1:] for name in names}) > 1:
        found = " and ".join(f"{shapes[name]} of module {name!r}" for name in names)
        raise NetworkError(f"the model's output adds what comes from maps (C, H, W) {found}, expected equal sides")
    branches = [[FoldedSynapses(shapes[source.layer], sources=(source,))] for source in sources]
    drives = concatenated(branches, Junction("the model's output", "concatenation", ()))
    spikes = [_spikes(followed.layers[source.layer], source.delay) for source in sources]
    about = SpikingModule(REPEATING)
    path, joined = followed.answer.path, torch.cat(spikes, dim=2)
    return FollowedLayer(GATHERED, "the model's output", about, path, drives[0].shape, joined, None), drives


def _spikes(layer: FollowedLayer, delay: int) -> Tensor:
    """(T, B, N) of so many steps before; a library's own delay is in them."""
    late = delay - layer.about.delayed
    return torch.cat([torch.zeros_like(layer.spikes[:late]), layer.spikes[: len(layer.spikes) - late]])
