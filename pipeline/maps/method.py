"""Maps of where layers attend, whatever made them: one interface, one way to a file (see recordings/maps/schema.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backends.network import Network
from recordings.errors import InputError
from recordings.layers import find_layer, steps_that_matter
from recordings.lock import out_lock
from recordings.maps.schema import MapHeader, MapLayer
from recordings.maps.writer import writing_maps
from recordings.parallel import in_order
from recordings.schema import SampleTable


class MapMethod(Protocol):
    """A way to explain samples: SAM of a raster, Grad-CAM of an ANN or of a spiking network, or one of your own."""

    @property
    def header(self) -> MapHeader:
        """Method, source, parameters, steps and layers, and which maps are kept step by step."""

    @property
    def samples(self) -> SampleTable:
        """What is explained, in order."""

    def explain(self, sample: int) -> Explained:
        """The maps of a sample, in every layer of the header."""


class Explained(NamedTuple):
    """The maps of one sample.

    Parameters
    ----------
    prediction : the class that the network chose, -1 if unknown
    sums : layer -> (H, W) float32 ≥ 0, over the steps that matter
    maps : layer -> (S, H, W) float32 ≥ 0, at the header's `steps`; of its first `stepped` samples alone
    """

    prediction: int
    sums: Mapping[str, NDArray[np.float32]]
    maps: Mapping[str, NDArray[np.float32]]


def summed(header: MapHeader, sample: int, prediction: int, maps: Mapping[str, NDArray[np.float32]]) -> Explained:
    """What a file keeps of a sample, from its maps (T, H, W) at all steps."""
    sums = {
        layer.name: maps[layer.name][: layer.steps_that_matter].sum(axis=0, dtype=np.float64).astype(np.float32)
        for layer in header.layers
    }
    steps = list(header.steps)
    kept = {name: of_layer[steps] for name, of_layer in maps.items()} if sample < header.stepped else {}
    return Explained(prediction, sums, kept)


def write_maps(
    method: MapMethod,
    target: Path | BytesIO,
    advance: Callable[[int], None] = lambda samples: None,
    workers: int = 1,
    *,
    overwrite: bool = False,
) -> None:
    """Explain every sample into a file, holding the maps of at most `workers` + 2 samples, of one if `workers` is 1.

    Parameters
    ----------
    method : how
    target : a path, at which the file appears only when it is complete, or memory
    advance : called with the number of samples just explained
    workers : threads that explain samples; more than one only if `method.explain` allows it
    overwrite : replace a file that exists

    Raises
    ------
    InputError : if the file cannot be written, or exists
    """
    samples = range(len(method.samples))
    with (
        writing_maps(target, method.header, method.samples, overwrite=overwrite) as file,
        closing(in_order(method.explain, samples, workers)) as explained,
    ):
        for sample in samples:
            file.write(sample, *next(explained))
            advance(1)


def network_layers(network: Network, names: Collection[str]) -> tuple[MapLayer, ...]:
    """What a file of maps says of these layers of a spiking network or ANN, in order of depth; no raster is needed."""
    rasters = zip(network.raster_names, network.raster_shapes, strict=True)
    return tuple(
        MapLayer(name, number, shape[1:], steps_that_matter(network.timesteps, number, len(network.layers), 1))
        for number, (name, shape) in enumerate(rasters, network.first_raster)
        if name in names
    )


def spatial_layers(kinds: Mapping[str, str], wanted: Iterable[str], where: object) -> tuple[str, ...]:
    """Names of the wanted layers in order of depth, or of all that have a spatial extent if none is wanted.

    Parameters
    ----------
    kinds : name -> "input", "conv" or "dense", in order of depth; the input has number 0, the layer behind it number 1
    wanted : names or numbers; one name may stand by itself
    where : what error messages begin with

    Raises
    ------
    InputError : if a layer is unknown or dense, or none is left
    """
    first = 0 if "input" in kinds.values() else 1
    numbers = {name: number for number, name in enumerate(kinds, first)}
    names = {find_layer(name, numbers, where) for name in ([wanted] if isinstance(wanted, str) else wanted)}
    spatial = [name for name, kind in kinds.items() if kind != "dense"]
    if dense := names - set(spatial):
        raise InputError(
            f"{where}: layer {min(dense)!r} is dense, its neurons have no place in the image; "
            f"choose from {', '.join(name for name in spatial) or 'none'}"
        )
    if not spatial:
        raise InputError(f"{where}: has dense layers only, expected at least one with a spatial extent")
    return tuple(name for name in spatial if name in names or not names)


def refuse_existing(out_path: Path, source: Path | None, overwrite: bool) -> None:
    """Refuse a target that would overwrite something not given up, above all the file that the maps are made from."""
    if not os.path.lexists(out_path):
        return
    if not out_path.is_file():
        found = "a directory" if out_path.is_dir() else "not a regular file"
        raise InputError(f"{out_path}: {found}, expected the name of a file for the maps, such as maps.h5")
    if source is not None and os.path.samefile(out_path, source):
        raise InputError(f"{out_path}: is what the maps are to be made from", "other-out")
    if not overwrite:
        raise InputError(f"{out_path}: already exists", "overwrite")


@contextmanager
def figures_folder(folder: Path | None, overwrite: bool) -> Iterator[None]:
    """Hold the folder for pictures, if any are wanted, from before the hours of work until they are drawn.

    Raises
    ------
    InputError : at once, if it exists without `overwrite`, cannot be written, or another process holds it
    """
    if folder is None:
        yield
        return
    if file := next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None):
        raise InputError(f"{folder}: {file} is a file", "figures-folder")
    if folder.exists() and not overwrite:
        raise InputError(f"{folder}: already exists", "add-figures")
    with out_lock(folder, None if overwrite else "add-figures"):
        yield
