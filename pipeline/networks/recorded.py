"""The network that a raster was recorded from."""

from __future__ import annotations

from os import PathLike
from typing import Any

from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.backends.network.storage import read_network
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import refuse_links
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import LayerSpec

BESIDE = "network.safetensors"


def recorded_network(raster: RasterReader, given: Any = None) -> Network:
    """The network of a raster that holds all of its layers, in the raster's precision.

    `given` is a network, a checkpoint, a bundled name or a file; `network.safetensors` beside the raster if None. An
    InputError if there is none, it is another network, or layers are missing.
    """
    if not raster.header.network_sha256:
        raise InputError(f"{raster.where}: does not say which network it was recorded from, expected a raster of a run")
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
    """The network that fired a raster, in the raster's precision; the raster need not hold all of its layers.

    `given` as of :func:`recorded_network`; any spiking network for a raster that does not say what fired it. An
    InputError if there is none, it is an ANN, damaged, or another network than the raster says.
    """
    if given is None and raster.path is not None:
        refuse_links(raster.path.parent, [BESIDE])
        given = raster.path.with_name(BESIDE)
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
