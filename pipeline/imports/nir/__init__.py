"""NIR, the Neuromorphic Intermediate Representation: networks of other programs, in Euler steps of
`dt` seconds.
"""

from __future__ import annotations

from typing import Any

from spikesam.common.errors import InputError

KEY = "spikesam"  # of what NIR itself cannot say, in the metadata of nodes and graphs
# seconds in a step, where nothing says otherwise: the convention of snnTorch's and SpikingJelly's
# files
DT = 1e-4


def nir_library() -> Any:
    """The module `nir`, an optional extra; an InputError if it is not installed, or lacks what NIR
    1.0.8 brought.
    """
    try:
        import nir
    except ImportError:
        raise InputError(
            "NIR files need the library nir, which is not installed; pip install 'spikesam[nir]'"
        ) from None
    if not hasattr(nir, "NIRGraphData"):
        raise InputError(
            "NIR files need nir 1.0.8 or newer; pip install --no-deps nir==1.0.8 (sinabs 3.1 works "
            "with it)"
        )
    return nir
