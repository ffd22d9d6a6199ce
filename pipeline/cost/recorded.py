"""The network that fired a recording, as far as it is at hand."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from backends.network import Network
from backends.network.quantise import quantise
from backends.network.storage import read_network
from recordings.errors import InputError
from recordings.files import refuse_links
from recordings.raster.reader import RasterReader

NAME = "network.safetensors"


def network_of(raster: RasterReader, given: Any = None) -> tuple[Network | None, str]:
    """The network of a raster, in the raster's precision, or None and why it is not known.

    Parameters
    ----------
    given : a network, a checkpoint, a bundled name or a file; if None, the file beside the raster, if there is one.
        A raster that does not say what fired it takes any network whose layers have its names and shapes

    Raises
    ------
    InputError : if it is another network than the raster's, an ANN, damaged, or lacks layers that the raster should
        hold
    """
    recorded = raster.header.network_sha256
    if given is not None:
        network, where = _read(given)
    elif not recorded:
        return None, "the recording does not say which network fired"
    elif raster.path is None or not (path := raster.path.with_name(NAME)).is_file():
        return None, "the network is not at hand"
    else:
        refuse_links(path.parent, [NAME])
        network, where = _read(path)
    network.check_spiking(where)
    if raster.header.precision == "fixed":
        network = quantise(network)
    if recorded and network.sha256 != recorded:
        raise InputError(
            f"{where}: network {network.sha256[:12]}, but {raster.where} was recorded from {recorded[:12]}; give the "
            f"{NAME} of that run"
        )
    held = {layer.name: layer.shape for layer in raster.layers}
    expected = dict(zip(network.raster_names, network.raster_shapes, strict=True))
    if held == expected:
        return network, ""
    if given is None:
        return None, "the recording does not hold all layers of the network"
    missing = [name for name in expected if name not in held]
    wrong = next((name for name in expected if name in held and held[name] != expected[name]), None)
    found = (
        f"layer {wrong!r} is {held[wrong]}, {expected[wrong]} in the network"
        if wrong
        else f"holds layers {', '.join(held)}, expected {', '.join(missing or expected)}{' as well' * bool(missing)}"
    )
    raise InputError(f"{raster.where}: {found}; operations are counted where all layers of the network are recorded")


def _read(given: Any) -> tuple[Network, str]:
    """The network, and what a message calls it."""
    if isinstance(given, (str, PathLike)):
        from pipeline.networks.checkpoint_files import find_checkpoint  # here, because pydantic takes a while

        path = Path(find_checkpoint(str(given)))
        return read_network(path)[0], str(path)
    network = getattr(given, "network", given)
    if not isinstance(network, Network):
        raise InputError(f"energy: network is {type(network).__name__}, expected a Network, a checkpoint or its file")
    return network, "energy"
