"""Small `.net` files, as lava-dl writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

LOIHI: dict[str, Any] = {
    "type": "LOIHI",
    "iDecay": 4096,
    "vDecay": 1024,
    "vThMant": 25,
    "refDelay": 1,
    "wgtExp": 0,
    "theta": 1600,
    "tauRho": 0.5,
    "scaleRho": 1.0,
}


def dense(weight: Any, neuron: dict[str, Any] | None = None, **about: Any) -> dict[str, Any]:
    """A dense layer, of neurons LOIHI with some changes."""
    weight = np.asarray(weight, np.float32)
    said = {
        "type": "dense",
        "shape": [len(weight)],
        "inFeatures": weight.shape[1],
        "outFeatures": len(weight),
    }
    return {**said, "weight": weight, "neuron": {**LOIHI, **(neuron or {})}, **about}


def conv(
    weight: Any, shape: Sequence[int], neuron: dict[str, Any] | None = None, **about: Any
) -> dict[str, Any]:
    """A convolution of (out, in, y, x) weights whose map is (C, H, W)."""
    weight = np.asarray(weight, np.float32)
    ways = {
        "stride": [1, 1],
        "padding": [0, 0],
        "dilation": [1, 1],
        "groups": 1,
        "kernelSize": weight.shape[2:],
    }
    said = {
        "type": "conv",
        "shape": shape,
        "inChannels": weight.shape[1],
        "outChannels": len(weight),
    }
    return {
        **said,
        **ways,
        "weight": weight[..., None],
        "neuron": {**LOIHI, **(neuron or {})},
        **about,
    }


def pixels(*shape: int, **neuron: Any) -> dict[str, Any]:
    """An input layer with neurons."""
    about = {"weight": np.float32([36]), "bias": np.float32([34])}
    return {"type": "input", "shape": shape, **about, "neuron": {**LOIHI, **neuron}}


def write_net(path: Path, layers: Sequence[dict[str, Any]], steps: int | None = None) -> Path:
    """Write a file; what is None is left out."""
    with h5py.File(path, "w") as file:
        file.create_group("layer")
        for number, layer in enumerate(layers):
            group = file.create_group(f"layer/{number}")
            group.create_dataset("type", (1,), "S10", [str(layer["type"]).encode()])
            for name, value in layer.items():
                if isinstance(value, dict):
                    for constant, each in value.items():
                        if each is not None:
                            group.create_dataset(f"{name}/{constant}", data=each)
                elif name != "type" and value is not None:
                    group.create_dataset(name, data=value)
        if steps is not None:
            file.create_dataset("simulation/Ts", data=1)
            file.create_dataset("simulation/tSample", data=steps)
    return path


def small_net(path: Path) -> Path:
    """An input layer, a convolution, two dense layers of which the last does not fire."""
    random = np.random.default_rng(0)
    weights = [2 * random.integers(-6, 13, shape) for shape in ((3, 2, 3, 3), (4, 24), (2, 4))]
    output = dense(weights[2], {"vDecay": 0, "vThMant": 131071})
    layers = [
        pixels(2, 4, 6),
        conv(weights[0], (3, 2, 4), bias=np.float32([2, -4, 0])),
        {"type": "flatten", "shape": [24, 1, 1]},
        dense(weights[1], bias=np.float32([1, 2, 3, 4])),
        output,
    ]
    return write_net(path, layers, 8)
