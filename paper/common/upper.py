"""The part of a network behind a layer: what that layer's spikes become, without what made them."""

from __future__ import annotations

from backends.network import Network
from recordings.errors import InputError


def upper_network(network: Network, layer: str) -> Network:
    """A network that is given the spikes of a layer, or of the input, and answers as the whole network does.

    Every layer takes a step to pass spikes on, as the input does. So the recorded spikes of a layer, as an input, cause
    the same spikes behind it, bit for bit. The last layer has nothing behind it.
    """
    number = network.first_raster + network.raster_names.index(layer) if layer in network.raster_names else None
    if number is None or number == len(network.layers):
        raise InputError(f"layer {layer!r}: expected one of {', '.join(network.raster_names[:-1])}")
    return Network(network.shapes[number], network.timesteps, network.layers[number:], network.readout, "spikes")
