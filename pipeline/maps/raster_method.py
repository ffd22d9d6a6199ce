"""Methods that explain the samples of a raster, offline: no image is needed, neither torch nor lava."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from recordings.errors import InputError
from recordings.maps.schema import MapHeader, Parameter, SourceName
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec
from recordings.schema import SampleTable

from .layers import map_layers, spatial_layers
from .method import Explainer, MapMethod
from .steps import kept_steps

Kept = tuple[tuple[int, ...], int]  # steps, and of how many first samples, see kept_steps


@dataclass(frozen=True)
class RasterMethod(MapMethod):
    """A method that explains a raster, see :class:`pipeline.maps.method.MapMethod`."""

    source: ClassVar[SourceName] = "raster_digest"

    def path(self, source: Any) -> Path | None:
        """The raster's."""
        if isinstance(source, RasterReader):
            return source.path
        if isinstance(source, (str, PathLike)):
            return Path(source)
        raise InputError(
            f"explain: got {type(source).__name__}, expected a raster or its path; "
            "sam() maps an array, write_raster() makes a raster of it"
        )

    @contextmanager
    def prepare(self, source: Any, layers: Sequence[str], steps: str, pictured: int) -> Iterator[Explainer]:
        """Open the raster, and close it if it was not open."""
        raster = source if isinstance(source, RasterReader) else RasterReader(Path(source))
        try:
            names = spatial_layers({layer.name: layer.kind for layer in raster.layers}, layers, raster.where)
            kept = kept_steps(steps, raster.timesteps, raster.n_samples, pictured)
            yield self.of_raster(raster, tuple(map(raster.layer, names)), kept)
        finally:
            if raster is not source:
                raster.close()

    @abstractmethod
    def of_raster(self, raster: RasterReader, layers: tuple[LayerSpec, ...], kept: Kept) -> Explainer:
        """What computes the maps of these layers, which have a spatial extent."""


@dataclass(frozen=True)
class RasterExplainer(Explainer):
    """What explainers of a raster share.

    Parameters
    ----------
    raster : an open raster
    layers : of the raster, with a spatial extent, at least one
    kept : which maps are kept step by step
    """

    raster: RasterReader
    layers: tuple[LayerSpec, ...]
    kept: Kept

    @property
    def samples(self) -> SampleTable:
        """The raster's."""
        return self.raster.samples

    @property
    def what(self) -> str:
        """What is computed."""
        return f"maps of {self.raster.n_samples} samples, {self.raster.timesteps} steps"

    def _header(self, method: str, parameters: Mapping[str, Parameter]) -> MapHeader:
        raster = self.raster
        layers = map_layers(raster.header, self.layers)
        return MapHeader(method, raster.raster_digest, parameters, raster.timesteps, layers, *self.kept)
