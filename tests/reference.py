"""The worked network of the reference data, as a Network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backends.network import LIF, Layer, Network, Readout


def reference_network(shared: Path) -> tuple[Network, Any]:
    """The float network of `reference/neuron.npz`, and the file's arrays."""
    arrays = np.load(shared / "reference" / "neuron.npz")
    layers = []
    for number in range(1, 5):
        part = {
            name: arrays[f"layer{number}_float_{name}"] for name in ("w", "pool", "leak", "g", "b", "threshold")
        }
        neuron = LIF(float(part["leak"]), float(part["threshold"]), part["g"], part["b"])
        convolution = part["w"].ndim == 4
        name = f"conv{number}" if convolution else f"fc{number}"
        layers.append(Layer(name, part["w"], neuron, pool=int(part["pool"]), padding=int(convolution)))
    return Network((6, 12, 8), 16, tuple(layers), Readout(arrays["w_out"])), arrays
