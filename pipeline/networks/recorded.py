"""The network that a raster was recorded from."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network
from spikesam.recordings.errors import InputError, did_you_mean
from spikesam.recordings.files import refuse_links
from spikesam.recordings.parsing import parse_json
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.text import LONGEST_NAME, printable, shorten, told_apart

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint

BESIDE = "network.safetensors"


def recorded_network(raster: RasterReader, given: Any = None) -> Network:
    """The network of a raster that holds all of its layers: `given`, or `network.safetensors` beside it."""
    if not raster.header.network_sha256:
        raise InputError(f"{raster.where}: does not say which network fired it", "give-network")
    network = fired_by(raster, given)
    header, reason = raster.header, unlike(raster, network)
    for what, found, says in (
        ("steps", header.timesteps, network.timesteps),
        ("outputs", header.classes or network.classes, network.classes),  # none were recorded, perhaps
    ):
        reason = reason or (f"has {found} {what}, {says} in the network" if found != says else "")
    if reason:
        raise InputError(f"{raster.where}: {reason}")
    return network


def fired_by(raster: RasterReader, given: Any = None) -> Network:
    """The network that fired a raster, in its precision; the raster need not hold all of its layers."""
    if given is None:
        if raster.path is not None:
            refuse_links(raster.path.parent, [BESIDE])
            given = raster.path.with_name(BESIDE)
        if given is None or not given.is_file():
            raise InputError(f"{raster.where}: no {BESIDE} lies beside it", "give-network")
    if isinstance(given, (str, PathLike)):
        from spikesam.pipeline.networks.checkpoint_files import find_checkpoint  # here, because pydantic takes a while

        path = find_checkpoint(str(given))
        where, network = str(path), read_network(path)[0]
    else:
        where, network = "network", getattr(given, "network", given)  # of a checkpoint
    if not isinstance(network, Network):
        raise InputError(f"network: got {type(given).__name__}, expected a Network, a checkpoint, its name or its file")
    network.check_spiking(where)
    network = quantise(network) if raster.header.precision == "fixed" else network
    recorded = raster.header.network_sha256
    if recorded and network.sha256 != recorded:
        raise InputError(
            f"{where}: network {network.sha256[:12]}, but {raster.where} was recorded from {recorded[:12]}; "
            f"give the {BESIDE} of that run as network"
        )
    return network


def loaded_network(given: Any, refusal: str) -> Network | Checkpoint:
    """A network by name or file, or as it is; `refusal` is said of what does not spike, {} being its type."""
    # Here, because pydantic takes a while.
    from spikesam.pipeline.networks.checkpoint import Checkpoint, load_checkpoint
    from spikesam.pipeline.networks.checkpoint_files import find_checkpoint

    if not isinstance(given, (str, PathLike)):
        if not isinstance(given, (Network, Checkpoint)):
            raise InputError(refusal.format(type(given).__name__))
        (given if isinstance(given, Network) else given.network).check_spiking("network")
        return given
    path = find_checkpoint(str(given), "snn")
    network, metadata = read_network(path)
    network.check_spiking(str(path))
    return load_checkpoint(path) if "checkpoint" in metadata else network


def class_names_of(raster: RasterReader, given: Any = None) -> tuple[str, ...]:
    """Names of the classes of a raster: those that it was recorded with, or of a checkpoint, or none."""
    from spikesam.pipeline.images.pictures import pictures_beside  # here, because pydantic takes a while
    from spikesam.pipeline.networks.checkpoint_files import find_checkpoint

    if (shown := pictures_beside(raster, 0)) is not None and shown.class_names:
        return shown.class_names
    if given is None and raster.path is not None and raster.path.with_name(BESIDE).is_file():
        given = raster.path.with_name(BESIDE)
    if isinstance(given, (str, PathLike)):
        about = parse_json(read_network(find_checkpoint(str(given)))[1].get("checkpoint", "{}"), "checkpoint metadata")
        return tuple(told_apart(map(str, about.get("class_names", ()))))
    return tuple(told_apart(getattr(given, "class_names", ())))


def find_class(asked: str | int, classes: int, names: Sequence[str]) -> int:
    """The number of a class of so many, by its name or number; an InputError says which there are."""
    if isinstance(asked, str) and asked in names:
        return names.index(asked)
    number = int(asked) if isinstance(asked, int) or (asked.isascii() and asked.isdigit()) else -1
    if 0 <= number < classes:
        return number
    near = did_you_mean(str(asked), names)
    known = f"one of {shorten(names)}, or " * bool(names)
    raise InputError(
        f"no class {printable(repr(asked), LONGEST_NAME)}, expected {known}0 to {classes - 1}{near}", argument="target"
    )


def network_specs(network: Network) -> tuple[LayerSpec, ...]:
    """The layers of a raster of a network."""
    about = [
        (layer.kind, _constant(layer.spiking_neuron.threshold), _constant(layer.spiking_neuron.leak))
        for layer in network.layers
    ]
    if network.spiking_input:
        about.insert(0, ("input", 0.0, 0.0))
    rasters = enumerate(zip(network.raster_names, network.raster_shapes, about, strict=True), network.first_raster)
    ways = dict.fromkeys(network.raster_names) if network.is_chain else network.to_readout
    return tuple(LayerSpec(name, number, shape, *each, ways[name]) for number, (name, shape, each) in rasters)


def _constant(constant: Any) -> float:
    """A constant of all neurons of a layer; 0 where channels differ."""
    return 0.0 if np.ndim(constant) else float(constant)


def unlike(raster: RasterReader, network: Network) -> str:
    """How a raster is unlike what the network fires; "" if it holds all layers."""
    if layer := unlike_layer(raster, network):
        return f"layer {layer.name!r} is {layer.shape}, {network.shape_of[layer.name]} in the network"
    if tuple(raster) != network.raster_names:
        return f"holds layers {', '.join(raster)}, expected all of the network: {', '.join(network.raster_names)}"
    return ""


def unlike_layer(raster: RasterReader, network: Network) -> LayerSpec | None:
    """The first layer of a raster whose maps are of another size in the network, if there is one."""
    return next(
        (layer for layer in raster.layers if network.shape_of.get(layer.name, layer.shape) != layer.shape), None
    )
