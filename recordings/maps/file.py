"""The file of maps (sam.h5, …), whatever made them: its layout, its writer and its checked reader.

    /                             attributes format="spike-maps", schema_version=2, complete, T, method, and as
                                  :data:`METHODS` says the digest of what was explained and the method's parameters
    /samples/index                (N,) int64    position in the data set
    /samples/label                (N,) int32    class, -1 where unknown
    /samples/prediction           (N,) int32    class that the network chose
    /layers/<NNN_name>/<method>   (N, T, H, W) float32, raw maps, finite and ≥ 0; attribute axes
                                  chunks (1, ≤ 1 MiB of steps, H, W), deflate + fletcher32

Plain HDF5 1.10, readable with h5py alone: `h5py.File("sam.h5")["layers/001_conv1/sam"][0]`. Layers have the names they
have in a raster; dense layers have no spatial extent and are absent. An ANN's maps have one step. Grad-CAM is for the
label or, where that is -1, for the prediction; SAM needs neither. The file appears under its name when complete.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recordings.chunks import encode_chunks, store_chunks
from recordings.compress import DEFLATE_LEVEL
from recordings.disk import reason, replacing
from recordings.errors import InputError
from recordings.hdf5 import CheckedFile
from recordings.raster.schema import (
    LAYER_NAME,
    MAX_DATASET_BYTES,
    MAX_LAYERS,
    SAMPLE_DATASETS,
    SPIKE_CHUNK_BYTES,
    DatasetSpec,
    SampleTable,
    check_size,
)
from recordings.target import Target, new_hdf5

FORMAT = "spike-maps"
SCHEMA_VERSION = 2
WHAT = "a file of maps (sam.h5) that pipeline.explain or pipeline.gradcam has finished"
AXES = "sample, step, row, column"


@dataclass(frozen=True)
class Method:
    """What a file says about maps of one kind.

    Parameters
    ----------
    source : root attribute with the SHA-256 of what was explained
    parameters : further root attributes and their types
    """

    source: str
    parameters: Mapping[str, type]


METHODS = {
    "sam": Method("raster_digest", {"gamma": float, "variant": str, "include_current": bool}),
    "grad-cam": Method("ann_sha256", {}),
    "snn-grad-cam": Method("network_sha256", {"seed": int}),
}


class MapSpec(DatasetSpec):
    """The dataset of maps; a chunk holds as many whole steps of one sample as fit in 1 MiB, at least one."""

    def chunks(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """(1, steps, H, W)."""
        _, steps, height, width = self.shape(sizes)
        return (1, max(1, min(steps, SPIKE_CHUNK_BYTES // (4 * height * width))), height, width)


MAPS = MapSpec("maps", ("N", "T", "H", "W"), np.dtype("<f4"), deflate=True)


@dataclass(frozen=True)
class MapHeader:
    """What the maps were computed from, and how.

    Parameters
    ----------
    method : a key of :data:`METHODS`
    source : identity of what was explained (for SAM the raster's digest), 64 hexadecimal digits
    parameters : those of the method; gamma, in 1/step, is finite and ≥ 0
    timesteps : T ≥ 1
    layers : "001_conv1" -> (H, W), in order of depth
    """

    method: str
    source: str
    parameters: Mapping[str, Any]
    timesteps: int
    layers: Mapping[str, tuple[int, int]]

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method is {self.method[:80]!r}, expected one of {', '.join(METHODS)}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.source):
            name = METHODS[self.method].source
            raise InputError(f"{name} is {self.source[:80]!r}, expected 64 hexadecimal digits")
        if self.parameters.keys() != METHODS[self.method].parameters.keys():
            expected = ", ".join(METHODS[self.method].parameters) or "none"
            raise InputError(f"parameters of {self.method} are {', '.join(self.parameters)}, expected {expected}")
        gamma = self.parameters.get("gamma", 0.0)
        if not (math.isfinite(gamma) and gamma >= 0):
            raise InputError(f"gamma is {gamma}, expected a finite number ≥ 0")
        check_size("timesteps", self.timesteps, "T")
        for name, (height, width) in self.layers.items():
            if not LAYER_NAME.fullmatch(name):
                raise InputError(f"layer {name!r}: expected a name such as '001_conv1'")
            if not 1 <= 4 * self.timesteps * height * width <= MAX_DATASET_BYTES:
                raise InputError(
                    f"layer {name!r}: {self.timesteps} maps of {height}×{width}, "
                    f"expected 1 to {MAX_DATASET_BYTES:,} bytes per sample"
                )

    def sizes(self, n_samples: int, layer: str) -> dict[str, int]:
        """What the symbols of :data:`MAPS` stand for."""
        height, width = self.layers[layer]
        return {"N": n_samples, "T": self.timesteps, "H": height, "W": width}


class MapWriter:
    """Writes maps sample by sample, so that memory does not grow with N; made by :func:`writing_maps`."""

    def __init__(self, file: h5py.File, target: Target, header: MapHeader, samples: SampleTable) -> None:
        self._file, self._target, self._header = file, target, header
        self._written = np.zeros(len(samples), np.bool_)
        self._predictions = np.zeros(len(samples), np.int32)
        self._file.attrs.update(
            format=FORMAT,
            schema_version=SCHEMA_VERSION,
            complete=np.bool_(False),
            method=header.method,
            T=header.timesteps,
        )
        method = METHODS[header.method]
        self._file.attrs[method.source] = header.source
        for name, kind in method.parameters.items():
            value = header.parameters[name]
            self._file.attrs[name] = np.bool_(value) if kind is bool else kind(value)
        self._write_table("index", samples.index)
        self._write_table("label", samples.label)
        for layer in header.layers:
            sizes = header.sizes(len(samples), layer)
            maps = self._file.create_dataset(
                self._path(layer),
                MAPS.shape(sizes),
                MAPS.dtype,
                chunks=MAPS.chunks(sizes),
                compression="gzip",
                compression_opts=DEFLATE_LEVEL,
                fletcher32=True,
            )
            maps.attrs["axes"] = AXES

    def write(self, sample: int, prediction: int, maps: Mapping[str, NDArray[np.float32]]) -> None:
        """Store one sample: the class that the network chose, and (T, H, W) float32 for every layer."""
        for layer, (height, width) in self._header.layers.items():
            shape = (self._header.timesteps, height, width)
            if maps[layer].shape != shape:
                raise ValueError(f"{layer}: maps of shape {maps[layer].shape}, the header says {shape}")
            dataset = self._file[self._path(layer)]
            chunks = encode_chunks(maps[layer].astype(MAPS.dtype, copy=False), dataset.chunks[1])
            store_chunks(dataset, sample, [chunks])
            self._target.check()
        self._predictions[sample] = prediction
        self._written[sample] = True

    def finish(self) -> None:
        """Mark the file complete; a fault of the program if a sample was never written."""
        if not self._written.all():
            raise ValueError(f"maps of {self._written.sum()} samples were written, expected {len(self._written)}")
        self._write_table("prediction", self._predictions)
        self._file.attrs["complete"] = np.bool_(True)

    def _path(self, layer: str) -> str:
        return f"layers/{layer}/{self._header.method}"

    def _write_table(self, name: str, values: NDArray[Any]) -> None:
        spec = SAMPLE_DATASETS[name]
        chunks = spec.chunks({"N": len(values)})
        self._file.create_dataset(
            f"samples/{name}", data=np.asarray(values, spec.dtype), chunks=chunks, fletcher32=True
        )


@contextmanager
def writing_maps(path: Path, header: MapHeader, samples: SampleTable) -> Iterator[MapWriter]:
    """Write a file of maps that appears at `path` when the block ends well, with every map in it, or else not at all.

    Raises
    ------
    InputError : if it cannot be written there, or the disk is full
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, new_hdf5(temporary) as (file, target):
            writer = MapWriter(file, target, header, samples)
            yield writer
            writer.finish()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}); free space or choose another --out") from error


