"""Laying out an empty raster file, as the table in schema.py says."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from functools import cache
from importlib import metadata

import h5py
import numpy as np

from recordings.compress import DEFLATE_LEVEL
from recordings.digests import content_digest
from recordings.schema import SAMPLE_DATASETS, DatasetSpec, SampleTable

from .schema import (
    FORMAT,
    LAYER_ATTRIBUTES,
    LAYER_DATASETS,
    LAYER_TABLES,
    READOUT_ATTRIBUTES,
    READOUT_DATASETS,
    ROOT_ATTRIBUTES,
    SCHEMA_VERSION,
    SPIKE_AXES,
    RasterHeader,
)

_DISTRIBUTIONS = (
    *("spikesam", "numpy", "h5py", "isal", "numba", "torch"),
    *("snntorch", "spikingjelly", "norse", "sinabs", "lava-dl", "lava-nc"),
)


def lay_out(file: h5py.File, header: RasterHeader, samples: SampleTable, run_uuid: str) -> None:
    """Write attributes, the sample table and empty datasets; `complete` stays false until :func:`mark_complete`."""
    file.attrs.update(
        {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "complete": False,
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
            "raster_digest": "",
            "content_digest": "",
        }
    )
    sizes = header.sizes(len(samples))
    group = file.create_group("samples")
    for spec in SAMPLE_DATASETS.values():
        _create(group, spec, sizes)
    group["index"][:] = samples.index
    group["label"][:] = samples.label
    if header.classes:
        readout = _create(file, READOUT_DATASETS[header.precision], sizes)
        readout.attrs["scale"] = float(header.readout_scale)
    for layer in header.layers:
        group = file.create_group(f"layers/{layer.group}")
        for spec in LAYER_DATASETS.values():
            _create(group, spec, header.sizes(len(samples), layer))
        group["spikes"].attrs.update(
            {
                "shape": np.array(layer.shape, np.int64),
                "axes": SPIKE_AXES,
                "kind": layer.kind,
                "threshold": float(layer.threshold),
                "leak": float(layer.leak),
            }
        )


def mark_complete(file: h5py.File, digest: str) -> None:
    """Say that everything is there, and what everything is: the raster digest, then one of all the rest."""
    file.attrs["raster_digest"] = digest
    file.attrs["content_digest"] = _content_digest(file)
    file.attrs["complete"] = True


def _content_digest(file: h5py.File) -> str:
    attributes = {"/": {name: file.attrs[name] for name in ROOT_ATTRIBUTES}}
    tables = [f"/samples/{name}" for name in SAMPLE_DATASETS]
    if "readout" in file:
        attributes["/readout"] = {name: file["readout"].attrs[name] for name in READOUT_ATTRIBUTES}
        tables.append("/readout")
    for group in sorted(file["layers"]):
        where = f"/layers/{group}"
        attributes[f"{where}/spikes"] = {name: file[f"{where}/spikes"].attrs[name] for name in LAYER_ATTRIBUTES}
        tables += [f"{where}/{name}" for name in LAYER_TABLES]
    return content_digest(attributes, (file[where][:] for where in tables))


def _create(group: h5py.Group, spec: DatasetSpec, sizes: dict[str, int]) -> h5py.Dataset:
    return group.create_dataset(
        spec.name,
        spec.shape(sizes),
        spec.dtype,
        chunks=spec.chunks(sizes),
        compression="gzip" if spec.deflate else None,
        compression_opts=DEFLATE_LEVEL if spec.deflate else None,
        fletcher32=True,
    )


@cache
def _versions() -> str:
    """Versions of Python, HDF5 and the libraries at hand as JSON, without importing any."""
    versions = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for name in _DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return json.dumps(versions)
