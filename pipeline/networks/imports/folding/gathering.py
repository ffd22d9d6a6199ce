"""An answer that comes from several layers, or from earlier steps: one more layer that repeats their spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spikesam.backends.network import NetworkError, Shape, Source
from spikesam.pipeline.networks.imports.folding.folds import concatenated
from spikesam.pipeline.networks.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.networks.imports.following.calling import FollowedModel
from spikesam.pipeline.networks.imports.following.raster import FollowedLayer
from spikesam.pipeline.networks.imports.following.stream import INPUT, Junction
from spikesam.pipeline.networks.imports.repeating import REPEATING
from spikesam.pipeline.networks.libraries.library import SpikingModule

GATHERED = "/answer"  # that layer, among the names of modules


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
