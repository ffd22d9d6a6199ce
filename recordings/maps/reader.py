"""Reading a file of maps: checked when opened, read lazily by layer and sample."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordings.compress import ChunkError, decode
from recordings.hdf5 import Source
from recordings.reader import Reader

from .layer import LayerMaps
from .schema import (
    AXES,
    DIGEST,
    FORMAT,
    MAPS,
    MAPS_ATTRIBUTES,
    METHODS,
    ROOT_ATTRIBUTES,
    SCHEMA_VERSION,
    MapHeader,
    MapLayer,
)

WHAT = "a file of maps (sam.h5) that pipeline.explain or pipeline.gradcam has finished"


class MapReader(Reader[MapLayer]):
    """One finished file of maps, on disk or in memory, treated as untrusted; a context manager.

    Opening checks the whole structure, and that everything but the maps is as it was written. Maps are checked as they
    are read: their checksum and digest, finite and not negative; :meth:`verify` does so for all.

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
        maps = np.empty((self.timesteps, *layer.shape), np.float32)
        filled = 0
        for piece in self._pieces(layer, sample):
            maps[filled : filled + len(piece)] = piece
            filled += len(piece)
        return maps

    def verify(self, advance: Callable[[], object] = lambda: None) -> None:
        """Check every map, in pieces; calls `advance` after each layer of each sample."""
        for layer in self.layers:
            for sample in range(self.n_samples):
                for _ in self._pieces(layer, sample):
                    pass
                advance()

    def _pieces(self, layer: MapLayer, sample: int) -> Iterator[NDArray[np.float32]]:
        """The maps of one sample chunk by chunk, (t, H, W) each; verified at the end."""
        where = f"{self.header.path(layer)}[{sample}]"
        chunk_steps = MAPS.chunks(self.header.sizes(self.n_samples, layer))[1]
        size = MAPS.dtype.itemsize * chunk_steps * math.prod(layer.shape)
        sha256 = hashlib.sha256()
        for start in range(0, self.timesteps, chunk_steps):
            with self._checked.reading(where):
                _, stored = self._datasets[self.header.path(layer)].read_direct_chunk((sample, start, 0, 0))
            try:
                chunk = decode(stored, size)
            except ChunkError as error:
                raise self._checked.fail(where, f"damaged: {error}", "an intact chunk") from error
            piece = np.frombuffer(chunk, MAPS.dtype).reshape(-1, *layer.shape)[: self.timesteps - start]
            if not (piece.min() >= 0 and piece.max() < np.inf):  # which NaN is not, either
                raise self._checked.fail(where, "negative or not finite", "numbers ≥ 0")
            sha256.update(piece.data)
            yield piece
        at = self.header.digest_path(layer)
        found, digest = self._table(at)[sample], sha256.hexdigest().encode()
        if found != digest:
            finding, expected = found.decode("ascii", "replace"), f"{digest.decode()}, the SHA-256 of its maps"
            raise self._checked.fail(f"{at}[{sample}]", finding, expected)

    def _open(self) -> None:
        checked = self._checked
        found = checked.attributes(checked.root, "/", ROOT_ATTRIBUTES)
        if found["method"] not in METHODS:
            raise checked.fail("/@method", repr(found["method"])[:80], f"one of {', '.join(METHODS)}")
        method = METHODS[found["method"]]
        source = checked.attributes(checked.root, "/", {method.source: str})
        parameters = checked.attributes(checked.root, "/", method.parameters)
        attributes = {"/": found | source | parameters}
        checked.expect_children(checked.root, "/", {"samples", "layers"})
        n_samples = self._open_samples()
        layers = tuple(self._read_layers(found["method"], attributes))
        with checked.valid("/"):
            self.header = MapHeader(found["method"], source[method.source], parameters, found["T"], layers)
        for layer in layers:
            self._check(self.header.path(layer), MAPS, self.header.sizes(n_samples, layer))
            self._check(self.header.digest_path(layer), DIGEST, {"N": n_samples})
        self._read_samples(n_samples)
        self._check_content(attributes, [self.header.digest_path(layer) for layer in layers])

    def _read_layers(self, method: str, attributes: dict[str, dict[str, Any]]) -> Iterator[MapLayer]:
        """The layers of the file, whose attributes are added to those given."""
        checked = self._checked
        for name, number, group in self._open_layers({method, DIGEST.name}):
            where = f"{group}/{method}"
            dataset = self._datasets[where]
            attributes[where] = about = checked.attributes(dataset, where, MAPS_ATTRIBUTES)
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
