"""Explain a raster: Spike Activation Maps of every sample, from the recorded spikes alone.

Needs the raster alone: no image, no network, neither torch nor lava.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.trace import compile_maps, spike_trace
from pipeline.cli.tracker import Tracker
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.maps.schema import MAPS, MapHeader, MapLayer
from recordings.parallel import workers_within_memory
from recordings.raster.reader import RasterReader
from recordings.raster.schema import LayerSpec, RasterHeader
from recordings.schema import MAX_DATASET_BYTES, SampleTable

from .fixed_sam import explain_fixed
from .method import Explained, refuse_existing, spatial_layers, write_maps
from .sam import AnyVariant, check_parameters, compile_kernel, spike_activation_maps
from .sam_sum import compile_sums, spike_activation_sum
from .steps import PICTURED, kept_steps

WORKERS = 4  # writing keeps up with no more


@dataclass(frozen=True)
class SpikeActivationMaps:
    """SAM of every sample of a raster, a :class:`pipeline.maps.method.MapMethod`.

    Parameters
    ----------
    raster : an open raster
    layers : of the raster, with a spatial extent
    gamma, variant, include_current : the kernel, see :func:`pipeline.maps.sam.spike_activation_map`
    steps, stepped : which maps are kept step by step, see :func:`pipeline.maps.steps.kept_steps`
    """

    raster: RasterReader
    layers: tuple[LayerSpec, ...]
    gamma: float = 0.5
    variant: AnyVariant = "paper"
    include_current: bool = True
    steps: tuple[int, ...] = ()
    stepped: int = 0

    def __post_init__(self) -> None:
        if self.variant == "fixed":
            for layer in self.layers:
                spike_trace(self.gamma, layer.shape[0], self.raster.timesteps)  # refuses what could overflow
        largest = max(self.layers, key=self._map_bytes)
        if self._map_bytes(largest) > MAX_DATASET_BYTES:
            raise InputError(
                f"{self.raster.where}: maps of {largest.name} up to step {self.steps[-1]} take "
                f"{self._map_bytes(largest):,} bytes a sample, expected at most {MAX_DATASET_BYTES:,}; "
                "keep earlier steps, or none"
            )

    @property
    def header(self) -> MapHeader:
        """What the file says of them."""
        parameters = {"gamma": self.gamma, "variant": self.variant, "include_current": self.include_current}
        layers = map_layers(self.raster.header, self.layers)
        source, timesteps = self.raster.raster_digest, self.raster.timesteps
        return MapHeader("sam", source, parameters, timesteps, layers, self.steps, self.stepped)

    @property
    def samples(self) -> SampleTable:
        """The raster's."""
        return self.raster.samples

    @property
    def sample_bytes(self) -> int:
        """What explaining one sample takes: what is kept of it, and of one layer the maps and the packed spikes."""
        layers = [self._map_bytes(layer) + self.raster.timesteps * layer.step_bytes for layer in self.layers]
        return self.header.sample_bytes + max(layers)

    def explain(self, sample: int) -> Explained:
        """Prediction, sums and, of the first samples, maps."""
        return explain_spikes(
            self.header, self.layers, lambda layer: self.raster.packed(layer, sample), sample, self._prediction(sample)
        )

    def _prediction(self, sample: int) -> int:
        return int(self.raster.predictions[sample])

    @property
    def _last(self) -> int:
        """Up to which step maps are made; later spikes change none of them."""
        return self.steps[-1] + 1 if self.steps else 0

    def _map_bytes(self, layer: LayerSpec) -> int:
        """Bytes of the maps of a sample in one layer, of all steps up to the last that is kept."""
        return MAPS.dtype.itemsize * self._last * math.prod(layer.shape[1:])


def map_layers(header: RasterHeader, layers: Iterable[LayerSpec]) -> tuple[MapLayer, ...]:
    """What a file of maps says of layers of a raster with this header."""
    return tuple(
        MapLayer(layer.name, layer.number, layer.shape[1:], header.steps_that_matter(layer)) for layer in layers
    )


def explain_spikes(
    header: MapHeader,
    layers: Sequence[LayerSpec],
    packed: Callable[[LayerSpec], NDArray[np.uint8]],
    sample: int,
    prediction: int,
) -> Explained:
    """SAM of one sample, one layer at a time.

    Parameters
    ----------
    header : of the maps; its first `stepped` samples get maps step by step
    layers : those of the raster that it names, in the same order
    packed : layer -> (T, bytes) uint8, the sample's spikes
    sample : its position among those of `header`
    prediction : the class that the network chose
    """
    if header.parameters["variant"] == "fixed":
        return explain_fixed(header, layers, packed, sample, prediction)
    sums = {}
    kernel = dict(header.parameters)
    gamma = kernel.pop("gamma")
    for layer, of_layer in zip(layers, header.layers, strict=True):
        steps = of_layer.steps_that_matter
        sums[layer.name] = spike_activation_sum(packed(layer), layer.shape, gamma, steps, **kernel)
    return Explained(prediction, sums, maps_of_steps(header, layers, packed, sample))


def maps_of_steps(
    header: MapHeader, layers: Sequence[LayerSpec], packed: Callable[[LayerSpec], NDArray[np.uint8]], sample: int
) -> dict[str, NDArray[np.float32]]:
    """SAM of one sample at the steps that are kept, nothing of samples behind the first `stepped`.

    Parameters are those of :func:`explain_spikes`.

    Returns
    -------
    layer -> (S, H, W) float32
    """
    maps = dict[str, NDArray[np.float32]]()
    if sample >= header.stepped:
        return maps
    kernel = dict(header.parameters)
    gamma = kernel.pop("gamma")
    last = header.steps[-1] + 1  # later spikes change none of the maps that are kept
    for layer in layers:
        (at_steps,) = spike_activation_maps(packed(layer)[:last], layer.shape, [gamma], **kernel)
        every = len(at_steps) == len(header.steps)  # then there is no need for a copy
        maps[layer.name] = at_steps if every else at_steps[list(header.steps)]
    return maps


def explain(
    raster: RasterReader | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    gamma: float = 0.5,
    layers: Iterable[str] = (),
    variant: AnyVariant = "paper",
    include_current: bool = True,
    steps: str = "pictured",
    pictured: int = PICTURED,
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
    variant : "paper" (Kim & Panda 2021, Eq. 12-14); "authors-code", their published script; or "fixed", the paper's in
        integers, as maps from Lava's graph are
    include_current : let a spike count itself, not only earlier ones
    steps : which maps are kept step by step, beside the sums over the steps that matter: "pictured" for all steps of
        the first samples, "all", "none", or of all samples steps such as "0:100" or "::10", as Python slices
    pictured : how many first samples "pictured" means
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
        kept = kept_steps(steps, raster.timesteps, raster.n_samples, pictured)
        method = SpikeActivationMaps(raster, tuple(map(raster.layer, names)), gamma, variant, include_current, *kept)
        target = _target(raster, out)
        if isinstance(target, Path):
            refuse_existing(target, raster.path, overwrite)
        with tracker.time("prepare"), tracker.show("preparing (the first time, the kernel is compiled)"):
            if variant == "fixed":
                compile_maps()
            else:
                compile_kernel()
                compile_sums()
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
