"""The network that a raster was recorded from, and a recording of a model lined up with its
network's delays.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.step import Neurons, arrived, current_of
from spikesam.backends.network.storage import read_network
from spikesam.backends.network.table import by_sides
from spikesam.backends.readout import ReadoutIntegrator
from spikesam.common.errors import InputError, at, did_you_mean
from spikesam.common.files import refuse_links
from spikesam.common.parsing import parse_json
from spikesam.common.text import LONGEST_NAME, printable, shorten, told_apart
from spikesam.pipeline.measures.synaptic_operations import only_repeats
from spikesam.recordings.raster.batch import RasterBatch, joined, pack, unpack
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.raster.writer import make_record, raster_image
from spikesam.recordings.schema import MADE_OF

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint

GIVE_NETWORK = "; give {network}, what the recorded model became"

BESIDE = "network.safetensors"


def recorded_network(raster: RasterReader, source: Any = None) -> Network:
    """The network of a raster that holds all of its layers: `source`, or `network.safetensors`
    beside it.
    """
    if not raster.header.network_sha256:
        raise InputError(f"{raster.file_name}: does not say which network fired it", GIVE_NETWORK)
    network = fired_by(raster, source)
    header, reason = raster.header, unlike(raster, network)
    for quantity, in_raster, in_network in (
        ("steps", header.timesteps, network.timesteps),
        (
            "outputs",
            header.classes or network.classes,
            network.classes,
        ),  # none were recorded, perhaps
    ):
        reason = reason or (
            f"has {in_raster} {quantity}, {in_network} in the network"
            if in_raster != in_network
            else ""
        )
    if reason:
        raise InputError(f"{raster.file_name}: {reason}")
    return network


def fired_by(raster: RasterReader, source: Any = None) -> Network:
    """The network that fired a raster, in its precision; the raster need not hold all of its
    layers.
    """
    if source is None:
        if raster.path is not None:
            refuse_links(raster.path.parent, [BESIDE])
            source = raster.path.with_name(BESIDE)
        if source is None or not os.path.isfile(source):
            raise InputError(f"{raster.file_name}: no {BESIDE} lies beside it", GIVE_NETWORK)
    if isinstance(source, (str, PathLike)):
        from spikesam.pipeline.networks.checkpoint_files import (
            find_checkpoint,
        )  # here, because pydantic takes a while

        path = find_checkpoint(str(source))
        place, network = str(path), read_network(path)[0]
    else:
        place, network = "network", getattr(source, "network", source)  # of a checkpoint
    if not isinstance(network, Network):
        raise InputError(
            f"network: got {type(source).__name__}, expected a Network, a checkpoint, its name or "
            "its file"
        )
    with at(place):
        network.check_spiking()
    network = quantise(network) if raster.header.precision == "fixed" else network
    recorded = raster.header.network_sha256
    if recorded and network.sha256 != recorded:
        raise InputError(
            f"{place}: network {network.sha256[:12]}, but {raster.file_name} was recorded from "
            f"{recorded[:12]}; give the {BESIDE} of that run as network"
        )
    return network


def is_network(source: Any) -> bool:
    """True of a network, a checkpoint, its bundled name or its file, and a conversion; else it may
    be a raster.
    """
    # Here, because pydantic takes a while.
    from spikesam.pipeline.networks.checkpoint import Checkpoint
    from spikesam.pipeline.networks.checkpoint_files import is_checkpoint

    if isinstance(source, (str, PathLike)):
        return is_checkpoint(source)
    return isinstance(network_held(source), (Network, Checkpoint))


def network_held(source: Any) -> Any:
    """The checkpoint of a conversion, or its network where nobody said how its images are prepared;
    anything else as it is.
    """
    network = getattr(source, "network", None)
    if not isinstance(network, Network) or not hasattr(type(source), "checkpoint"):
        return source
    return network if source.preprocessing is None else source.checkpoint


def loaded_network(source: Any, refusal: str) -> Network | Checkpoint:
    """A network by name or file, or as it is; `refusal` is said of what does not spike, {} being
    its type.
    """
    # Here, because pydantic takes a while.
    from spikesam.pipeline.networks.checkpoint import Checkpoint, load
    from spikesam.pipeline.networks.checkpoint_files import find_checkpoint

    source = network_held(source)
    if not isinstance(source, (str, PathLike)):
        if not isinstance(source, (Network, Checkpoint)):
            raise InputError(refusal.format(type(source).__name__))
        with at("network"):
            (source if isinstance(source, Network) else source.network).check_spiking()
        return source
    path = find_checkpoint(str(source), "snn")
    network, metadata = read_network(path)
    with at(path):
        network.check_spiking()
    return load(path) if "checkpoint" in metadata else network


def class_names_of(raster: RasterReader, source: Any = None) -> tuple[str, ...]:
    """Names of the classes of a raster: those that it was recorded with, or of a checkpoint, or
    none.
    """
    from spikesam.pipeline.images.pictures import (
        pictures_beside,
    )  # here, because pydantic takes a while
    from spikesam.pipeline.networks.checkpoint_files import find_checkpoint

    if (shown := pictures_beside(raster, 0)) is not None and shown.class_names:
        return shown.class_names
    if source is None and raster.path is not None and raster.path.with_name(BESIDE).is_file():
        source = raster.path.with_name(BESIDE)
    if isinstance(source, (str, PathLike)):
        text = read_network(find_checkpoint(str(source)))[1].get("checkpoint", "{}")
        with at("checkpoint metadata"):
            metadata = parse_json(text)
        return tuple(told_apart(map(str, metadata.get("class_names", ()))))
    return tuple(told_apart(getattr(network_held(source), "class_names", ())))


def find_class(chosen: str | int, classes: int, names: Sequence[str]) -> int:
    """The number of a class of so many, by its name or number; an InputError says which there
    are.
    """
    if isinstance(chosen, str) and chosen in names:
        return names.index(chosen)
    is_number = not isinstance(chosen, str) or (chosen.isascii() and chosen.isdigit())
    number = int(chosen) if is_number else -1
    if 0 <= number < classes:
        return number
    near = did_you_mean(str(chosen), names)
    known_names = f"one of {shorten(names)}, or " * bool(names)
    raise InputError(
        f"no class {printable(repr(chosen), LONGEST_NAME)}, expected {known_names}0 to "
        f"{classes - 1}{near}",
        argument="target",
    )


def classes_of_samples(target: Any, samples: int, classes: int, names: Sequence[str]) -> list[int]:
    """The number of the class of each sample: of one class, by name or number, or of a list of
    them.
    """
    if one_class(target):
        return [find_class(target, classes, names)] * samples
    chosen = listed_classes(target)
    if len(chosen) != samples:
        raise InputError(
            f"target: got {len(chosen)} classes, expected {samples}, one for each sample"
        )
    return [find_class(of_sample, classes, names) for of_sample in chosen]


def explained_classes(target: Any, numbers: Sequence[int]) -> dict[str, Any]:
    """Parameters of a file of maps that say the classes of its samples: of all, or of each."""
    if one_class(target):
        return {"target": numbers[0]}
    return {"targets": " ".join(map(str, numbers))}


def listed_classes(target: Any) -> list[str | int]:
    """The classes of a list or an array, a name or a number for each sample."""
    chosen = target.tolist() if hasattr(target, "tolist") else target
    if not isinstance(chosen, (list, tuple)) or not all(map(one_class, chosen)):
        raise InputError(
            f"target: got {printable(repr(target), LONGEST_NAME)}, expected a class by name or "
            "number, or a list of them, one for each sample"
        )
    return list(chosen)


def one_class(target: object) -> bool:
    """True of a name or a number of a class, which other values are not."""
    return isinstance(target, (str, Integral)) and not isinstance(target, bool)


def network_specs(network: Network) -> tuple[LayerSpec, ...]:
    """The layers of a raster of a network."""
    constants = [
        (
            layer.kind,
            _constant(layer.spiking_neuron.threshold),
            _constant(layer.spiking_neuron.leak),
        )
        for layer in network.layers
    ]
    if network.spiking_input:
        constants.insert(0, ("input", 0.0, 0.0))
    rasters = enumerate(
        zip(network.raster_names, network.raster_shapes, constants, strict=True),
        network.first_raster,
    )
    ways = dict.fromkeys(network.raster_names) if network.is_chain else network.to_readout
    starts = {} if network.late is None else network.starts
    return tuple(
        LayerSpec(name, number, shape, *layer_constants, ways[name], starts.get(name))
        for number, (name, shape, layer_constants) in rasters
    )


def _constant(constant: Any) -> float:
    """A constant of all neurons of a layer; 0 where channels differ."""
    return 0.0 if np.ndim(constant) else float(constant)


def unlike(raster: RasterReader, network: Network) -> str:
    """The difference of a raster from what the network fires; "" if it holds all layers."""
    if layer := unlike_layer(raster, network):
        return (
            f"layer {layer.name!r} is {layer.shape}, {network.shape_of[layer.name]} in the network"
        )
    if tuple(raster) != network.raster_names:
        return (
            f"holds layers {', '.join(raster)}, expected all of the network: "
            f"{', '.join(network.raster_names)}"
        )
    return ""


def unlike_layer(raster: RasterReader, network: Network) -> LayerSpec | None:
    """The first layer of a raster whose maps are of another size in the network, if there is
    one.
    """
    return next(
        (
            layer
            for layer in raster.layers
            if network.shape_of.get(layer.name, layer.shape) != layer.shape
        ),
        None,
    )


Spikes = NDArray[np.bool_]


def with_network(raster: RasterReader, source: Any = None) -> tuple[RasterReader, Network]:
    """A raster with every layer of the network that fired it, and that network, in the raster's
    precision.
    """
    beside = raster.path is not None and raster.path.with_name(BESIDE).is_file()
    if raster.header.network_sha256:
        return raster, recorded_network(raster, source)
    if source is None and not beside:
        raise InputError(f"{raster.file_name}: does not say which network fired it", GIVE_NETWORK)
    network = fired_by(raster, source)
    with at(raster.file_name):
        lined = LinedUp.of(network, raster.header)
    header = lined.header(raster.header, raster.raster_digest)

    def records() -> Iterator[Any]:
        for sample in range(raster.n_samples):
            spikes = {layer.name: raster.packed(layer, sample)[None] for layer in raster.layers}
            with at(raster.file_name):
                batch = lined.batch(spikes, sample)
            yield make_record(header, batch, 0, sample)

    return raster.remade(
        raster_image(header, raster.samples, str(uuid.uuid4()), list(records()))
    ), network


@dataclass(frozen=True, eq=False)
class LinedUp:
    """The layers of a recording in the steps of a network, in float32."""

    network: Network
    steps: int  # of the recording
    names: Mapping[
        str, str
    ]  # layer of the network -> its name in the recording; of those that it holds
    starts: Mapping[str, int]  # layer of the network -> where its first recorded step stands

    @classmethod
    def of(cls, network: Network, recorded: RasterHeader) -> LinedUp:
        """Find each layer, by its name, or all in their order; refuses a recording of something
        else.
        """
        if network.precision != "float32":
            raise InputError(
                "the network is in fixed point, expected float32, as the model that was recorded"
            )
        steps = network.timesteps if recorded.layer_delay else network.model_steps
        if recorded.timesteps != steps:
            raise InputError(
                f"has {recorded.timesteps} steps, expected {steps}, as the network takes"
            )
        starts = {} if recorded.layer_delay else network.starts
        return cls(
            network,
            recorded.timesteps,
            _named(network, recorded),
            {name: max(0, starts.get(name, 0)) for name in network.raster_names},
        )

    def header(self, recorded: RasterHeader, digest: str = "") -> RasterHeader:
        """The header of the raster; `digest` is that of the recording, if there is a file of it."""
        network = self.network
        with at("config"):
            config = parse_json(recorded.config)
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
        """The samples of a recording, from the number `first` on, packed by its layers' names: (B,
        steps, bytes).
        """
        count = len(next(iter(spikes.values())))
        samples = (
            {name: spikes[recorded_name][[row]] for name, recorded_name in self.names.items()}
            for row in range(count)
        )
        return joined(
            [self._sample(sample_spikes, first + row) for row, sample_spikes in enumerate(samples)]
        )

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
        bits = {name: pack(spikes[:, None]) for name, spikes in fired.items()}
        return RasterBatch(bits, integrator.result()[None])

    def _simulate(self, fired: Mapping[str, Spikes], sample: int) -> None:
        """Fill in what was not recorded; refuses the first spike that is not what the network
        fires.
        """
        network, driven = self.network, {place for place, _ in self.network.driven}
        neurons = {
            layer.name: Neurons(
                layer.spiking_neuron, layer.inputs, network.shapes[place + 1], np.float64
            )
            for place, layer in enumerate(network.layers)
            if place not in driven
        }
        for t in range(1, network.timesteps):
            for name, layer_neurons in neurons.items():
                layer_neurons.step(
                    t,
                    [
                        current_of(layer_input, arrived(layer_input, fired, t))
                        for layer_input in layer_neurons.inputs
                    ],
                    fired[name][t - 1],
                )
                step, now = t - self.starts[name], fired[name][t]
                if name not in self.names or not 0 <= step < self.steps:
                    now[:] = layer_neurons.fires
                elif (wrong := (now != layer_neurons.fires) & ~layer_neurons.near).any():
                    place = tuple(map(int, np.argwhere(wrong)[0]))
                    has = "a spike" if now[place] else "no spike"
                    place_text = (
                        f"layer {self.names[name]!r}, sample {sample}, step {step}, neuron {place}"
                    )
                    share = (
                        layer_neurons.v[place]
                        / np.broadcast_to(
                            layer_neurons.of(layer_neurons.neuron.threshold), now.shape
                        )[place]
                    )
                    raise InputError(
                        f"{place_text}: {has}, but the network's membrane is {share:.2%} of the "
                        "threshold there; expected a recording of the model that the network was "
                        "made of"
                    )


def _named(network: Network, recorded: RasterHeader) -> dict[str, str]:
    """Layer of a network -> its name in a recording, which may lack layers that only repeat
    spikes.
    """
    shapes = {layer.name: layer.shape for layer in recorded.layers}
    if network.spiking_input and "input" not in shapes:
        raise InputError(
            "does not hold the spikes of its input",
            "; record it again with spikesam.record(…, network=…), which records them, too",
        )
    repeating = {layer.name for layer in network.layers if only_repeats(layer)}
    expected = [name for name in network.raster_names if name in shapes or name not in repeating]
    recorded_names = [name for name in shapes if name != "input" or network.spiking_input]
    names = dict(zip(expected, expected, strict=True))
    if not names.keys() <= shapes.keys() and len(recorded_names) == len(expected):
        names = dict(
            zip(expected, recorded_names, strict=True)
        )  # of other names, but perhaps the same layers
    for name, recorded_name in names.items():
        if recorded_name not in shapes:
            raise InputError(
                f"holds layers {', '.join(recorded_names)}, expected those of the network: "
                f"{', '.join(names)}"
            )
        if shapes[recorded_name] != network.shapes[network.place(name)]:
            sides = by_sides(network.shapes[network.place(name)])
            raise InputError(
                f"layer {recorded_name!r} is {by_sides(shapes[recorded_name])}, {sides} in the "
                "network"
            )
    return names
