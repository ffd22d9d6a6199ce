"""A followed model as units and an answer, and as the network that is built of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikesam.backends.network import Network, NetworkError, Neuron, Shape
from spikesam.common.errors import at
from spikesam.pipeline.imports.libraries.known import layer_name
from spikesam.pipeline.imports.libraries.library import LeakyIntegrator, SpikingModule
from spikesam.pipeline.imports.road.build import ANSWER, REPEATING, Built, build
from spikesam.pipeline.imports.road.constants import per_channel
from spikesam.pipeline.imports.road.operations import (
    INPUT,
    Answer,
    Convolve,
    Junction,
    Operation,
    Path,
    Pool,
    Scale,
    Shift,
    Unit,
)
from spikesam.pipeline.imports.torch._stream import RELAYED, bare
from spikesam.pipeline.imports.torch.calling import Example, FollowedModel
from spikesam.pipeline.imports.torch.follower import MAXIMUM, FollowedLayer, relay
from spikesam.pipeline.imports.torch.modules import emitted, emitted_answer


@dataclass(frozen=True, eq=False)
class Imported:
    """A network, and the model that it is of."""

    network: Network  # the network
    layers: tuple[FollowedLayer, ...]  # the model's neurons, one for each layer of the network
    neurons: tuple[
        Neuron, ...
    ]  # their equations, driven by the currents that drive them in the model
    gains: tuple[NDArray[np.float64], ...]  # (1, C) of each, which multiply these currents
    shifts: tuple[int, ...]  # by how many steps the bits of each layer stand later in the network
    probabilities: (
        nn.Module
    )  # the function that the model's answer has passed through at last, such as a softmax


def model_bits(
    network: Network, layers: Sequence[FollowedLayer], shifts: Sequence[int], example: Example
) -> dict[str, NDArray[Any]]:
    """The example, and a model's bits in the network's steps, by layer: (T, B, C, H, W), with
    silence around.
    """
    spikes_by_layer = {INPUT: example.encoded(network.timesteps)}
    for number, (layer, shift) in enumerate(zip(layers, shifts, strict=True)):
        shape = example.samples, *network.shapes[number + 1]
        bits = np.zeros((network.timesteps, *shape), np.bool_)
        layer_bits = layer.spikes.reshape(-1, *shape)[: network.timesteps - shift]
        bits[shift : shift + len(layer_bits)] = layer_bits.cpu().numpy()
        spikes_by_layer[network.layers[number].name] = bits
    return spikes_by_layer


def assemble(model: nn.Module, followed: FollowedModel, example: Example) -> Imported:
    """The network that a followed model is."""
    rectified = example.encoder == "image"
    followed = followed if rectified else _with_maximum(followed)
    units = [
        _unit(model, layer)
        for layer in _reached(followed, "ReLU" if rectified else "neurons that fire")
    ]
    path, probabilities = emitted_answer(bare(followed.answer.path), over=rectified)
    if rectified:
        units = _named_apart(_pooled_before(units, path))
    pixel = {"spikes": 1.0, "image": example.input_range}.get(example.encoder, 2.0)
    built = build(
        units,
        Answer(path),
        example.shape,
        None if rectified else example.timesteps,
        encoder=example.encoder,
        input_range=example.input_range,
        pixel=pixel,
    )
    layers = tuple(
        followed.layers.get(unit.name) or _made(unit, built, followed, shape)
        for unit, shape in zip(built.units, built.network.shapes[1:], strict=True)
    )
    gains = []
    for layer, shape in zip(layers, built.network.shapes[1:], strict=True):
        with at(layer.label):
            gain = per_channel(layer.about.gain, shape, "gain")
        gains.append(np.full((1, shape[0]), gain))
    return Imported(built.network, layers, built.neurons, tuple(gains), built.shifts, probabilities)


def _reached(followed: FollowedModel, expected: str) -> list[FollowedLayer]:
    """The neurons that the answer depends on, in the order in which they first ran."""
    reached: set[str] = set()
    ahead = [followed.answer.path]
    while ahead:
        names = {str(leaf.source) for leaf in ahead.pop().leaves} & followed.layers.keys() - reached
        ahead += [followed.layers[name].path for name in names]
        reached |= names
    if not reached:
        last = followed.answer.path.last
        raise NetworkError(
            f"the model's output comes from {last}, with nothing in between, expected {expected} "
            "there"
        )
    return [layer for name, layer in followed.layers.items() if name in reached]


def _unit(model: nn.Module, layer: FollowedLayer) -> Unit:
    """The neurons of a module, or those that pool its spikes, such as "lif1" and "lif1_max"."""
    spiking, (module, part, kind) = layer.about, layer.name.partition("/")
    assert not isinstance(spiking.neuron, LeakyIntegrator)
    name = layer_name(model, module) + f"{part}{kind}".replace("/", "_")
    with at(layer.label):
        gain = per_channel(spiking.gain, layer.shape, "gain")
    path = emitted(bare(layer.path)) + Operation(layer.label, Scale(gain))
    if spiking.begins:  # as a bias at the first step
        path += Operation(layer.label, Shift(np.array([[spiking.begins], [0.0]])))
    return Unit(
        layer.name, layer.label, name, spiking.neuron, (path,), layer.shape, int(spiking.delayed)
    )


def _pooled_before(units: Sequence[Unit], answer: Path) -> list[Unit]:
    """Units with a pooling in front of ReLU that nothing else reads, since max(ReLU(i)) =
    ReLU(max(i)).
    """
    readers = Counter(
        str(leaf.source)
        for path in (answer, *(unit.paths[0] for unit in units))
        for leaf in path.leaves
    )
    units_by_name: dict[str, Unit] = {}
    for unit in units:
        (path,) = unit.paths
        earlier = units_by_name.get(path.source) if isinstance(path.source, str) else None
        pools = (
            unit.neuron is MAXIMUM and len(path.operations) == 3
        )  # an identity, the pooling and a gain, no more
        if earlier and pools and readers[earlier.name] == 1 and _convolved(earlier):
            (drives,), (_, pool, _) = units_by_name.pop(earlier.name).paths, path.operations
            unit = replace(earlier, name=unit.name, paths=(drives + pool,), shape=unit.shape)
        units_by_name[unit.name] = unit
    return list(units_by_name.values())


def _convolved(unit: Unit) -> bool:
    """True if one convolution drives a unit, with gains and shifts behind it, so that its currents
    can be pooled.
    """
    path = unit.paths[0]
    *_, last = [
        number
        for number, operation in enumerate(path.operations)
        if isinstance(operation.what, Convolve)
    ] or [-1]
    operations_behind = path.operations[last + 1 :]
    single = last >= 0 and not isinstance(path.source, Junction)
    return single and all(
        isinstance(operation.what, (Scale, Shift)) for operation in operations_behind
    )


def _named_apart(units: Sequence[Unit]) -> list[Unit]:
    """Units whose layers have names of their own, numbered where several places of a model give the
    same.
    """
    taken: set[str] = set()
    merged = []
    for unit in units:
        name, number = unit.layer, 2
        while name in taken:
            name, number = f"{unit.layer}_{number}", number + 1
        taken.add(name)
        merged.append(replace(unit, layer=name))
    return merged


def _with_maximum(followed: FollowedModel) -> FollowedModel:
    """A model whose answer comes from a maximum pooling of spikes, with neurons of their own for
    it.
    """
    path = followed.answer.path
    pool = path.operations[0].what if path.operations else None
    source = followed.layers.get(str(path.source))
    if source is None or not (isinstance(pool, Pool) and pool.kind == "max"):
        return followed
    label, name = path.operations[0].label, f"{source.name}{RELAYED}"
    maps = source.spikes.flatten(0, 1).view(-1, *source.shape).float()
    pooled = functional.max_pool2d(maps, *pool.windows, pool.dilation)
    spikes = pooled.bool().reshape(*source.spikes.shape[:2], -1)
    drives = Path(path.source, (Operation(label, relay(pool)),), path.lag)
    channels, height, width = pooled.shape[1:]
    shape = channels, height, width
    relayed = FollowedLayer(name, label, SpikingModule(REPEATING), drives, shape, spikes, None)
    answer = replace(followed.answer, path=Path(name, path.operations[1:]))
    return replace(followed, layers={**followed.layers, name: relayed}, answer=answer)


def _made(unit: Unit, built: Built, followed: FollowedModel, shape: Shape) -> FollowedLayer:
    """Neurons that the model does not have: those that repeat spikes for the answer, or fire at
    every step.
    """
    if unit.name == ANSWER:
        spikes = torch.cat(
            [
                _late(followed.layers[source.layer], source.longest)
                for source in built.answer.sources
            ],
            dim=2,
        )
    else:
        first_spikes = next(iter(followed.layers.values())).spikes
        spikes = torch.ones_like(first_spikes[:, :, :1]).repeat(1, 1, shape[1] * shape[2])
    return FollowedLayer(
        unit.name, unit.label, SpikingModule(REPEATING), unit.paths[0], shape, spikes, None
    )


def _late(layer: FollowedLayer, delay: int) -> Tensor:
    """(T, B, N) of so many steps before; a library's own delay is in them."""
    late = delay - layer.about.delayed
    return torch.cat(
        [torch.zeros_like(layer.spikes[:late]), layer.spikes[: len(layer.spikes) - late]]
    )
