"""Explain a raster: Spike Activation Maps of every sample, from the recorded spikes alone.

Needs the raster alone: no image, no network, neither torch nor lava.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.cli.tracker import Tracker
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.maps.schema import MapHeader, MapLayer
from recordings.parallel import workers_within_memory
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec
from recordings.schema import SampleTable

from .method import refuse_existing, spatial_layers, write_maps
from .sam import Variant, check_parameters, compile_kernel, spike_activation_maps

WORKERS = 4  # writing keeps up with no more


@dataclass(frozen=True)
class SpikeActivationMaps:
    """SAM of every sample of a raster, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    raster : an open raster
    layers : of the raster, with a spatial extent
    gamma, variant, include_current : the kernel, see :func:`pipeline.maps.sam.spike_activation_map`
    """

    raster: RasterReader
    layers: tuple[LayerSpec, ...]
    gamma: float = 0.5
    variant: Variant = "paper"
    include_current: bool = True

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        parameters = {"gamma": self.gamma, "variant": self.variant, "include_current": self.include_current}
        layers = tuple(
            MapLayer(layer.name, layer.number, layer.shape[1:], self.raster.steps_that_matter(layer))
            for layer in self.layers
        )
        return MapHeader("sam", self.raster.raster_digest, parameters, self.raster.timesteps, layers)

    @property
    def samples(self) -> SampleTable:
        """The raster's."""
        return self.raster.samples

    @property
    def sample_bytes(self) -> int:
        """What explaining one sample takes: its maps, and the packed spikes of one layer."""
        packed = max(self.raster.timesteps * layer.step_bytes for layer in self.layers)
        return self.header.sample_bytes + packed

    def explain(self, sample: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """Prediction and maps of one sample, unpacking one layer at a time."""
        maps = {
            layer.name: spike_activation_maps(
                self.raster.packed(layer, sample),
                layer.shape,
                [self.gamma],
                include_current=self.include_current,
                variant=self.variant,
            )[0]
            for layer in self.layers
        }
        return int(self.raster.predictions[sample]), maps


def explain(
    raster: RasterReader | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    gamma: float = 0.5,
    layers: Iterable[str] = (),
    variant: Variant = "paper",
    include_current: bool = True,
    overwrite: bool = False,
    tracker: Tracker | None = None,
) -> MapReader:
    """Compute Spike Activation Maps from recorded spikes, offline.

    Parameters
    ----------
    raster : an open raster, or the path of a raster file
    out : file for the maps; if not given, beside the raster: `sam.h5` for `raster.h5`, `x.sam.h5` for `x.h5`. The maps
        of a raster in memory are in memory, too
    gamma : γ, decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike
    layers : by name or number; all with a spatial extent if not given
    variant : "paper" (Kim & Panda 2021, Eq. 12-14), or "authors-code", their published script
    include_current : let a spike count itself, not only earlier ones
    overwrite : replace an existing file
    tracker : shows and times the work

    Returns
    -------
    an open reader of the maps of every layer

    Raises
    ------
    InputError : if the kernel has no meaning, a layer is unknown or dense, the raster is damaged, or the file exists
        or cannot be written

    Examples
    --------
    >>> import spikesam
    >>> maps = spikesam.explain(spikesam.simulate("cluttered-digits", samples=2))
    >>> maps["conv2"].sum.shape
    (2, 20, 20)
    """
    tracker = tracker or Tracker()
    check_parameters(gamma, include_current, variant)
    with ExitStack() as held:
        if not isinstance(raster, (RasterReader, str, PathLike)):
            raise InputError(
                f"explain: got {type(raster).__name__}, expected a raster or its path; "
                "sam() maps an array, write_raster() makes a raster of it"
            )
        if not isinstance(raster, RasterReader):
            raster = held.enter_context(RasterReader(Path(raster)))
        names = spatial_layers({layer.name: layer.kind for layer in raster.layers}, layers, raster.where)
        method = SpikeActivationMaps(raster, tuple(map(raster.layer, names)), gamma, variant, include_current)
        target = _target(raster, out)
        if isinstance(target, Path):
            refuse_existing(target, raster.path, overwrite)
        with tracker.time("prepare"), tracker.show("preparing (the first time, the kernel is compiled)"):
            compile_kernel()
        with tracker.time("explain"), tracker.show("explaining", raster.n_samples) as advance:
            workers = workers_within_memory(method.sample_bytes, WORKERS)
            write_maps(method, target, advance, workers=workers, overwrite=overwrite)
    return MapReader(target, trusted=True)


def _target(raster: RasterReader, out: str | PathLike[str] | None) -> Path | BytesIO:
    if out is not None:
        return Path(out)
    if raster.path is None:
        return BytesIO()
    return raster.path.with_name("sam.h5" if raster.path.name == "raster.h5" else f"{raster.path.stem}.sam.h5")
