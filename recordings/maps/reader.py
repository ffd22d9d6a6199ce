"""Reading a file of maps: checked when opened, read lazily by layer and sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError
from spikesam.recordings.hdf5 import Source
from spikesam.recordings.layer_view import LayerView
from spikesam.recordings.maps.schema import (
    AXES,
    DIGEST,
    FORMAT,
    MAPS,
    MAPS_ATTRIBUTES,
    ROOT_ATTRIBUTES,
    SCHEMA_VERSION,
    STEPS,
    SUM,
    SUM_ATTRIBUTES,
    SUM_AXES,
    MapHeader,
    MapLayer,
    SourceName,
    digest_path,
    is_method_name,
    is_parameter_name,
)
from spikesam.recordings.reader import PLOTS, Reader
from spikesam.recordings.schema import DatasetSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = "a file of maps (sam.h5) that spikesam explain has finished"


class MapReader(Reader[MapLayer]):
    """One finished file of maps, on disk or in memory, treated as untrusted; a context manager.

    Opening checks the whole structure, and that everything but the maps is as it was written. Maps are checked as they
    are read: their checksum and digest, finite and not negative; :meth:`verify` does so for all.

    Parameters
    ----------
    source : name of the file, or its content in memory
    trusted : whether this process wrote it; anything else is opened in a process of its own first, see
        :mod:`spikesam.recordings.inspection`

    Attributes
    ----------
    header : MapHeader
    samples : SampleTable — index and label
    predictions : (N,) int32 — class that the network chose, -1 where unknown
    content_digest : of everything but the maps, and of their digests

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation
    """

    header: MapHeader
    content_digest: str
    _noun, _what, _format, _version = "maps", WHAT, FORMAT, SCHEMA_VERSION
    _content = "maps"

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of which maps are kept beside the sums, of the first samples, or of all."""
        return self.header.steps

    def __getitem__(self, layer: str | int | MapLayer) -> LayerMaps:
        """One layer, by its name or number: `maps["conv1"].sum` is (N, H, W) float32."""
        return LayerMaps(self, self.layer(layer))

    def read_sum(self, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        """(H, W) float32: the maps of one sample in one layer, which both exist, summed over the steps that matter."""
        return self._read(self.header.sum_path(layer), SUM, layer, sample)

    def read(self, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        """(S, H, W) float32: the maps of one sample in one layer, which both exist, at the steps that are kept.

        Raises
        ------
        InputError : if the file keeps none of this sample
        """
        if sample >= self.header.stepped:
            count = self.header.stepped
            kept = "no sample" if not count else "its first sample" if count == 1 else f"its first {count} samples"
            raise InputError(
                f"{self.where}: keeps maps step by step of {kept}, not of sample {sample}; "
                f'take .sum, or explain again with steps "all"'
            )
        return self._read(self.header.path(layer), MAPS, layer, sample)

    def plot(self, samples: int = 4, layers: Sequence[str] = ()) -> Figure:
        """Draw the first samples: image, name and answer, and below the summed maps of some layers.

        Parameters
        ----------
        samples : how many
        layers : by name; a few over all depths if not given

        Returns
        -------
        a :class:`matplotlib.figure.Figure`, which a notebook shows
        """
        figure: Figure = import_module(PLOTS).plot_maps(self, samples, layers)
        return figure

    def verify(self, advance: Callable[[], object] = lambda: None) -> None:
        """Check every map, in pieces; calls `advance` after each layer of each sample."""
        for layer in self.layers:
            for sample in range(self.n_samples):
                for path, spec, count in self.header.datasets(layer, self.n_samples):
                    for _ in self._pieces(path, spec, layer, sample) if sample < count else ():
                        pass
                advance()

    def _read(self, path: str, spec: DatasetSpec, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        maps = np.empty(spec.shape(self.header.sizes(layer, 1))[1:], np.float32)
        for start, piece in self._pieces(path, spec, layer, sample):
            maps[start : start + len(piece)] = piece
        return maps

    def _pieces(
        self, path: str, spec: DatasetSpec, layer: MapLayer, sample: int
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """One sample of a dataset chunk by chunk, some steps or rows each, with the first of them."""
        sizes = self.header.sizes(layer, self.n_samples)
        for start, piece in self._rows(path, digest_path(path), sample, spec, sizes, 0, spec.shape(sizes)[1]):
            if not (piece.min() >= 0 and piece.max() < np.inf):  # which NaN is not, either
                raise self._checked.fail(f"{path}[{sample}]", "negative or not finite", "numbers ≥ 0")
            yield start, piece

    def _open(self) -> None:
        checked = self._checked
        found = checked.attributes(checked.root, "/", ROOT_ATTRIBUTES)
        method, stepped = found["method"], found["stepped"]
        if not is_method_name(method):
            raise checked.fail("/@method", repr(method)[:80], "a name such as 'grad-cam'")
        parameters = checked.scalars(checked.root, "/", is_parameter_name)
        attributes = {"/": found | parameters}
        source_name = next((name for name in get_args(SourceName) if isinstance(parameters.get(name), str)), None)
        if source_name is None:
            raise checked.fail("/", "does not say what was explained", f"text @{' or @'.join(get_args(SourceName))}")
        source = str(parameters.pop(source_name))
        checked.expect_children(checked.root, "/", {"samples", "layers", *(["steps"] if stepped else [])})
        n_samples = self._open_samples()
        if not 0 <= stepped <= n_samples:
            raise checked.fail("/@stepped", str(stepped), f"0 to {n_samples}, the number of samples")
        steps = self._read_steps() if stepped else ()
        layers = tuple(self._read_layers(method, bool(stepped), attributes))
        with checked.valid("/"):
            self.header = header = MapHeader(
                method, source, parameters, found["T"], layers, steps, stepped, source_name
            )
        for layer in layers:
            for path, spec, count in header.datasets(layer, n_samples):
                self._check(path, spec, header.sizes(layer, count))
                self._check(digest_path(path), DIGEST, {"N": count})
        self._read_samples(n_samples)
        self._check_content(attributes, header.tables())
        self.content_digest = found["content_digest"]

    def _read_steps(self) -> tuple[int, ...]:
        """The steps that are kept, not yet checked themselves."""
        self._datasets["/steps"] = self._checked.open_dataset(self._checked.root, "steps", "/steps")
        self._check("/steps", STEPS, {"S": self._length("/steps", "number of steps", "S")})
        return tuple(self._table("/steps").tolist())

    def _read_layers(self, method: str, stepped: bool, attributes: dict[str, dict[str, Any]]) -> Iterator[MapLayer]:
        """The layers of the file, whose attributes are added to those given."""
        checked = self._checked
        kept = [SUM.name, *([method] if stepped else [])]
        for name, number, group in self._open_layers({*kept, *map(digest_path, kept)}):
            for part, axes, expected in zip(kept, (SUM_AXES, AXES), (SUM_ATTRIBUTES, MAPS_ATTRIBUTES), strict=False):
                where = f"{group}/{part}"
                attributes[where] = checked.attributes(self._datasets[where], where, expected)
                if attributes[where]["axes"] != axes:
                    raise checked.fail(f"{where}@axes", "unknown axes", repr(axes))
            where = f"{group}/{SUM.name}"
            with checked.reading(where):
                shape = self._datasets[where].shape
            if len(shape) != 3:
                raise checked.fail(where, f"shape {shape}", "(N, H, W)")
            yield MapLayer(name, number, (int(shape[1]), int(shape[2])), attributes[where]["steps"])


class LayerMaps(LayerView[np.float32]):
    """One layer of an open file of maps, made by `maps["conv1"]`.

    `.sum` holds the sums of all samples. `[i]` reads (S, H, W) float32 of sample i, its maps at the steps that the file
    keeps, `[a:b]` reads (S, B, H, W) float32. The length is N.

    Attributes
    ----------
    spec : MapLayer — name, number, shape and steps that matter
    """

    def __init__(self, maps: MapReader, spec: MapLayer) -> None:
        super().__init__(maps.where, (maps.n_samples, len(maps.header.steps), *spec.shape), np.float32)
        self._maps, self.spec = maps, spec

    @property
    def name(self) -> str:
        """Such as "conv1"."""
        return self.spec.name

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.spec.shape

    @property
    def steps_that_matter(self) -> int:
        """How many of the first steps can still change the answer."""
        return self.spec.steps_that_matter

    @property
    def sum(self) -> NDArray[np.float32]:
        """(N, H, W) float32: sums over the steps that matter, read anew at every call."""
        sums = np.empty((len(self), *self.shape), np.float32)
        for sample in range(len(self)):
            sums[sample] = self._maps.read_sum(self.spec, sample)
        return sums

    def _read(self, sample: int) -> NDArray[np.float32]:
        return self._maps.read(self.spec, sample)


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
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.ones((1, 2, 1, 2, 2), bool)}, overwrite=True)
    >>> spikesam.explain(path, "maps.h5", gamma=0.0, overwrite=True).close()
    >>> with spikesam.open_maps("maps.h5") as maps:
    ...     print(list(maps), maps["conv1"].sum[0].tolist())
    ['conv1'] [[3.0, 3.0], [3.0, 3.0]]
    """
    return MapReader(source)
