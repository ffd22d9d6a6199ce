"""The raster format in one table: every name, dtype, chunk rule and cap (FORMAT.md says the same in prose)."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.errors import InputError

FORMAT = "spike-raster"
SCHEMA_VERSION = 1

MAX_SHARD_SAMPLES = 16
SPIKE_CHUNK_BYTES = 1 << 20  # a chunk of spikes holds as many whole steps as fit, at least one
TABLE_CHUNK_BYTES = 1 << 16  # a chunk of any other dataset holds as many whole rows as fit, at least one

# Caps on what a file may declare, checked before anything of that size is allocated.
MAX_LAYERS = 256
MAX_SIZES = {"N": 1 << 24, "T": 1 << 16, "K": 1 << 16, "bytes": 1 << 24}
MAX_DATASET_BYTES = 1 << 30  # of a whole table; for spikes, of one sample of one layer
MAX_TEXT = 1 << 20  # characters of one text attribute

LAYER_NAME = re.compile(r"\d{3}_[A-Za-z_][A-Za-z0-9_]{0,63}")
PRECISIONS = {"fixed": np.dtype("<i4"), "float32": np.dtype("<f4")}  # and the dtype of the readout
KINDS = ("input", "conv", "dense")
SPIKE_AXES = "sample, step, bits of (channel, row, column)"

ROOT_ATTRIBUTES: dict[str, type] = {
    "format": str,
    "schema_version": int,
    "complete": bool,
    "run_uuid": str,
    "versions": str,  # JSON: distribution -> version
    "backend": str,
    "device": str,
    "precision": str,
    "T": int,
    "dt": float,  # seconds per step
    "seed": int,
    "network_sha256": str,
    "dataset": str,
    "config": str,  # JSON
    "raster_digest": str,
}
READOUT_ATTRIBUTES: dict[str, type] = {"scale": float}
LAYER_ATTRIBUTES: dict[str, type] = {"shape": tuple, "axes": str, "kind": str, "threshold": float, "leak": float}


class RasterError(InputError):
    """A raster file is not what it should be; the message names file, path in the file, finding and expectation."""


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset: its shape in symbols (N samples, T steps, K classes, bytes of one step), its dtype, its filters."""

    name: str
    axes: tuple[str, ...]
    dtype: np.dtype[Any]
    deflate: bool = False

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape in numbers."""
        return tuple(sizes[axis] for axis in self.axes)

    def chunks(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Spikes: (1, steps, bytes) with steps · bytes ≤ 1 MiB; tables: whole rows of ≤ 64 KiB in all; at least one."""
        count, *rest = self.shape(sizes)
        if self.deflate:
            steps, step_bytes = rest
            return (1, max(1, min(steps, SPIKE_CHUNK_BYTES // step_bytes)), step_bytes)
        row_bytes = math.prod(rest) * self.dtype.itemsize
        return (max(1, min(count, TABLE_CHUNK_BYTES // row_bytes)), *rest)


SAMPLE_DATASETS = {
    "index": DatasetSpec("index", ("N",), np.dtype("<i8")),
    "label": DatasetSpec("label", ("N",), np.dtype("<i4")),
    "prediction": DatasetSpec("prediction", ("N",), np.dtype("<i4")),
}
READOUT_DATASETS = {name: DatasetSpec("readout", ("N", "K"), dtype) for name, dtype in PRECISIONS.items()}
LAYER_DATASETS = {
    "spikes": DatasetSpec("spikes", ("N", "T", "bytes"), np.dtype("u1"), deflate=True),
    "count": DatasetSpec("count", ("N", "T"), np.dtype("<u4")),
    "digest": DatasetSpec("digest", ("N",), np.dtype("S64")),
}
ROOT_PATHS = {"samples", "readout", "layers"}


@dataclass(frozen=True)
class LayerSpec:
    """One raster of the file.

    Parameters
    ----------
    name : "001_conv1": its number in three digits, an underscore, an identifier
    shape : (C, H, W); dense layers (C, 1, 1)
    kind : "input", "conv" or "dense"
    threshold, leak : of its neurons, in the units of the simulation; both 0 for the input, which has none
    """

    name: str
    shape: tuple[int, int, int]
    kind: str
    threshold: float
    leak: float

    def __post_init__(self) -> None:
        where = f"layer {self.name!r}"
        if not LAYER_NAME.fullmatch(self.name):
            raise InputError(f"{where}: expected a name such as '001_conv1'")
        if self.kind not in KINDS:
            raise InputError(f"{where}: kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"{where}: shape is {self.shape}, expected positive (C, H, W)")
        if self.step_bytes > MAX_SIZES["bytes"]:
            raise InputError(f"{where}: {self.neurons:,} neurons, expected at most {8 * MAX_SIZES['bytes']:,}")
        if not (math.isfinite(self.threshold) and math.isfinite(self.leak)):
            raise InputError(f"{where}: threshold {self.threshold}, leak {self.leak}; expected finite numbers")

    @property
    def number(self) -> int:
        """Depth of the layer; 0 is the encoded input, which a file lacks where it has no spikes."""
        return int(self.name[:3])

    @property
    def neurons(self) -> int:
        """C·H·W."""
        return math.prod(self.shape)

    @property
    def step_bytes(self) -> int:
        """Bytes of one packed step."""
        return -(-self.neurons // 8)


@dataclass(frozen=True)
class RasterHeader:
    """What a raster says about the run it comes from.

    Parameters
    ----------
    backend, device : who simulated it; runs resumed elsewhere join theirs with "+"
    precision : "fixed" or "float32"
    timesteps : T ≥ 1
    dt : seconds per step; metadata only
    seed : of the encoding, 0 ≤ seed < 2⁶³
    network_sha256 : identity of the network, 64 hexadecimal digits
    dataset : identity of the data
    config : JSON text, the resolved configuration of the run
    layers : in order, numbered without gaps from the input (000), or from 001 where the input has no spikes
    classes : width of the readout
    readout_scale : real value of one raw unit of the readout

    Raises
    ------
    InputError : naming the field, what it holds and what would be right
    """

    backend: str
    device: str
    precision: str
    timesteps: int
    dt: float
    seed: int
    network_sha256: str
    dataset: str
    config: str
    layers: tuple[LayerSpec, ...]
    classes: int
    readout_scale: float

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        for name, value, symbol in (("timesteps", self.timesteps, "T"), ("classes", self.classes, "K")):
            check_size(name, value, symbol)
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise InputError(f"dt is {self.dt}, expected seconds per step, above 0")
        if not 0 <= self.seed < 1 << 63:
            raise InputError(f"seed is {self.seed}, expected 0 ≤ seed < 2⁶³")
        if not re.fullmatch(r"[0-9a-f]{64}", self.network_sha256):
            raise InputError(f"network_sha256 is {self.network_sha256[:80]!r}, expected 64 hexadecimal digits")
        if not math.isfinite(self.readout_scale):
            raise InputError(f"readout_scale is {self.readout_scale}, expected a finite number")
        if max(len(text) for text in (self.backend, self.device, self.dataset, self.config)) > MAX_TEXT:
            raise InputError(f"backend, device, dataset and config may have {MAX_TEXT:,} characters each, not more")
        try:
            json.loads(self.config)
        except (ValueError, RecursionError) as error:
            raise InputError(f"config is not JSON: {error}") from error
        names = [layer.name for layer in self.layers]
        if not 1 <= len(names) <= MAX_LAYERS:
            raise InputError(f"{len(names)} layers, expected 1 to {MAX_LAYERS}")
        first = 0 if self.layers[0].kind == "input" else 1
        for number, layer in enumerate(self.layers, first):
            if layer.number != number or (layer.kind == "input") != (number == 0):
                raise InputError(
                    f"layers are {', '.join(names)}; expected numbers without gaps, from 000 (the input) or 001"
                )
            if self.timesteps * layer.step_bytes > MAX_DATASET_BYTES:
                raise InputError(
                    f"layer {layer.name!r}: {self.timesteps} steps of {layer.step_bytes:,} bytes, "
                    f"expected at most {MAX_DATASET_BYTES:,} bytes per sample"
                )
        if len({name[4:] for name in names}) < len(names):
            raise InputError(f"layers are {', '.join(names)}; expected different names")

    def sizes(self, n_samples: int, layer: LayerSpec | None = None) -> dict[str, int]:
        """What the symbols of :class:`DatasetSpec` stand for, with "bytes" when a layer is given."""
        sizes = {"N": n_samples, "T": self.timesteps, "K": self.classes}
        return sizes | ({"bytes": layer.step_bytes} if layer else {})


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Which samples a raster holds, in order.

    Parameters
    ----------
    index : (N,) int64 — position in the data set
    label : (N,) int32 — class, -1 where unknown
    """

    index: NDArray[np.int64]
    label: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name, dtype in (("index", np.int64), ("label", np.int32)):
            array = np.array(getattr(self, name))
            if array.ndim != 1 or array.dtype.kind not in "iu" or not np.array_equal(array.astype(dtype), array):
                raise InputError(
                    f"samples: {name} is {array.shape} of {array.dtype}, expected (N,) of {np.dtype(dtype)}"
                )
            array = array.astype(dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.index) != len(self.label):
            raise InputError(f"samples: {len(self.index)} indices and {len(self.label)} labels, expected as many")
        check_size("number of samples", len(self.index), "N")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, positions: slice) -> SampleTable:
        return SampleTable(self.index[positions], self.label[positions])


def find_layer(name: str, layers: Iterable[str], where: object) -> str:
    """The full name of a layer, such as "001_conv1", from that, its short name "conv1" or its number "1".

    Raises
    ------
    InputError : if there is none, beginning with `where` and naming the nearest
    """
    known: dict[str, str] = {}
    for layer in layers:
        known |= dict.fromkeys((layer, layer[4:], layer[:3], str(int(layer[:3]))), layer)
    if name not in known:
        names = [layer[4:] for layer in dict.fromkeys(known.values())]
        near = difflib.get_close_matches(name, names, 3) or names
        raise InputError(f"{where}: no layer {name!r}; did you mean {' or '.join(near)}?")
    return known[name]


def check_size(name: str, value: int, symbol: str) -> None:
    """Refuse a size outside 1 … its cap."""
    if not 1 <= value <= MAX_SIZES[symbol]:
        raise InputError(f"{name} is {value}, expected 1 to {MAX_SIZES[symbol]:,}")
