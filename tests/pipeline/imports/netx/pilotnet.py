"""PilotNet as lava-dl trained it, and what Lava recorded of it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import spikesam

NAMES = (
    "input",
    *(f"conv-{number}" for number in range(5)),
    *(f"fc-{number}" for number in range(3)),
)


def recorded(folder: Path, name: str) -> NDArray[np.bool_]:
    """(T, C, H, W) of a layer of PilotNet, whose files are (x, y, channel, step) or (neuron,
    step).
    """
    bits = np.load(folder / f"pilotnet_lif/{name}.npy")
    return bits.transpose(3, 2, 1, 0) if bits.ndim == 4 else bits.T[..., None, None]


def pixels(image: NDArray[np.integer]) -> NDArray[np.float64]:
    """(x, y, channel) integers that an input layer is given, as an image (1, C, H, W)."""
    return image.transpose(2, 1, 0)[None] * 2 / 127


def pilotnet(folder: Path) -> spikesam.Network:
    return spikesam.from_netx(folder / "pilotnet_lif/network.net")