class MapReader:
    """One finished file of maps, treated as untrusted; a context manager.

    Opening checks the whole structure; maps are checked as they are read: their checksum, finite and not negative.

    Attributes
    ----------
    header : MapHeader
    samples : SampleTable
    predictions : (N,) int32

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation
    """

    def __init__(self, path: Path) -> None:
        self._checked = CheckedFile(path, WHAT)
        self.path = self._checked.path
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> MapReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._checked.file.close()

    @property
    def n_samples(self) -> int:
        """N."""
        return len(self.samples)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that have maps, in order."""
        return tuple(self.header.layers)

    def maps(self, layer: str, sample: int) -> NDArray[np.float32]:
        """(T, H, W) float32: the raw maps of one sample in one layer, by its full name ("001_conv1")."""
        if layer not in self.header.layers:
            raise InputError(f"{self.path}: no maps of layer {layer!r}, expected one of {', '.join(self.layers)}")
        if not 0 <= sample < self.n_samples:
            raise InputError(f"{self.path}: no sample {sample}, expected 0 to {self.n_samples - 1}")
        where = self._path(layer)
        with self._checked.reading(f"{where}[{sample}]"):
            maps: NDArray[np.float32] = h5py.Dataset(self._datasets[where])[sample]
        if not (np.isfinite(maps).all() and (maps >= 0).all()):
            raise self._checked.fail(f"{where}[{sample}]", "negative or not finite", "numbers ≥ 0")
        return maps

    def _open(self) -> None:
        checked = self._checked
        checked.expect_finished(FORMAT, SCHEMA_VERSION)
        found = checked.attributes(checked.root, "/", {"T": int, "method": str})
        if found["method"] not in METHODS:
            raise checked.fail("/@method", repr(found["method"])[:80], f"one of {', '.join(METHODS)}")
        self._method = found["method"]
        method = METHODS[self._method]
        source = checked.attributes(checked.root, "/", {method.source: str})[method.source]
        parameters = checked.attributes(checked.root, "/", method.parameters)
        checked.expect_children(checked.root, "/", {"samples", "layers"})
        self._datasets, n_samples = checked.open_samples()
        for name, spec in SAMPLE_DATASETS.items():
            checked.check_dataset(self._datasets[f"/samples/{name}"], f"/samples/{name}", spec, {"N": n_samples})
        layers = self._open_layers()
        with checked.valid("/"):
            self.header = MapHeader(self._method, source, parameters, found["T"], layers)
        for layer in layers:
            where = self._path(layer)
            checked.check_dataset(self._datasets[where], where, MAPS, self.header.sizes(n_samples, layer))
        self.samples = SampleTable(self._table("index"), self._table("label"))
        self.predictions: NDArray[np.int32] = self._table("prediction")

    def _open_layers(self) -> dict[str, tuple[int, int]]:
        checked = self._checked
        layers = checked.group(checked.root, "layers", "/layers")
        sides = {}
        for name in checked.children(layers, "/layers", MAX_LAYERS):
            group_path, where = f"/layers/{name}", self._path(name)
            group = checked.group(layers, name, group_path)
            checked.expect_children(group, group_path, {self._method})
            dataset = checked.open_dataset(group, self._method, where)
            if checked.attributes(dataset, where, {"axes": str})["axes"] != AXES:
                raise checked.fail(f"{where}@axes", "unknown axes", repr(AXES))
            with checked.reading(where):
                shape = dataset.shape
            if len(shape) != 4:
                raise checked.fail(where, f"shape {shape}", "(N, T, H, W)")
            self._datasets[where] = dataset
            sides[name] = (int(shape[2]), int(shape[3]))
        return sides

    def _path(self, layer: str) -> str:
        return f"/layers/{layer}/{self._method}"

    def _table(self, name: str) -> NDArray[Any]:
        with self._checked.reading(f"/samples/{name}"):
            return h5py.Dataset(self._datasets[f"/samples/{name}"])[()]
