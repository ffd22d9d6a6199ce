"""Laying out an empty raster file, as the table in schema.py says."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, lru_cache
from importlib import metadata
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.digests import About, content_digest
from spikesam.recordings.new_hdf5 import create_dataset, hdf5_in_memory
from spikesam.recordings.raster.schema import (
    FORMAT,
    LAYER_DATASETS,
    LAYER_TABLES,
    READOUT_DATASETS,
    SCHEMA_VERSION,
    SPIKE_AXES,
    RasterHeader,
)
from spikesam.recordings.schema import SAMPLE_DATASETS

_DISTRIBUTIONS = (
    *("spikesam", "numpy", "h5py", "isal", "numba", "torch"),
    *("snntorch", "spikingjelly", "norse", "sinabs", "lava-dl", "lava-nc"),
)


def attributes(header: RasterHeader, run_uuid: str) -> About:
    """All attributes of a raster but those that :func:`finish` adds."""
    about: About = {
        "/": {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "run_uuid": run_uuid,
            "versions": _versions(),
            "backend": header.backend,
            "device": header.device,
            "precision": header.precision,
            "T": header.timesteps,
            "K": header.classes,
            "layer_delay": header.layer_delay,
            "dt": float(header.dt),
            "seed": header.seed,
            "network_sha256": header.network_sha256,
            "dataset": header.dataset,
            "config": header.config,
            **({} if header.window is None else {"window": header.window}),
        }
    }
    if header.classes:
        about["/readout"] = {"scale": float(header.readout_scale)}
    for layer in header.layers:
        about[f"/layers/{layer.group}/spikes"] = {
            "shape": np.array(layer.shape, np.int64),
            "axes": SPIKE_AXES,
            "kind": layer.kind,
            "threshold": float(layer.threshold),
            "leak": float(layer.leak),
            **({} if layer.to_readout is None else {"to_readout": layer.to_readout}),
        }
    return about


def table_paths(header: RasterHeader) -> list[str]:
    """Paths of everything but the spikes, in the order in which the content digest takes them."""
    of_layers = [f"/layers/{layer.group}/{name}" for layer in header.layers for name in LAYER_TABLES]
    return [*(f"/samples/{name}" for name in SAMPLE_DATASETS), *(["/readout"] if header.classes else []), *of_layers]


@lru_cache(maxsize=1)
def empty_raster(header: RasterHeader, count: int, run_uuid: str) -> bytes:
    """The content of a file that is laid out for `count` samples. Shards differ in nothing else; h5py takes 7 ms."""
    with hdf5_in_memory() as (file, image):
        lay_out(file, header, count, run_uuid)
        return image()


def lay_out(file: h5py.File, header: RasterHeader, count: int, run_uuid: str) -> None:
    """Write attributes, and empty datasets for `count` samples; `complete` stays false until :func:`finish`."""
    for name, spec in SAMPLE_DATASETS.items():
        create_dataset(file, f"/samples/{name}", spec, header.sizes(count))
    if header.classes:
        create_dataset(file, "/readout", READOUT_DATASETS[header.precision], header.sizes(count))
    for layer in header.layers:
        for name, spec in LAYER_DATASETS.items():
            create_dataset(file, f"/layers/{layer.group}/{name}", spec, header.sizes(count, layer))
    for path, values in attributes(header, run_uuid).items():
        file[path].attrs.update(values)
    file.attrs.update({"complete": False, "raster_digest": "", "content_digest": ""})


def finish(file: h5py.File, digest: str, about: About, tables: Iterable[NDArray[Any]]) -> None:
    """Say that everything is there, and what everything is: the raster digest, then one of all the rest.

    `about` and `tables` are what the file holds beside its spikes; the tables in the order of :func:`table_paths`.
    """
    about["/"]["raster_digest"] = digest
    file.attrs["raster_digest"] = digest
    file.attrs["content_digest"] = content_digest(about, tables)
    file.attrs["complete"] = True


@cache
def _versions() -> str:
    """Versions of Python, HDF5 and the libraries at hand as JSON, without importing any."""
    versions = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for name in _DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return json.dumps(versions)
