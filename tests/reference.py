"""What backends are checked against: the worked network of the reference data, and step.py, step by
step.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import LIF, Conv, Dense, Input, Layer, Network, Readout
from spikesam.backends.network.step import Neurons, arrived, current_of
from spikesam.backends.readout import integrate


def reference_network(shared: Path) -> tuple[Network, Any]:
    """The float network of `reference/neuron.npz`, and the file's arrays."""
    arrays = np.load(shared / "reference" / "neuron.npz")
    layers = []
    for number in range(1, 5):
        part = {
            name: arrays[f"layer{number}_float_{name}"]
            for name in ("w", "pool", "leak", "g", "b", "threshold")
        }
        neuron = LIF(float(part["leak"]), float(part["threshold"]), bias=part["b"])
        convolution = part["w"].ndim == 4
        name = f"conv{number}" if convolution else f"fc{number}"
        pool = int(part["pool"])
        synapse = (
            Conv(part["w"], pool=pool, padding=1) if convolution else Dense(part["w"], pool=pool)
        )
        given = Input(synapse, gain=part["g"])
        layers.append(Layer(name, given, neuron))
    return Network((6, 12, 8), 16, tuple(layers), Readout(arrays["w_out"])), arrays


def simulate_reference(
    network: Network, inputs: NDArray[Any], forced: Mapping[str, NDArray[np.bool_]] | None = None
) -> tuple[list[NDArray[np.bool_]], NDArray[Any]]:
    """Run the equations layer by layer, slowly, int64 in fixed point, float64 otherwise: all
    rasters, (B, classes).

    Inputs are (T, B, C, H, W) bool spikes, or int8 numbers of a current, (B, C, H, W) of a constant
    one; `forced` are the spikes that a layer fires whatever its membranes.
    """
    steps, dtype = network.timesteps, np.int64 if network.precision == "fixed" else np.float64
    if network.encoder == "constant-current":
        inputs = np.broadcast_to(inputs, (steps, *inputs.shape))
    shapes = zip(network.layers, network.shapes[1:], strict=True)
    rasters = {"input": inputs}
    rasters |= {
        layer.name: np.zeros((*inputs.shape[:2], *shape), np.bool_) for layer, shape in shapes
    }
    # A number of the input in float32, of which fixed point has the factor in its gains; see
    # input_currents.py.
    unit = 1 if dtype is np.int64 else network.input_range / 2 / 127
    readout = np.zeros((inputs.shape[1], network.classes))
    for sample in range(inputs.shape[1]):
        fired = {name: raster[:, sample] for name, raster in rasters.items()}
        neurons = [
            Neurons(layer.spiking_neuron, layer.inputs, fired[layer.name].shape[1:], dtype)
            for layer in network.layers
        ]
        for t in range(steps):
            for place, (layer, own) in enumerate(zip(network.layers, neurons, strict=True)):
                if t:
                    currents = [
                        current_of(given, arrived(given, fired, t))
                        * (unit if (place, number) in network.driven else 1)
                        for number, given in enumerate(layer.inputs)
                    ]
                    own.step(t, currents, fired[layer.name][t - 1])
                fires = (
                    own.fires if layer.name not in (forced or {}) else forced[layer.name][t, sample]
                )
                fired[layer.name][t] = fires
            driven = (
                network.readout.weight.astype(np.float64)
                @ fired[network.layers[-1].name][t].ravel()
            )
            readout[sample] = integrate(network.readout, driven[None], readout[sample], t)
    return list(rasters.values())[network.first_raster :], readout.astype(dtype)
