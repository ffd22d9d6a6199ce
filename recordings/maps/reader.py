"""Reading a file of maps: checked when opened, read lazily by layer and sample."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np
from numpy.typing import NDArray

from recordings.hdf5 import Source
from recordings.reader import Reader

from .layer import LayerMaps
from .schema import AXES, FORMAT, MAPS, MAPS_ATTRIBUTES, METHODS, SCHEMA_VERSION, MapHeader, MapLayer

WHAT = "a file of maps (sam.h5) that pipeline.explain or pipeline.gradcam has finished"


class MapReader(Reader[MapLayer]):
    """One finished file of maps, on disk or in memory, treated as untrusted; a context manager.

    Opening checks the whole structure; maps are checked as they are read: their checksum, finite and not negative.

    Parameters
    ----------
    source : name of the file, or its content in memory
    trusted : whether this process wrote it; anything else is opened in a process of its own first, see
        :mod:`recordings.inspection`

    Attributes
    ----------
    header : MapHeader
    samples : SampleTable — index and label
    predictions : (N,) int32 — class that the network chose, -1 where unknown

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation
    """

    header: MapHeader

    def __init__(self, source: Source, *, trusted: bool = False) -> None:
        super().__init__(source, "maps", WHAT, FORMAT, SCHEMA_VERSION, trusted)

    @property
    def timesteps(self) -> int:
        """T."""
        return self.header.timesteps

    @property
    def layers(self) -> tuple[MapLayer, ...]:
        """The layers that have maps, in order of depth."""
        return self.header.layers

    def __getitem__(self, layer: str | int | MapLayer) -> LayerMaps:
        """One layer, by its name or number: `maps["conv1"][0]` is (T, H, W) float32 of sample 0."""
        return LayerMaps(self, self.layer(layer))

    def read(self, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        """(T, H, W) float32: the raw maps of one sample in one layer, which both exist."""
        where = self.header.path(layer)
        with self._checked.reading(f"{where}[{sample}]"):
            maps: NDArray[np.float32] = h5py.Dataset(self._datasets[where])[sample]
        if not (np.isfinite(maps).all() and (maps >= 0).all()):
            raise self._checked.fail(f"{where}[{sample}]", "negative or not finite", "numbers ≥ 0")
        return maps

    def _open(self) -> None:
        checked = self._checked
        found = checked.attributes(checked.root, "/", {"T": int, "method": str})
        if found["method"] not in METHODS:
            raise checked.fail("/@method", repr(found["method"])[:80], f"one of {', '.join(METHODS)}")
        method = METHODS[found["method"]]
        source = checked.attributes(checked.root, "/", {method.source: str})[method.source]
        parameters = checked.attributes(checked.root, "/", method.parameters)
        checked.expect_children(checked.root, "/", {"samples", "layers"})
        n_samples = self._open_samples()
        layers = tuple(self._read_layers(found["method"]))
        with checked.valid("/"):
            self.header = MapHeader(found["method"], source, parameters, found["T"], layers)
        for layer in layers:
            self._check(self.header.path(layer), MAPS, self.header.sizes(n_samples, layer))
        self._read_samples(n_samples)

    def _read_layers(self, method: str) -> Iterator[MapLayer]:
        checked = self._checked
        for name, number, group in self._open_layers({method}):
            where = f"{group}/{method}"
            dataset = self._datasets[where]
            about = checked.attributes(dataset, where, MAPS_ATTRIBUTES)
            if about["axes"] != AXES:
                raise checked.fail(f"{where}@axes", "unknown axes", repr(AXES))
            with checked.reading(where):
                shape = dataset.shape
            if len(shape) != 4:
                raise checked.fail(where, f"shape {shape}", "(N, T, H, W)")
            yield MapLayer(name, number, (int(shape[2]), int(shape[3])), about["steps"])


def open_maps(source: Source) -> MapReader:
    """Read a file of maps, whatever made them: checked when opened, its maps as they are read.

    Parameters
    ----------
    source : name of the file, or its content in memory

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.ones((1, 2, 1, 2, 2), bool)})
    >>> spikesam.explain(path, "maps.h5", gamma=0.0).close()
    >>> with spikesam.open_maps("maps.h5") as maps:
    ...     print(list(maps), maps["conv1"].sum[0].tolist())
    ['conv1'] [[3.0, 3.0], [3.0, 3.0]]
    """
    return MapReader(source)
