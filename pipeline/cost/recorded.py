"""The network that fired a recording, as far as it is at hand."""

from __future__ import annotations

from typing import Any

from spikesam.backends.network import Network
from spikesam.pipeline.networks.recorded import BESIDE, fired_by, unlike
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader


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
    if given is None and not raster.header.network_sha256:
        return None, "the recording does not say which network fired"
    if given is None and (raster.path is None or not raster.path.with_name(BESIDE).is_file()):
        return None, "the network is not at hand"
    network = fired_by(raster, given)
    if not (reason := unlike(raster, network)):
        return network, ""
    if given is None:
        return None, f"the recording {reason}"
    raise InputError(f"{raster.where}: {reason}; operations are counted where all layers of the network are recorded")
