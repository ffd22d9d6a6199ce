"""A raster file from arrays or lists of spikes, whatever made them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.disk import writing
from spikesam.common.errors import InputError, at
from spikesam.common.lock import file_lock
from spikesam.recordings.raster.batch import (
    FIRED_ADVICE,
    RasterBatch,
    as_bits,
    counts_as_fired,
    whole_numbers,
)
from spikesam.recordings.raster.events import SpikeEvents
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.raster.writer import encode_samples, refuse_existing, remove_unfinished
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.writer import writing_samples

BATCH = 16  # samples that are packed at a time


@checked_arguments(
    layers='layers by name, such as {"conv1": spikes}',
    layer_delay="0 or 1 step",
    dt="seconds in a step",
)
def write_raster(
    path: Path | str,
    layers: Mapping[str, Any],
    *,
    labels: ArrayLike | None = None,
    index: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    counts: str | None = None,
    layer_delay: int = 0,
    dt: float | None = None,
    dataset: str = "",
    overwrite: bool = False,
) -> Path:
    """Write spikes as a raster file, which appears whole or not at all.

    Memory does not grow with the number of samples: arrays may be larger than it, such as those of
    `numpy.memmap`.

    Parameters
    ----------
    path : of the new file
    layers : name -> spikes (N, T, C, H, W), samples first, or (N, T, K) of a dense layer, in order
        of depth. NumPy or torch, bool or 0 and 1 of any dtype; or :class:`SpikeEvents`, which list
        the spikes, by steps or by times in seconds. A layer called "input" is the network's input
        and gets number 0; the others count from 1. A layer of one pixel counts as dense
    labels : (N,) int — class of each sample, -1 where unknown; all unknown if not given
    index : (N,) int — position of each sample in the data set; 0 … N-1 if not given
    predictions : (N,) int — class that the network chose, -1 where unknown; all unknown if not
        given
    counts : None to refuse other values than 0 and 1, and neurons that fire twice in a step;
        "fired" to record of such counts that there were any
    layer_delay : 1 if each layer passes its spikes on one step later, 0 if in the same step;
        decides which steps matter
    dt : seconds in a step; if not given those of spikes that were given by their times, else 0.001
    dataset : name of the data, such as "CIFAR-10"
    overwrite : replace an existing file

    Returns
    -------
    the path

    Raises
    ------
    InputError : if spikes are other values than 0 and 1, shapes do not fit together, a name is
        none, or the file exists or cannot be written

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> spikes = np.zeros((2, 5, 3, 4, 4), bool)  # 2 samples, 5 steps, 3 channels of 4×4 neurons
    >>> spikes[0, 1, 2, 3, 3] = True
    >>> path = spikesam.write_raster("c.h5", {"conv1": spikes}, overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["conv1"].counts.tolist()
    [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    with at("write_raster"):
        fired = counts_as_fired(counts)
    n_samples, timesteps = _common_sizes(layers)
    listed = {name: spikes for name, spikes in layers.items() if isinstance(spikes, SpikeEvents)}
    merged = {name: events.merged for name, events in listed.items() if events.merged}
    header = RasterHeader(
        backend="arrays",
        device="",
        precision="float32",
        timesteps=timesteps,
        dt=_seconds_in_a_step(dt, listed),
        dataset=dataset,
        config=json.dumps({"merged": merged} if merged else {}),
        layers=layer_specs({name: tuple(spikes.shape[2:]) for name, spikes in layers.items()}),
        layer_delay=layer_delay,
    )
    with at("write_raster: index"):
        positions = (
            np.arange(n_samples) if index is None else whole_numbers(index, n_samples, np.int64)
        )
    with at("write_raster: labels"):
        classes = _classes(labels, n_samples)
    with at("write_raster: predictions"):
        chosen = _classes(predictions, n_samples).astype(np.int32)
    samples = SampleTable(positions, classes)
    new = writing_samples(path, header, samples, overwrite=overwrite, run_uuid=str(uuid.uuid4()))
    with file_lock(path), writing(path), new as writer:
        for start in range(0, n_samples, BATCH):
            rows = slice(start, min(start + BATCH, n_samples))
            packed = {
                layer.name: _packed(layer, layers[layer.name], rows, fired)
                for layer in header.layers
            }
            nothing = np.empty((rows.stop - start, 0), np.float32)
            batch = RasterBatch(packed, nothing, chosen[rows])
            writer.add(start, list(encode_samples(header, batch, range(start, rows.stop))))
    remove_unfinished(path)
    return path


def _common_sizes(layers: Mapping[str, Any]) -> tuple[int, int]:
    """N and T, which all layers share."""
    if not layers:
        raise InputError("write_raster: got no layer, expected at least one")
    first = next(iter(layers))
    for name, spikes in layers.items():
        shape = tuple(getattr(spikes, "shape", ()))
        if len(shape) not in (3, 5):
            got = f"shape {shape}" if hasattr(spikes, "shape") else type(spikes).__name__
            raise InputError(
                f"write_raster: layer {name!r}: got {got}, expected (N, T, C, H, W), or (N, T, "
                "K) if dense"
            )
        if not all(shape):
            raise InputError(
                f"write_raster: layer {name!r}: got shape {shape}, expected no side of 0"
            )
        if shape[:2] != tuple(layers[first].shape[:2]):
            raise InputError(
                f"write_raster: layer {name!r}: got {shape[0]} samples and {shape[1]} steps, "
                f"expected {layers[first].shape[0]} and {layers[first].shape[1]}, as layer "
                f"{first!r} has"
            )
    return int(layers[first].shape[0]), int(layers[first].shape[1])


def _seconds_in_a_step(dt: float | None, layers: Mapping[str, SpikeEvents]) -> float:
    """The argument, or what layers of spikes by their times say, who must agree; else a
    millisecond.
    """
    seconds = dt
    for name, events in layers.items():
        if events.dt is not None and seconds not in (None, events.dt):
            raise InputError(
                f"write_raster: layer {name!r}: has steps of {events.dt:g} s, expected "
                f"{seconds:g} s"
            )
        seconds = events.dt if seconds is None else seconds
    return 1e-3 if seconds is None else float(seconds)


def layer_specs(shapes: Mapping[str, tuple[int, ...]]) -> tuple[LayerSpec, ...]:
    """Layers of which only shapes are known, (C, H, W) or (K,), in order of depth, the one called
    "input" first.
    """
    names = sorted(
        shapes, key=lambda name: name != "input"
    )  # a stable order: the others stay as they are
    specs = []
    for number, name in enumerate(names, 0 if "input" in shapes else 1):
        channels, height, width = (*map(int, shapes[name]), 1, 1)[:3]
        kind = "input" if number == 0 else "conv" if height * width > 1 else "dense"
        specs.append(
            LayerSpec(name, number, (channels, height, width), kind, threshold=0.0, leak=0.0)
        )
    return tuple(specs)


def _packed(layer: LayerSpec, spikes: Any, rows: slice, fired: bool) -> NDArray[np.uint8]:
    """Pack some samples of a layer: of (N, T, …) of 0 and 1, array or tensor, or of events -> (B,
    T, bytes) uint8.
    """

    def place_of(index: tuple[int, ...]) -> str:
        return f"write_raster: layer {layer.name!r}" + (
            f", sample {rows.start + index[0]}" if index else ""
        )

    if isinstance(spikes, SpikeEvents):
        return spikes.packed(rows, place_of, fired=fired)
    bits = as_bits(spikes[rows], place_of, fired=fired, advice=FIRED_ADVICE)
    return np.packbits(bits.reshape(*bits.shape[:2], -1), axis=-1)


def _classes(values: Any, n_samples: int) -> NDArray[Any]:
    """(N,) classes, all unknown if none are given."""
    if values is None:
        return np.full(n_samples, -1)
    return whole_numbers(values, n_samples, np.int32)
