"""The unfinished raster: `raster.parts/` with a manifest and shards of ≤ 16 consecutive samples.

A shard is itself a complete raster file, named after the position of its first sample, so it is checked by the same
reader; the manifest says what the whole will be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from recordings.disk import check_free, readable, write_file
from recordings.errors import InputError, RasterError
from recordings.parsing import parse_json
from recordings.schema import SampleTable
from recordings.seal import Seal, sealed_content

from .merging import MergedRaster, merging
from .reader import RasterReader
from .records import SampleRecord, raster_image
from .schema import FORMAT, MAX_SHARD_SAMPLES, SCHEMA_VERSION, RasterHeader

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 28  # of a million samples and more; beyond that, JSON takes gigabytes to read
FLUSH_BYTES = 64 << 20  # at most so much is held in memory, beyond the batch at hand


def shard_path(parts: Path, position: int) -> Path:
    """Where the shard that begins with this sample lies."""
    return parts / f"{position:08d}.h5"


def fills_shard(records: list[SampleRecord]) -> bool:
    """Whether samples are to be written before more are taken: they are many enough, or large."""
    return len(records) == MAX_SHARD_SAMPLES or sum(kept.nbytes for kept in records) > FLUSH_BYTES


def write_shard(
    parts: Path, header: RasterHeader, samples: SampleTable, run_uuid: str, records: list[SampleRecord]
) -> bytes:
    """Write consecutive samples as one shard; it is built in memory, so a full disk cannot leave half an HDF5 file.

    Returns
    -------
    its content, whose seal :func:`merge_shards` knows it by
    """
    image = raster_image(header, samples, run_uuid, records)
    write_file(shard_path(parts, records[0].position), image)
    return image


def merge_shards(
    path: Path,
    parts: Path,
    shards: Mapping[int, int],
    header: RasterHeader,
    samples: SampleTable,
    run_uuid: str,
    advice: str,
    overwrite: bool = False,
    seals: Mapping[int, Seal] | None = None,
) -> None:
    """Make the whole raster of its shards, each verified, copying their chunks; it appears whole or not at all.

    A shard whose bytes are those that its seal remembers is verified by that alone; of others every chunk is decoded,
    and compared with its digest.

    Parameters
    ----------
    shards : position of the first sample -> number of samples, together all that `samples` holds
    advice : what to do if the disk is too small
    overwrite : replace a file that exists
    seals : position of the first sample -> the seal of a shard, where it is known

    Raises
    ------
    InputError : if it would not fit on the disk, or the file exists
    RasterError : if a shard was changed or removed since it was written
    OSError : if the raster cannot be written
    """
    with merging(path, header, samples, run_uuid, overwrite=overwrite) as merged:
        add_shards(merged, parts, shards, seals or {}, advice)


def add_shards(
    merged: MergedRaster, parts: Path, shards: Mapping[int, int], seals: Mapping[int, Seal], advice: str
) -> None:
    """Take the samples of shards; see :func:`merge_shards`."""
    if missing := [first for first in shards if not shard_path(parts, first).is_file()]:
        raise RasterError(f"{shard_path(parts, missing[0])}: was removed since it was written")
    check_free(parts, sum(shard_path(parts, first).stat().st_size for first in shards), None, advice)
    for first, count in sorted(shards.items()):
        path = shard_path(parts, first)
        sealed = sealed_content(path, seals[first]) if first in seals else None
        if sealed is not None:  # its bytes are what was written, so there is no need to look into it
            merged.add_sealed(first, sealed)
            continue
        with RasterReader(path) as shard:
            if found := differences(merged.header, merged.samples[first : first + count], shard.header, shard.samples):
                raise RasterError(f"{path}: {'; '.join(found)}")
            merged.add_verified(first, shard)


def good_shards(parts: Path, header: RasterHeader, samples: SampleTable, only: range) -> tuple[dict[int, int], int]:
    """Verify every shard that begins within `only`, and delete those that are damaged.

    Returns
    -------
    position of the first sample -> number of samples, for the good ones; and how many were deleted
    """
    good: dict[int, int] = {}
    dropped = 0
    few = len(only) < len(samples)  # then a folder of very many shards is not listed
    for path in [shard_path(parts, position) for position in only] if few else sorted(parts.iterdir()):
        if path.suffix == ".h5" and path.is_file():
            if count := _intact_samples(path, header, samples):
                good[int(path.stem)] = count
            else:
                path.unlink()
                dropped += 1
    return good, dropped


def _intact_samples(path: Path, header: RasterHeader, samples: SampleTable) -> int:
    """Number of samples of a shard that is whole and belongs here, else 0."""
    try:
        first = int(path.stem)
        with RasterReader(path) as shard:
            shard.verify()
            mine = samples[first : first + shard.n_samples]
            return 0 if differences(header, mine, shard.header, shard.samples) else shard.n_samples
    except ValueError:  # a RasterError, or a name that is not a position
        return 0


def write_manifest(parts: Path, header: RasterHeader, samples: SampleTable, run_uuid: str) -> None:
    """Say what the raster will hold."""
    content = {
        "format": f"{FORMAT}-parts",
        "schema_version": SCHEMA_VERSION,
        "run_uuid": run_uuid,
        "header": asdict(header),
        "index": samples.index.tolist(),
        "label": samples.label.tolist(),
    }
    write_file(parts / MANIFEST, json.dumps(content).encode())


def read_manifest(parts: Path) -> tuple[RasterHeader, SampleTable, str]:
    """Undo :func:`write_manifest`."""
    path = parts / MANIFEST
    try:
        if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
            raise InputError(f"{readable(size)}, expected at most {readable(MAX_MANIFEST_BYTES)}")
        content = parse_json(path.read_bytes(), "manifest")
        if (content["format"], content["schema_version"]) != (f"{FORMAT}-parts", SCHEMA_VERSION):
            raise InputError(f"schema {content['schema_version']} of {content['format']}, this is {SCHEMA_VERSION}")
        header = RasterHeader.parse(content["header"])
        return header, SampleTable(np.array(content["index"]), np.array(content["label"])), str(content["run_uuid"])
    except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}), expected the manifest of an unfinished run; "
            f"remove {parts} to start again"
        ) from error


def differences(old: RasterHeader, old_samples: SampleTable, new: RasterHeader, new_samples: SampleTable) -> list[str]:
    """What keeps two runs from being one raster, each as "field is OLD there, NEW here"; nothing if they can be."""
    fields = ["network_sha256", "dataset", "seed", "timesteps", "precision", "classes", "readout_scale", "layer_delay"]
    if old.precision == "float32":  # there, another backend or device may round spikes differently
        fields += ["backend", "device"]
    found = [
        f"{field} is {getattr(old, field)!r} there, {getattr(new, field)!r} here"
        for field in fields
        if getattr(old, field) != getattr(new, field)
    ]
    if old.layers != new.layers:
        names = [", ".join(layer.name for layer in header.layers) for header in (old, new)]
        if names[0] == names[1]:
            pair = next((a, b) for a, b in zip(old.layers, new.layers, strict=True) if a != b)
            names = [str(layer) for layer in pair]
        found.append(f"layers are {names[0]} there, {names[1]} here")
    if len(old_samples) != len(new_samples):
        found.append(f"there are {len(old_samples)} samples there, {len(new_samples)} here")
    else:
        for name in ("index", "label"):
            before, after = getattr(old_samples, name), getattr(new_samples, name)
            if (differ := np.flatnonzero(before != after)).size:
                at = int(differ[0])
                found.append(f"sample {at} has {name} {before[at]} there, {after[at]} here")
    return found
