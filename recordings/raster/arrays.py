"""A raster file from arrays or lists of spikes, whatever made them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.recordings.disk import writing
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import file_lock
from spikesam.recordings.raster.batch import FIRED_ADVICE, RasterBatch, as_bits, counts_as_fired, on_cpu, whole_numbers
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.raster.writer import encode_samples, parts_of, refuse_existing
from spikesam.recordings.schema import SampleTable
from spikesam.recordings.text import brief
from spikesam.recordings.writer import writing_samples

BATCH = 16  # samples that are packed at a time


@dataclass(frozen=True, eq=False)
class SpikeEvents:
    """The spikes of one layer, one (sample, step, neuron) each, in any order.

    Parameters
    ----------
    sample, step, neuron : (E,) int, from 0 — in which sample, in which step, and who: the position in C-order over
        (C, H, W), which is ``numpy.ravel_multi_index((channel, row, column), (C, H, W))``
    shape : (N, T, C, H, W), or (N, T, K) of a dense layer — what an array of all these spikes would have

    Raises
    ------
    InputError : if they are no whole numbers, such as times in seconds, not equally many, or outside `shape`

    Examples
    --------
    >>> import spikesam
    >>> events = spikesam.SpikeEvents(sample=[0, 0, 1], step=[2, 3, 0], neuron=[7, 7, 1], shape=(2, 5, 8))
    >>> path = spikesam.write_raster("chip.h5", {"fc1": events}, overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["fc1"].counts.tolist()
    [[0, 0, 1, 1, 0], [1, 0, 0, 0, 0]]
    """

    sample: ArrayLike
    step: ArrayLike
    neuron: ArrayLike
    shape: tuple[int, ...]

    __repr__ = brief

    def __post_init__(self) -> None:
        shape = tuple(self.shape)
        if len(shape) not in (3, 5) or not all(isinstance(side, int | np.integer) and side > 0 for side in shape):
            raise InputError(f"SpikeEvents: shape: got {self.shape}, expected (N, T, C, H, W), or (N, T, K), above 0")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        sides = {"sample": self.shape[0], "step": self.shape[1], "neuron": self.neurons}
        columns = {name: _column(name, getattr(self, name), side) for name, side in sides.items()}
        if len({len(column) for column in columns.values()}) > 1:
            found = ", ".join(f"{len(column)} of {name}" for name, column in columns.items())
            raise InputError(f"SpikeEvents: got {found}, expected one of each for every spike")
        sample = columns["sample"]
        if (sample[1:] < sample[:-1]).any():
            order = np.argsort(sample, kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    @property
    def neurons(self) -> int:
        """C·H·W, or K."""
        return int(np.prod(self.shape[2:], dtype=object))

    def packed(self, rows: slice, where: Callable[[tuple[int, ...]], str], *, fired: bool) -> NDArray[np.uint8]:
        """Pack some samples as `batch.pack`: (B, T, bytes) uint8; `fired` allows a neuron twice in a step."""
        events = slice(*np.searchsorted(np.asarray(self.sample), (rows.start, rows.stop)))
        columns = (self.sample, self.step, self.neuron)
        sample, step, neuron = (np.asarray(column)[events].astype(np.int64) for column in columns)
        shape = (rows.stop - rows.start, self.shape[1], self.neurons)
        place = (sample - rows.start, step, neuron)
        flat = np.ravel_multi_index(place, shape)
        if not fired:
            once, times = np.unique(flat, return_counts=True)
            if (several := once[times > 1]).size:
                at, t, who = np.unravel_index(several[0], shape)
                twice = f"{where((int(at),))}: neuron {who} fires more than once in step {t}"
                raise InputError(f"{twice}, expected at most once{FIRED_ADVICE}")
        packed = np.zeros((*shape[:2], -(-shape[2] // 8)), np.uint8)
        np.bitwise_or.at(packed, (*place[:2], neuron // 8), (128 >> neuron % 8).astype(np.uint8))
        return packed


def _column(name: str, values: Any, side: int) -> NDArray[Any]:
    """(E,) whole numbers from 0 to below `side`."""
    column = np.asarray(on_cpu(values))
    if column.ndim == 1 and not column.size:
        return column.astype(np.int64)
    if column.ndim != 1 or column.dtype.kind not in "iu":
        advice = "; for times, give the number of the step" if name == "step" and column.dtype.kind == "f" else ""
        raise InputError(
            f"SpikeEvents: {name}: got shape {column.shape} of {column.dtype}, expected (E,) whole numbers{advice}"
        )
    if (wrong := np.flatnonzero((column < 0) | (column >= side))).size:
        first = wrong[0]
        raise InputError(f"SpikeEvents: {name}: got {column[first]} for spike {first}, expected 0 to {side - 1}")
    return column


def write_raster(
    path: Path | str,
    layers: Mapping[str, Any],
    *,
    labels: Any = None,
    index: Any = None,
    predictions: Any = None,
    counts: str | None = None,
    layer_delay: int = 0,
    dataset: str = "",
    overwrite: bool = False,
) -> Path:
    """Write spikes as a raster file, which appears whole or not at all.

    Memory does not grow with the number of samples: arrays may be larger than it, such as those of `numpy.memmap`.

    Parameters
    ----------
    path : of the new file
    layers : name -> spikes (N, T, C, H, W), samples first, or (N, T, K) of a dense layer, in order of depth. NumPy or
        torch, bool or 0 and 1 of any dtype; or :class:`SpikeEvents`, which list the spikes. A layer called "input" is
        the network's input and gets number 0; the others count from 1. A layer of one pixel counts as dense
    labels : (N,) int — class of each sample, -1 where unknown; all unknown if not given
    index : (N,) int — position of each sample in the data set; 0 … N-1 if not given
    predictions : (N,) int — class that the network chose, -1 where unknown; all unknown if not given
    counts : None to refuse other values than 0 and 1, and neurons that fire twice in a step; "fired" to record of such
        counts that there were any
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
    >>> path = spikesam.write_raster("c.h5", {"conv1": spikes}, overwrite=True)
    >>> with spikesam.open_raster(path) as raster:
    ...     raster["conv1"].counts.tolist()
    [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    """
    if not isinstance(layers, Mapping):
        raise InputError(
            f'write_raster: got {type(layers).__name__}, expected layers by name, such as {{"conv1": spikes}}'
        )
    path = Path(path)
    refuse_existing(path, overwrite)
    fired = counts_as_fired(counts, "write_raster")
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
        layers=layer_specs({name: tuple(spikes.shape[2:]) for name, spikes in layers.items()}),
        classes=0,
        readout_scale=1.0,
        layer_delay=layer_delay,
    )
    samples = SampleTable(
        np.arange(n_samples) if index is None else whole_numbers("write_raster: index", index, n_samples, np.int64),
        _classes("labels", labels, n_samples),
    )
    chosen = _classes("predictions", predictions, n_samples).astype(np.int32)
    new = writing_samples(path, header, samples, overwrite=overwrite, run_uuid=str(uuid.uuid4()))
    with file_lock(path), writing(path), new as writer:
        for start in range(0, n_samples, BATCH):
            rows = slice(start, min(start + BATCH, n_samples))
            packed = {layer.name: _packed(layer, layers[layer.name], rows, fired) for layer in header.layers}
            nothing = np.empty((rows.stop - start, 0), np.float32)
            batch = RasterBatch(packed, nothing, chosen[rows])
            writer.add(start, list(encode_samples(header, batch, range(start, rows.stop))))
    shutil.rmtree(parts_of(path), ignore_errors=True)  # which it replaces, too
    return path


def _common_sizes(layers: Mapping[str, Any]) -> tuple[int, int]:
    """N and T, which all layers share."""
    if not layers:
        raise InputError("write_raster: got no layer, expected at least one")
    first = next(iter(layers))
    for name, spikes in layers.items():
        shape = tuple(getattr(spikes, "shape", ()))
        if len(shape) not in (3, 5):
            found = f"shape {shape}" if hasattr(spikes, "shape") else type(spikes).__name__
            raise InputError(
                f"write_raster: layer {name!r}: got {found}, expected (N, T, C, H, W), or (N, T, K) if dense"
            )
        if not all(shape):
            raise InputError(f"write_raster: layer {name!r}: got shape {shape}, expected no side of 0")
        if shape[:2] != tuple(layers[first].shape[:2]):
            raise InputError(
                f"write_raster: layer {name!r}: got {shape[0]} samples and {shape[1]} steps, "
                f"expected {layers[first].shape[0]} and {layers[first].shape[1]}, as layer {first!r} has"
            )
    return int(layers[first].shape[0]), int(layers[first].shape[1])


def layer_specs(shapes: Mapping[str, tuple[int, ...]]) -> tuple[LayerSpec, ...]:
    """Layers of which only shapes are known, (C, H, W) or (K,), in order of depth, the one called "input" first."""
    names = sorted(shapes, key=lambda name: name != "input")  # a stable order: the others stay as they are
    specs = []
    for number, name in enumerate(names, 0 if "input" in shapes else 1):
        channels, height, width = (*map(int, shapes[name]), 1, 1)[:3]
        kind = "input" if number == 0 else "conv" if height * width > 1 else "dense"
        specs.append(LayerSpec(name, number, (channels, height, width), kind, threshold=0.0, leak=0.0))
    return tuple(specs)


def _packed(layer: LayerSpec, spikes: Any, rows: slice, fired: bool) -> NDArray[np.uint8]:
    """Pack some samples of a layer: of (N, T, …) of 0 and 1, array or tensor, or of events -> (B, T, bytes) uint8."""

    def where(place: tuple[int, ...]) -> str:
        return f"write_raster: layer {layer.name!r}" + (f", sample {rows.start + place[0]}" if place else "")

    if isinstance(spikes, SpikeEvents):
        return spikes.packed(rows, where, fired=fired)
    bits = as_bits(spikes[rows], where, fired=fired, advice=FIRED_ADVICE)
    return np.packbits(bits.reshape(*bits.shape[:2], -1), axis=-1)


def _classes(name: str, values: Any, n_samples: int) -> NDArray[Any]:
    """(N,) classes, all unknown if none are given."""
    if values is None:
        return np.full(n_samples, -1)
    return whole_numbers(f"write_raster: {name}", values, n_samples, np.int32)
