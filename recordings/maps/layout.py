"""Laying out an empty file of maps, as schema.py says."""

from __future__ import annotations

from functools import lru_cache

import h5py

from spikesam.recordings.digests import About
from spikesam.recordings.maps.schema import (
    AXES,
    DIGEST,
    FORMAT,
    SCHEMA_VERSION,
    STEPS,
    SUM_AXES,
    MapHeader,
    digest_path,
)
from spikesam.recordings.new_hdf5 import create_dataset, hdf5_in_memory
from spikesam.recordings.schema import SAMPLE_DATASETS


def attributes(header: MapHeader) -> About:
    """All attributes of a file of maps but those that are written last."""
    about: About = {
        "/": {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "method": header.method,
            "T": header.timesteps,
            "stepped": header.stepped,
            header.source_name: header.source,
            **header.parameters,
        }
    }
    for layer in header.layers:
        about[header.sum_path(layer)] = {"axes": SUM_AXES, "steps": layer.steps_that_matter}
        if header.stepped:
            about[header.path(layer)] = {"axes": AXES}
    return about


def lay_out(file: h5py.File, header: MapHeader, count: int) -> None:
    """Write attributes and empty datasets for `count` samples."""
    for spec in SAMPLE_DATASETS.values():
        create_dataset(file, f"/samples/{spec.name}", spec, {"N": count})
    if header.stepped:
        create_dataset(file, "/steps", STEPS, {"S": len(header.steps)})
    for layer in header.layers:
        for path, spec, rows in header.datasets(layer, count):
            create_dataset(file, path, spec, header.sizes(layer, rows))
            create_dataset(file, digest_path(path), DIGEST, {"N": rows})
    for path, values in attributes(header).items():
        file[path].attrs.update(values)
    file.attrs.update({"complete": False, "content_digest": ""})


@lru_cache(maxsize=2)
def empty_maps(header: MapHeader, count: int) -> bytes:
    """The content of a file that is laid out for `count` samples; ranges differ in nothing but what they explain."""
    with hdf5_in_memory() as (file, image):
        lay_out(file, header, count)
        return image()
