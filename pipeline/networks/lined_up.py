"""A recording of a model as a raster of its network: lined up with its delays, and checked by a step in NumPy."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.backends.network.step import Neurons, arrived, current_of
from spikesam.backends.network.table import by_sides
from spikesam.backends.readout import ReadoutIntegrator
from spikesam.pipeline.measures.operations import only_repeats
from spikesam.pipeline.networks.recorded import BESIDE, fired_by, network_specs, recorded_network
from spikesam.recordings.errors import InputError
from spikesam.recordings.parsing import parse_json
from spikesam.recordings.raster.batch import RasterBatch, joined, pack, unpack
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.raster.writer import make_record, raster_image
from spikesam.recordings.schema import MADE_OF

Spikes = NDArray[np.bool_]


def with_network(raster: RasterReader, given: Any = None) -> tuple[RasterReader, Network]:
    """A raster with every layer of the network that fired it, and that network, in the raster's precision."""
    beside = raster.path is not None and raster.path.with_name(BESIDE).is_file()
    if raster.header.network_sha256:
        return raster, recorded_network(raster, given)
    if given is None and not beside:
        raise InputError(f"{raster.where}: does not say which network fired it", "give-network")
    network = fired_by(raster, given)
    lined = LinedUp.of(network, raster.header, raster.where)
    header = lined.header(raster.header, raster.raster_digest)

    def records() -> Iterator[Any]:
        for sample in range(raster.n_samples):
            spikes = {layer.name: raster.packed(layer, sample)[None] for layer in raster.layers}
            yield make_record(header, lined.batch(spikes, sample), 0, sample)

    return raster.remade(raster_image(header, raster.samples, str(uuid.uuid4()), list(records()))), network


@dataclass(frozen=True, eq=False)
class LinedUp:
    """The layers of a recording in the steps of a network, in float32; `where` names the recording in errors."""

    network: Network
    steps: int  # of the recording
    names: Mapping[str, str]  # layer of the network -> its name in the recording; of those that it holds
    starts: Mapping[str, int]  # layer of the network -> where its first recorded step stands
    where: str

    @classmethod
    def of(cls, network: Network, recorded: RasterHeader, where: str) -> LinedUp:
        """Find each layer, by its name, or all in their order; refuses a recording of something else."""
        if network.precision != "float32":
            raise InputError(
                f"{where}: the network is in fixed point, expected float32, as the model that was recorded"
            )
        late = 0 if recorded.layer_delay else network.to_readout["input"]
        if recorded.timesteps != network.timesteps - late:
            raise InputError(
                f"{where}: has {recorded.timesteps} steps, expected {network.timesteps - late}, as the network takes"
            )
        return cls(
            network,
            recorded.timesteps,
            _named(network, recorded, where),
            {name: max(0, late - network.to_readout[name]) for name in network.raster_names},
            where,
        )

    def header(self, recorded: RasterHeader, digest: str = "") -> RasterHeader:
        """The header of the raster; `digest` is that of the recording, if there is a file of it."""
        network, config = self.network, parse_json(recorded.config, "config")
        config = config if isinstance(config, dict) else {}
        return replace(
            recorded,
            timesteps=network.timesteps,
            network_sha256=network.sha256,
            config=json.dumps(config | ({MADE_OF: digest} if digest else {})),
            layers=network_specs(network),
            classes=network.classes,
            readout_scale=network.readout.scale,
            layer_delay=1,
            window=network.window,
        )

    def batch(self, spikes: Mapping[str, NDArray[np.uint8]], first: int) -> RasterBatch:
        """The samples of a recording, from the number `first` on, packed by its layers' names: (B, steps, bytes)."""
        count = len(next(iter(spikes.values())))
        samples = ({name: spikes[of][[row]] for name, of in self.names.items()} for row in range(count))
        return joined([self._sample(each, first + row) for row, each in enumerate(samples)])

    def _sample(self, packed: Mapping[str, NDArray[np.uint8]], sample: int) -> RasterBatch:
        network, fired = self.network, dict[str, Spikes]()
        for name, shape in zip(network.raster_names, network.raster_shapes, strict=True):
            fired[name] = np.zeros((network.timesteps, *shape), np.bool_)
            if name in packed:
                start = self.starts[name]
                fired[name][start : start + self.steps] = unpack(packed[name], shape)[:, 0]
        self._simulate(fired, sample)
        integrator = ReadoutIntegrator(network.readout, network.timesteps)
        integrator.add(fired[network.layers[-1].name].reshape(network.timesteps, -1))
        bits = {name: pack(each[:, None]) for name, each in fired.items()}
        return RasterBatch(bits, integrator.result()[None])

    def _simulate(self, fired: Mapping[str, Spikes], sample: int) -> None:
        """Fill in what was not recorded; refuses the first spike that is not what the network fires."""
        network, driven = self.network, {place for place, _ in self.network.driven}
        neurons = {
            layer.name: Neurons(layer.spiking_neuron, layer.inputs, network.shapes[place + 1], np.float64)
            for place, layer in enumerate(network.layers)
            if place not in driven
        }
        for t in range(1, network.timesteps):
            for name, each in neurons.items():
                each.step(t, [current_of(of, arrived(of, fired, t)) for of in each.inputs], fired[name][t - 1])
                step, now = t - self.starts[name], fired[name][t]
                if name not in self.names or not 0 <= step < self.steps:
                    now[:] = each.fires
                elif (wrong := (now != each.fires) & ~each.near).any():
                    place = tuple(map(int, np.argwhere(wrong)[0]))
                    has = "a spike" if now[place] else "no spike"
                    at = f"layer {self.names[name]!r}, sample {sample}, step {step}, neuron {place}"
                    share = each.v[place] / np.broadcast_to(each.of(each.neuron.threshold), now.shape)[place]
                    raise InputError(
                        f"{self.where}: {at}: {has}, but the network's membrane is {share:.2%} of the threshold there; "
                        "expected a recording of the model that the network was made of"
                    )


def _named(network: Network, recorded: RasterHeader, where: str) -> dict[str, str]:
    """Layer of a network -> its name in a recording, which may lack layers that only repeat spikes."""
    shapes = {layer.name: layer.shape for layer in recorded.layers}
    if network.spiking_input and "input" not in shapes:
        raise InputError(f"{where}: does not hold the spikes of its input", "record-input")
    repeating = {layer.name for layer in network.layers if only_repeats(layer)}
    expected = [name for name in network.raster_names if name in shapes or name not in repeating]
    found = [name for name in shapes if name != "input" or network.spiking_input]
    names = dict(zip(expected, expected, strict=True))
    if not names.keys() <= shapes.keys() and len(found) == len(expected):
        names = dict(zip(expected, found, strict=True))  # of other names, but perhaps the same layers
    for name, of in names.items():
        if of not in shapes:
            raise InputError(
                f"{where}: holds layers {', '.join(found)}, expected those of the network: {', '.join(names)}"
            )
        if shapes[of] != network.shapes[network.place(name)]:
            sides = by_sides(network.shapes[network.place(name)])
            raise InputError(f"{where}: layer {of!r} is {by_sides(shapes[of])}, {sides} in the network")
    return names
