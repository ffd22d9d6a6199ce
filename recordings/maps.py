"""The file of Spike Activation Maps (sam.h5): its layout, its writer and its checked reader.

    /                        attributes format="spike-maps", schema_version=1, complete, T,
                             raster_digest   of the raster the maps were computed from
                             gamma, variant, include_current   the kernel
    /samples/index           (N,) int64    position in the data set      ┐
    /samples/label           (N,) int32    class, -1 where unknown       ├ copied from the raster
    /samples/prediction      (N,) int32                                  ┘
    /layers/<NNN_name>/sam   (N, T, H, W) float32, raw maps, finite and ≥ 0; attribute axes
                             chunks (1, ≤ 1 MiB of steps, H, W), deflate + fletcher32

Plain HDF5 1.10, readable with h5py alone: `h5py.File("sam.h5")["layers/001_conv1/sam"][0]`. Layers have the names they
have in the raster; dense layers have no spatial extent and are absent. The file appears under its name when complete.
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

from .disk import reason, replacing
from .errors import InputError
from .hdf5 import CheckedFile
from .schema import (
    LAYER_NAME,
    MAX_DATASET_BYTES,
    MAX_LAYERS,
    SAMPLE_DATASETS,
    SPIKE_CHUNK_BYTES,
    DatasetSpec,
    SampleTable,
    check_size,
)
from .target import Target, new_hdf5

FORMAT = "spike-maps"
SCHEMA_VERSION = 1
WHAT = "a file of maps (sam.h5) that pipeline.explain has finished"
AXES = "sample, step, row, column"
ROOT_ATTRIBUTES: dict[str, type] = {
    "format": str,
    "schema_version": int,
    "complete": bool,
    "raster_digest": str,
    "gamma": float,
    "variant": str,
    "include_current": bool,
    "T": int,
}


class MapSpec(DatasetSpec):
    """The dataset of maps; a chunk holds as many whole steps of one sample as fit in 1 MiB, at least one."""

    def chunks(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """(1, steps, H, W)."""
        _, steps, height, width = self.shape(sizes)
        return (1, max(1, min(steps, SPIKE_CHUNK_BYTES // (4 * height * width))), height, width)


SAM_DATASET = MapSpec("sam", ("N", "T", "H", "W"), np.dtype("<f4"), deflate=True)


@dataclass(frozen=True)
class MapHeader:
    """What the maps were computed from, and how.

    Parameters
    ----------
    raster_digest : identity of the raster, 64 hexadecimal digits
    gamma : float, 1/step — decay of the kernel, finite and ≥ 0
    variant : "paper" or "authors-code"
    include_current : whether a spike counts itself
    timesteps : T ≥ 1
    layers : name in the raster -> (H, W), in order
    """

    raster_digest: str
    gamma: float
    variant: str
    include_current: bool
    timesteps: int
    layers: Mapping[str, tuple[int, int]]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.raster_digest):
            raise InputError(f"raster_digest is {self.raster_digest[:80]!r}, expected 64 hexadecimal digits")
        if not (math.isfinite(self.gamma) and self.gamma >= 0):
            raise InputError(f"gamma is {self.gamma}, expected a finite number ≥ 0")
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
        """What the symbols of :data:`SAM_DATASET` stand for."""
        height, width = self.layers[layer]
        return {"N": n_samples, "T": self.timesteps, "H": height, "W": width}


class MapWriter:
    """Writes maps sample by sample, so that memory does not grow with N; made by :func:`writing_maps`."""

    def __init__(
        self,
        file: h5py.File,
        target: Target,
        header: MapHeader,
        samples: SampleTable,
        predictions: NDArray[np.int32],
    ) -> None:
        self._file, self._target = file, target
        self._written = {layer: np.zeros(len(samples), np.bool_) for layer in header.layers}
        self._file.attrs.update(
            format=FORMAT,
            schema_version=SCHEMA_VERSION,
            complete=np.bool_(False),
            raster_digest=header.raster_digest,
            gamma=float(header.gamma),
            variant=header.variant,
            include_current=np.bool_(header.include_current),
            T=header.timesteps,
        )
        for name, values in (("index", samples.index), ("label", samples.label), ("prediction", predictions)):
            spec = SAMPLE_DATASETS[name]
            chunks = spec.chunks({"N": len(samples)})
            self._file.create_dataset(
                f"samples/{name}", data=np.asarray(values, spec.dtype), chunks=chunks, fletcher32=True
            )
        for layer in header.layers:
            sizes = header.sizes(len(samples), layer)
            maps = self._file.create_dataset(
                f"layers/{layer}/sam",
                SAM_DATASET.shape(sizes),
                SAM_DATASET.dtype,
                chunks=SAM_DATASET.chunks(sizes),
                compression="gzip",
                compression_opts=1,
                fletcher32=True,
            )
            maps.attrs["axes"] = AXES

    def write(self, layer: str, sample: int, maps: NDArray[np.float32]) -> None:
        """Store the maps of one sample in one layer, (T, H, W) float32."""
        self._file[f"layers/{layer}/sam"][sample] = maps
        self._target.check()
        self._written[layer][sample] = True

    def finish(self) -> None:
        """Mark the file complete; a fault of the program if a map was never written."""
        for layer, written in self._written.items():
            if not written.all():
                raise ValueError(f"{layer}: maps of {written.sum()} samples were written, expected {len(written)}")
        self._file.attrs["complete"] = np.bool_(True)


@contextmanager
def writing_maps(
    path: Path, header: MapHeader, samples: SampleTable, predictions: NDArray[np.int32]
) -> Iterator[MapWriter]:
    """Write a file of maps that appears at `path` when the block ends well, with every map in it, or else not at all.

    Raises
    ------
    InputError : if it cannot be written there, or the disk is full
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, new_hdf5(temporary) as (file, target):
            writer = MapWriter(file, target, header, samples, predictions)
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
        where = f"/layers/{layer}/sam"
        with self._checked.reading(f"{where}[{sample}]"):
            maps: NDArray[np.float32] = h5py.Dataset(self._datasets[where])[sample]
        if not (np.isfinite(maps).all() and (maps >= 0).all()):
            raise self._checked.fail(f"{where}[{sample}]", "negative or not finite", "numbers ≥ 0")
        return maps

    def _open(self) -> None:
        checked = self._checked
        checked.expect_finished(FORMAT, SCHEMA_VERSION)
        attributes = checked.attributes(checked.root, "/", ROOT_ATTRIBUTES)
        checked.expect_children(checked.root, "/", {"samples", "layers"})
        self._datasets, n_samples = checked.open_samples()
        for name, spec in SAMPLE_DATASETS.items():
            checked.check_dataset(self._datasets[f"/samples/{name}"], f"/samples/{name}", spec, {"N": n_samples})
        layers = self._open_layers()
        with checked.valid("/"):
            self.header = MapHeader(
                layers=layers,
                timesteps=attributes["T"],
                **{name: attributes[name] for name in ("raster_digest", "gamma", "variant", "include_current")},
            )
        for layer in layers:
            where = f"/layers/{layer}/sam"
            checked.check_dataset(self._datasets[where], where, SAM_DATASET, self.header.sizes(n_samples, layer))
        self.samples = SampleTable(self._table("index"), self._table("label"))
        self.predictions: NDArray[np.int32] = self._table("prediction")

    def _open_layers(self) -> dict[str, tuple[int, int]]:
        checked = self._checked
        layers = checked.group(checked.root, "layers", "/layers")
        sides = {}
        for name in checked.children(layers, "/layers", MAX_LAYERS):
            where = f"/layers/{name}"
            group = checked.group(layers, name, where)
            checked.expect_children(group, where, {"sam"})
            dataset = checked.open_dataset(group, "sam", f"{where}/sam")
            if checked.attributes(dataset, f"{where}/sam", {"axes": str})["axes"] != AXES:
                raise checked.fail(f"{where}/sam@axes", "unknown axes", repr(AXES))
            with checked.reading(f"{where}/sam"):
                shape = dataset.shape
            if len(shape) != 4:
                raise checked.fail(f"{where}/sam", f"shape {shape}", "(N, T, H, W)")
            self._datasets[f"{where}/sam"] = dataset
            sides[name] = (int(shape[2]), int(shape[3]))
        return sides

    def _table(self, name: str) -> NDArray[Any]:
        with self._checked.reading(f"/samples/{name}"):
            return h5py.Dataset(self._datasets[f"/samples/{name}"])[()]
