"""Reading a file of maps: checked when opened, read lazily by layer and sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.common.pictures import draw
from spikesam.recordings.digests import About
from spikesam.recordings.hdf5 import FileSource
from spikesam.recordings.maps.schema import (
    AXES,
    ROOT_ATTRIBUTES,
    STEP,
    SUM,
    SUM_AXES,
    MapHeader,
    MapLayer,
    SourceName,
    digest_path,
    is_method_name,
    is_parameter_name,
)
from spikesam.recordings.reader import LayerView, Reader
from spikesam.recordings.schema import MADE_OF, DatasetSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MapReader(Reader[MapLayer]):
    """One finished file of maps, on disk or in memory, treated as untrusted; a context manager.

    Opening checks the whole structure, and that everything but the maps is as it was written. Maps
    are checked as they are read: their checksum and digest, finite and not negative; :meth:`verify`
    does so for all.

    Parameters
    ----------
    source : name of the file or of the folder of a run, or the content of the file in memory
    trusted : whether this process wrote it; anything else is opened in a process of its own first,
        see :mod:`spikesam.recordings.inspection`

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

    HEADER, NOUN, VALUES, IN_FOLDER = MapHeader, "maps", "maps", "sam.h5"
    WHAT = "a finished file of maps (sam.h5)"
    header: MapHeader
    content_digest: str
    origin = ""  # what `explain` did first, such as "the model was recorded"

    @property
    def known_as(self) -> frozenset[str]:
        """The digests of what was explained, and of the raster that this was made of."""
        return frozenset(
            {self.header.source, str(self.header.parameters.get(MADE_OF, self.header.source))}
        )

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of which maps are kept beside the sums, of the first samples, or of all."""
        return self.header.steps

    def __repr__(self) -> str:
        """One line: what it is, what is in it, and what was done for it."""
        line = super().__repr__()
        return f"{line[:-1]}; {self.origin}>" if self.origin else line

    def __getitem__(self, layer: str | int | MapLayer) -> LayerMaps:
        """One layer, by its name or number: `maps["conv1"].sum` is (N, H, W) float32."""
        return LayerMaps(self, self.layer(layer))

    def read_sum(self, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        """(H, W) float32: the maps of one sample in one layer, which both exist, summed over the
        steps that matter.
        """
        return self.rows(layer.path(SUM), sample)

    def read(self, layer: MapLayer, sample: int) -> NDArray[np.float32]:
        """(S, H, W) float32: the maps of one sample at the steps that are kept; an InputError if it
        has none.
        """
        if sample >= self.header.stepped:
            count = self.header.stepped
            stepped_samples = (
                "no sample"
                if not count
                else "its first sample"
                if count == 1
                else f"its first {count} samples"
            )
            raise InputError(
                f"{self.file_name}: keeps maps step by step of {stepped_samples}, not of sample "
                f'{sample}; take .sum, or explain again with steps "all"'
            )
        return self.rows(layer.path(self.header.method), sample)

    @checked_arguments
    def plot(self, samples: int | Iterable[int] = 4, layers: Sequence[str | int] = ()) -> Figure:
        """Draw some samples: image, name and answer, and below the summed maps of some layers.

        Parameters
        ----------
        samples : how many, the first ones; or their positions in a list
        layers : by name; a few over all depths if not given

        Returns
        -------
        a :class:`matplotlib.figure.Figure`, which a notebook shows
        """
        figure: Figure = draw("plot_maps", self, samples, layers)
        return figure

    def _check_piece(
        self, dataset: DatasetSpec, sample: int, first: int, rows: NDArray[Any]
    ) -> None:
        """Refuse numbers that no map has."""
        least = -np.inf if self.header.signed else -np.nextafter(np.float32(0), np.float32(1))
        if not (rows.min() > least and rows.max() < np.inf):  # which NaN is not, either
            got, expected = (
                ("not finite", "finite numbers")
                if self.header.signed
                else ("negative or not finite", "numbers ≥ 0")
            )
            raise self._checked.fail(f"{dataset.path}[{sample}]", got, expected)

    def _read_header(self, attributes: About) -> MapHeader:
        checked = self._checked
        root = checked.attributes(checked.root, ROOT_ATTRIBUTES)
        self.content_digest, method, stepped = (
            root["content_digest"],
            root["method"],
            root["stepped"],
        )
        if not is_method_name(method):
            raise checked.fail("/@method", repr(method)[:80], "a name such as 'grad-cam'")
        parameters = checked.scalars(checked.root, is_parameter_name)
        attributes["/"] = root | parameters
        source_name = next(
            (name for name in get_args(SourceName) if isinstance(parameters.get(name), str)), None
        )
        if source_name is None:
            raise checked.fail(
                "/",
                "does not say what was explained",
                f"text @{' or @'.join(get_args(SourceName))}",
            )
        source = str(parameters.pop(source_name))
        n_samples = self._open_root(["steps"] if stepped else [])
        if not 0 <= stepped <= n_samples:
            raise checked.fail(
                "/@stepped", str(stepped), f"0 to {n_samples}, the number of samples"
            )
        steps = self._read_steps() if stepped else ()
        layers = tuple(self._read_layers(method, bool(stepped), attributes))
        with checked.reading("/"):
            return MapHeader(
                method, source, parameters, root["T"], layers, steps, stepped, source_name
            )

    def _read_steps(self) -> tuple[int, ...]:
        """The steps that are kept, not yet checked themselves."""
        self._check(DatasetSpec("/steps", (self._length("/steps", "number of steps", "S"),), STEP))
        return tuple(self._table("/steps").tolist())

    def _read_layers(self, method: str, stepped: bool, attributes: About) -> Iterator[MapLayer]:
        """The layers of the file, whose attributes are added to those given."""
        parts = [SUM, *([method] if stepped else [])]
        for layer in self._open_layers({*parts, *map(digest_path, parts)}):
            path = layer.path(SUM)
            steps_that_matter = self._about(attributes, path, SUM_AXES, {"steps": int})["steps"]
            if stepped:
                self._about(attributes, layer.path(method), AXES, {})
            with self._checked.reading(path):
                shape = self._opened[path].shape
            if len(shape) != 3:
                raise self._checked.fail(path, f"shape {shape}", "(N, H, W)")
            yield MapLayer(
                layer.name, layer.number, (int(shape[1]), int(shape[2])), steps_that_matter
            )


class LayerMaps(LayerView[np.float32]):
    """One layer of an open file of maps, made by `maps["conv1"]`.

    `.sum` holds the sums of all samples. `[i]` reads (S, H, W) float32 of sample i, its maps at the
    steps that the file keeps, `[a:b]` reads (S, B, H, W) float32. The length is N.

    Attributes
    ----------
    spec : MapLayer — name, number, shape and steps that matter
    """

    def __init__(self, maps: MapReader, spec: MapLayer) -> None:
        super().__init__(maps, spec, len(maps.header.steps), np.float32)
        self._maps = maps

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.spec.shape

    @property
    def steps_that_matter(self) -> int:
        """The number of first steps that can still change the answer."""
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


def open_maps(source: FileSource) -> MapReader:
    """Read a file of maps, whatever made them: checked when opened, its maps as they are read.

    Parameters
    ----------
    source : name of the file or of the folder of a run, or the content of the file in memory

    Raises
    ------
    RasterError : naming file, path in the file, finding and expectation

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.ones((1, 2, 1, 2, 2), bool)},
    ... overwrite=True)
    >>> spikesam.explain(path, out="maps.h5", gamma=0.0, overwrite=True).close()
    >>> with spikesam.open_maps("maps.h5") as maps:
    ...     print(list(maps), maps["conv1"].sum[0].tolist())
    ['conv1'] [[3.0, 3.0], [3.0, 3.0]]
    """
    return MapReader(source)
