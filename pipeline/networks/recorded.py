"""The network that a raster was recorded from."""

from __future__ import annotations

from os import PathLike

from backends.network import Network
from backends.network.quantise import quantise
from backends.network.storage import read_network
from recordings.errors import InputError
from recordings.files import refuse_links
from recordings.raster.reader import RasterReader

BESIDE = "network.safetensors"


def recorded_network(raster: RasterReader, given: str | PathLike[str] | Network | None = None) -> Network:
    """The network that a raster was recorded from, in the raster's precision.

    Parameters
    ----------
    given : the network, or the name of a bundled one, a checkpoint or network file; `network.safetensors` beside the
        raster if not given

    Raises
    ------
    InputError : if there is none, it is another network, or the raster does not hold all of its layers
    """
    from .checkpoint_files import find_checkpoint  # here, because pydantic takes a while

    recorded = raster.header.network_sha256
    if not recorded:
        raise InputError(f"{raster.where}: does not say which network it was recorded from, expected a raster of a run")
    if isinstance(given, Network):
        where, network = "network", given
    else:
        if given is None and raster.path is not None:
            refuse_links(raster.path.parent, [BESIDE])
            given = str(raster.path.with_name(BESIDE))
        path = find_checkpoint(str(given))
        where, network = str(path), read_network(path)[0]
    if raster.header.precision == "fixed":
        network = quantise(network)
    if network.sha256 != recorded:
        raise InputError(
            f"{where}: network {network.sha256[:12]}, but {raster.where} was recorded from {recorded[:12]}; "
            "give the network.safetensors of that run as network"
        )
    names = tuple(raster)
    if names != network.raster_names:
        raise InputError(
            f"{raster.where}: holds layers {', '.join(names)}, expected all of the network: "
            f"{', '.join(network.raster_names)}"
        )
    return network
