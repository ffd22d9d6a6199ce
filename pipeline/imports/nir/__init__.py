"""NIR, the Neuromorphic Intermediate Representation: networks from and for other programs.

A NIR file is a graph of nodes with equations in continuous time. One step here is one Euler step of `dt` seconds; see
neurons.py. What NIR cannot say, :func:`to_nir` writes into the metadata of nodes, under :data:`KEY`, where
:func:`from_nir` finds it. What a network cannot hold is refused by a NetworkError that names the node.
"""

from __future__ import annotations

from typing import Any

from spikesam.recordings.errors import InputError

KEY = "spikesam"  # of what NIR itself cannot say, in the metadata of nodes and graphs
DT = 1e-4  # seconds in a step, where nothing says otherwise: the convention of snnTorch's and SpikingJelly's files


def nir_library() -> Any:
    """The module `nir`, an optional extra; an InputError if it is not installed, or lacks what NIR 1.0.8 brought."""
    try:
        import nir
    except ImportError:
        raise InputError(
            "NIR files need the library nir, which is not installed; pip install 'spikesam[nir]'"
        ) from None
    if not hasattr(nir, "NIRGraphData"):
        raise InputError(
            "NIR files need nir 1.0.8 or newer; pip install --no-deps nir==1.0.8 (sinabs 3.1 works with it)"
        )
    return nir
