"""A raster file from arrays of spikes, whatever made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.disk import reason, write_file
from recordings.errors import InputError
from recordings.schema import SampleTable

from .batch import RasterBatch
from .bits import as_bits, on_cpu
from .memory import MemoryWriter
from .schema import LayerSpec, RasterHeader

WHERE = "write_raster"
BATCH = 16  # samples that are packed at a time


def write_raster(
    path: Path | str,
    layers: Mapping[str, Any],
    *,
    labels: Any = None,
    index: Any = None,
    predictions: Any = None,
    layer_delay: int = 0,
    dataset: str = "",
    overwrite: bool = False,
) -> Path:
    """Write spikes as a raster file, which appears whole or not at all.

    Parameters
    ----------
    path : of the new file
    layers : name -> spikes (N, T, C, H, W), samples first, or (N, T, K) of a dense layer, in order of depth. NumPy or
        torch, bool or 0 and 1 of any dtype. A layer called "input" is the network's input and gets number 0; the others
        count from 1. A layer of one pixel counts as dense
    labels : (N,) int — class of each sample, -1 where unknown; all unknown if not given
    index : (N,) int — position of each sample in the data set; 0 … N-1 if not given
    predictions : (N,) int — class that the network chose, -1 where unknown; all unknown if not given
    layer_delay : 1 if each layer passes its spikes on one step later, 0 if in the same step; decides which steps matter
    dataset : what the samples are, such as "CIFAR-10"
    overwrite : replace an existing file

    Returns
    -------
    the path

    Raises
    ------
    InputError : if spikes are other values than 0 and 1, shapes do not fit together, a name is none, or the file exists
        or cannot be written

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> spikes = np.zeros((2, 5, 3, 4, 4), bool)  # 2 samples, 5 steps, 3 channels of 4×4 neurons
    >>> spikes[0, 1, 2, 3, 3] = True
    >>> path = spikesam.write_raster("c.h5", {"conv1": spikes})
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["conv1"].counts.tolist()
    [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    """
    if not isinstance(layers, Mapping):
        raise InputError(f'{WHERE}: got {type(layers).__name__}, expected layers by name, such as {{"conv1": spikes}}')
    path = Path(path)
    if path.exists() and not (overwrite and path.is_file()):
        advice = "choose another name, or pass overwrite=True" if path.is_file() else "expected the name of a file"
        raise InputError(f"{path}: already exists; {advice}")
    n_samples, timesteps = _common_sizes(layers)
    header = RasterHeader(
        backend="arrays",
        device="",
        precision="float32",
        timesteps=timesteps,
        dt=1e-3,
        seed=0,
        network_sha256="",
        dataset=dataset,
        config="{}",
        layers=_layer_specs(layers),
        classes=0,
        readout_scale=1.0,
        layer_delay=layer_delay,
    )
    samples = SampleTable(
        np.arange(n_samples) if index is None else _integers("index", index, n_samples),
        np.full(n_samples, -1) if labels is None else _integers("labels", labels, n_samples),
    )
    chosen = np.full(n_samples, -1) if predictions is None else _integers("predictions", predictions, n_samples)
    writer = MemoryWriter(header, samples)
    for start in range(0, n_samples, BATCH):
        rows = slice(start, start + BATCH)
        packed = {layer.name: _packed(layer, layers[layer.name][rows], start) for layer in header.layers}
        nothing = np.empty((len(chosen[rows]), 0), np.float32)
        writer.append(RasterBatch(packed, nothing, chosen[rows].astype(np.int32)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, writer.finalize())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free space or choose another name") from error
    return path


def _common_sizes(layers: Mapping[str, Any]) -> tuple[int, int]:
    """N and T, which all layers share."""
    if not layers:
        raise InputError(f"{WHERE}: got no layer, expected at least one")
    first = next(iter(layers))
    for name, spikes in layers.items():
        shape = tuple(getattr(spikes, "shape", ()))
        if len(shape) not in (3, 5):
            found = f"shape {shape}" if hasattr(spikes, "shape") else type(spikes).__name__
            raise InputError(f"{WHERE}: layer {name!r}: got {found}, expected (N, T, C, H, W), or (N, T, K) if dense")
        if not all(shape):
            raise InputError(f"{WHERE}: layer {name!r}: got shape {shape}, expected no side of 0")
        if shape[:2] != tuple(layers[first].shape[:2]):
            raise InputError(
                f"{WHERE}: layer {name!r}: got {shape[0]} samples and {shape[1]} steps, "
                f"expected {layers[first].shape[0]} and {layers[first].shape[1]}, as layer {first!r} has"
            )
    return int(layers[first].shape[0]), int(layers[first].shape[1])


def _layer_specs(layers: Mapping[str, Any]) -> tuple[LayerSpec, ...]:
    """The layers in order of depth, the input first."""
    names = sorted(layers, key=lambda name: name != "input")  # a stable order: the others stay as they are
    specs = []
    for number, name in enumerate(names, 0 if "input" in layers else 1):
        channels, height, width = (*map(int, layers[name].shape[2:]), 1, 1)[:3]
        kind = "input" if number == 0 else "conv" if height * width > 1 else "dense"
        specs.append(LayerSpec(name, number, (channels, height, width), kind, threshold=0.0, leak=0.0))
    return tuple(specs)


def _packed(layer: LayerSpec, spikes: Any, start: int) -> NDArray[np.uint8]:
    """Pack samples from position `start` on: (B, T, …) of 0 and 1, array or tensor -> (B, T, bytes) uint8."""

    def where(place: tuple[int, ...]) -> str:
        return f"{WHERE}: layer {layer.name!r}" + (f", sample {start + place[0]}" if place else "")

    bits = as_bits(spikes, where)
    return np.packbits(bits.reshape(*bits.shape[:2], -1), axis=-1)


def _integers(name: str, values: Any, n_samples: int) -> NDArray[Any]:
    """(N,) integers that fit the file, as many as there are samples."""
    array = np.asarray(on_cpu(values))
    if array.shape != (n_samples,) or array.dtype.kind not in "iu":
        found = f"shape {array.shape} of {array.dtype}"
        raise InputError(f"{WHERE}: {name}: got {found}, expected {n_samples} whole numbers, one for each sample")
    most = np.iinfo(np.int64 if name == "index" else np.int32).max
    if array.min() < -1 or array.max() > most:
        raise InputError(f"{WHERE}: {name}: got {array.min()} to {array.max()}, expected -1 to {most}")
    return array
