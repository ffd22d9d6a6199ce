"""Methods that explain the samples of a raster, offline: no image is needed, neither torch nor lava."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from spikesam.backends.network import Network
from spikesam.pipeline.drawing.subject import recorded_subjects
from spikesam.pipeline.maps.layers import kept_steps, mapped_layers
from spikesam.pipeline.maps.method import Explained, Explainer, MapMethod
from spikesam.recordings.errors import InputError
from spikesam.recordings.maps.schema import MapHeader, SourceName
from spikesam.recordings.raster.reader import RasterReader, opened_raster
from spikesam.recordings.raster.schema import LayerSpec

Kept = tuple[tuple[int, ...], int]  # steps, and of how many first samples, see kept_steps


@dataclass(frozen=True)
class RasterMethod(MapMethod):
    """A method that explains a raster, see :class:`spikesam.pipeline.maps.method.MapMethod`."""

    source: ClassVar[SourceName] = "raster_digest"

    def path(self, source: Any) -> Path | None:
        """The raster's."""
        if isinstance(source, RasterReader):
            return source.path
        if isinstance(source, (str, PathLike)):
            path = Path(source)
            return path / "raster.h5" if path.is_dir() else path
        instead = "sam() maps an array, write_raster() makes a raster of it"
        if isinstance(source, Network):
            instead = "record the model, or simulate the network, and give the network as an option of relevance"
        raise InputError(f"explain: got {type(source).__name__}, expected a raster or its path; {instead}")

    @contextmanager
    def prepare(self, source: Any, layers: Sequence[str], steps: str, pictured: int) -> Iterator[Explainer]:
        """Open the raster, and close it if it was not open."""
        with opened_raster(source, "explain") as opened:
            raster = self.read(opened)
            names = mapped_layers(
                {layer.name: layer.shape for layer in raster.layers}, layers, raster.where, bands=True
            )
            kept = kept_steps(steps, raster.timesteps, raster.n_samples, pictured)
            yield self.of_raster(raster, tuple(map(raster.layer, names)), kept)

    def read(self, raster: RasterReader) -> RasterReader:
        """What is explained of an open raster: itself, if not overridden."""
        return raster

    @abstractmethod
    def of_raster(self, raster: RasterReader, layers: tuple[LayerSpec, ...], kept: Kept) -> Explainer:
        """The explainer of these layers; made by :func:`raster_explainer`."""


def raster_explainer(
    raster: RasterReader,
    header: MapHeader,
    explain: Callable[[int], Explained],
    workers: int = 1,
    compile_kernels: Callable[[], object] = lambda: None,
) -> Explainer:
    """The explainer of a raster's samples."""
    what = f"maps of {raster.n_samples} samples, {raster.timesteps} steps"
    subjects, notes = partial(recorded_subjects, raster), (raster.silence,) * bool(raster.silence)
    return Explainer(header, raster.samples, explain, subjects, what, raster, notes, workers, compile_kernels)
