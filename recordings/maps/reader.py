"""Reading a file of maps: checked when opened, read lazily by layer and sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from recordings.hdf5 import CheckedFile
from recordings.layers import find_layer, parse_group
from recordings.schema import MAX_LAYERS, SAMPLE_DATASETS, SampleTable

from .layer import LayerMaps
from .schema import AXES, FORMAT, MAPS, MAPS_ATTRIBUTES, METHODS, SCHEMA_VERSION, MapHeader, MapLayer

WHAT = "a file of maps (sam.h5) that pipeline.explain or pipeline.gradcam has finished"


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
    def timesteps(self) -> int:
        """T."""
        return self.header.timesteps

    @property
    def layers(self) -> tuple[MapLayer, ...]:
        """The layers that have maps, in order of depth."""
        return self.header.layers

    def __getitem__(self, layer: str | int) -> LayerMaps:
        """One layer, by its name or number: `maps["conv1"][0]` is (T, H, W) float32 of sample 0."""
        known = {spec.name: spec for spec in self.layers}
        spec = known[find_layer(layer, {name: spec.number for name, spec in known.items()}, self.path)]
        return LayerMaps(self.path, self.n_samples, self.timesteps, spec, self._read)

    def __iter__(self) -> Iterator[str]:
        """The names of the layers, in order of depth."""
        return iter([layer.name for layer in self.layers])

    def _read(self, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        where = self.header.path(layer)
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
        method = METHODS[found["method"]]
        source = checked.attributes(checked.root, "/", {method.source: str})[method.source]
        parameters = checked.attributes(checked.root, "/", method.parameters)
        checked.expect_children(checked.root, "/", {"samples", "layers"})
        self._datasets, n_samples = checked.open_samples()
        for name, spec in SAMPLE_DATASETS.items():
            checked.check_dataset(self._datasets[f"/samples/{name}"], f"/samples/{name}", spec, {"N": n_samples})
        layers = self._open_layers(found["method"])
        with checked.valid("/"):
            self.header = MapHeader(found["method"], source, parameters, found["T"], layers)
        for layer in layers:
            where = self.header.path(layer)
            checked.check_dataset(self._datasets[where], where, MAPS, self.header.sizes(n_samples, layer))
        self.samples = SampleTable(self._table("index"), self._table("label"))
        self.predictions: NDArray[np.int32] = self._table("prediction")

    def _open_layers(self, method: str) -> tuple[MapLayer, ...]:
        checked = self._checked
        layers = checked.group(checked.root, "layers", "/layers")
        specs = []
        for name in checked.children(layers, "/layers", MAX_LAYERS):
            group_path, where = f"/layers/{name}", f"/layers/{name}/{method}"
            if (numbered := parse_group(name)) is None:
                raise checked.fail(group_path, "an unknown path", "a layer such as 001_conv1")
            group = checked.group(layers, name, group_path)
            checked.expect_children(group, group_path, {method})
            dataset = checked.open_dataset(group, method, where)
            about = checked.attributes(dataset, where, MAPS_ATTRIBUTES)
            if about["axes"] != AXES:
                raise checked.fail(f"{where}@axes", "unknown axes", repr(AXES))
            with checked.reading(where):
                shape = dataset.shape
            if len(shape) != 4:
                raise checked.fail(where, f"shape {shape}", "(N, T, H, W)")
            self._datasets[where] = dataset
            specs.append(MapLayer(numbered[1], numbered[0], (int(shape[2]), int(shape[3])), about["steps"]))
        return tuple(specs)

    def _table(self, name: str) -> NDArray[Any]:
        with self._checked.reading(f"/samples/{name}"):
            return h5py.Dataset(self._datasets[f"/samples/{name}"])[()]
