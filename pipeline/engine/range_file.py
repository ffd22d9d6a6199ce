"""One sealed file for up to 16 consecutive samples of a run: what is known of them, their spikes and their maps.

Line 1   SHA-256 of line 2, hexadecimal
Line 2   a :class:`RangeRecord` as JSON, which has the seal of each section
then     the sections one after the other: a whole raster file, and a whole file of maps, where the run keeps them

A file never holds samples of two ranges. It is called after the position of its first sample: `00000016.range`.
The digest and the seals show damage; :mod:`.range_check` says whether a run would have written what they seal.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikesam.pipeline.engine.job import RANGE, JobSpec
from spikesam.pipeline.maps.localisation import Score
from spikesam.recordings.digests import Seal, seal
from spikesam.recordings.disk import write_file
from spikesam.recordings.errors import RasterError
from spikesam.recordings.schema import MAX_SIZES

PARTS, SPEC = "raster.parts", "job.json"
FILES = ("raster.h5", "sam.h5", "summary.json", "network.safetensors", "config.toml")
NAMES = (*FILES, "figures", PARTS, f"{PARTS}/{SPEC}")  # what a run reads, and where it writes
SUFFIX = ".range"
LARGEST_RECORD = 1 << 26  # bytes
SPARE = 1 << 24  # bytes that a section may have beyond what its spikes or maps take unpacked
DIGEST_LINE = 65  # bytes: 64 hexadecimal digits, and the end of the line


class RangeRecord(BaseModel):
    """What is known of some consecutive samples beside their spikes and maps.

    Parameters
    ----------
    job : identity of the run that they belong to
    first, count : the samples, by position
    names : of the samples, for people
    predictions, readout : the classes that the network chose, and the raw sums that they were chosen by
    spikes : layer -> number of spikes of each sample; none where the backend formed the maps
    digests : layer -> SHA-256 of the packed spikes of each sample, hexadecimal; as many
    scores : how well maps find the object, see :mod:`spikesam.pipeline.maps.localisation`
    backend, device : what simulated them
    seconds : stage -> seconds, of all threads together
    sections : "raster", "maps" -> seal of this section, in the order in which they follow
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str
    first: Annotated[int, Field(ge=0, le=MAX_SIZES["N"])]
    count: Annotated[int, Field(ge=1, le=RANGE)]
    names: tuple[str, ...]
    predictions: tuple[int, ...]
    readout: tuple[tuple[float, ...], ...]
    spikes: dict[str, tuple[int, ...]]
    digests: dict[str, list[str]]
    scores: tuple[Score, ...]
    backend: str
    device: str
    seconds: dict[str, float]
    sections: dict[str, Seal]

    @property
    def positions(self) -> range:
        """Of the samples."""
        return range(self.first, self.first + self.count)


def range_path(folder: Path, first: int) -> Path:
    """Where the samples from this position on lie, in the folder of a run."""
    return folder / PARTS / f"{first:08d}{SUFFIX}"


def write_range(folder: Path, record: RangeRecord, sections: Mapping[str, bytes]) -> str:
    """Write a file; it appears whole or not at all, and never in place of another process's.

    Parameters
    ----------
    record : without seals
    sections : their content, by name

    Returns
    -------
    the digest of the record, and so of all that it seals

    Raises
    ------
    ExistsError : if another process has written it
    OSError : if it cannot be written
    """
    sealed = record.model_copy(update={"sections": {name: seal(content) for name, content in sections.items()}})
    line = sealed.model_dump_json().encode()
    digest = hashlib.sha256(line).hexdigest()
    content = digest.encode(), b"\n", line, b"\n", *sections.values()
    write_file(range_path(folder, record.first), *content, overwrite=False)
    return digest


class RangeFile:
    """A file that was written, by whomever.

    Parameters
    ----------
    path : of the file
    spec : of the run that it should belong to

    Attributes
    ----------
    record : what is known of its samples
    digest : of the record
    sections : their spikes and maps

    Raises
    ------
    RasterError : if it cannot be read, is damaged, or belongs to no range of this run
    """

    def __init__(self, path: Path, spec: JobSpec) -> None:
        self.path = path
        if path.is_symlink() or not path.is_file():
            raise RasterError(f"{path}: not an ordinary file; compute its samples again")
        try:
            with path.open("rb") as file:
                digest, line = file.readline(DIGEST_LINE), file.readline(LARGEST_RECORD)
                start, size = file.tell(), os.fstat(file.fileno()).st_size
        except OSError as error:
            raise RasterError(f"{path}: cannot be read ({error.strerror}); compute its samples again") from error
        self.digest = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
        if self.digest.encode() + b"\n" != digest:
            raise RasterError(f"{path}: damaged, its digest does not fit; compute its samples again")
        try:
            self.record = RangeRecord.model_validate_json(line)
        except ValidationError as error:
            raise RasterError(f"{path}: no part of a run ({error.errors()[0]['msg']})") from None
        self.sections = Sections(path, self.record.first, start, self.record.sections)
        positions, of_range = self.record.positions, range(0)
        if positions.start < len(spec.samples):
            of_range = spec.ranges[positions.start // RANGE]
        inside = positions.stop <= of_range.stop
        if self.record.job != spec.identity or not inside or path.name != range_path(path, positions.start).name:
            raise RasterError(f"{path}: belongs to no range of this run; remove it")
        sizes = [sealed.size for sealed in self.record.sections.values()]
        if sum(sizes) != size - start or max(sizes, default=0) > self._largest_section(spec):
            raise RasterError(f"{path}: damaged, its size does not fit; compute its samples again")

    def _largest_section(self, spec: JobSpec) -> int:
        """Bytes that no raster and no file of maps of these samples has."""
        packed = spec.header.timesteps * sum(layer.step_bytes for layer in spec.header.layers)
        maps = spec.all_maps.sample_bytes if spec.keep.maps is not None else 0
        return SPARE + self.record.count * max(packed, maps) * 9 // 8


@dataclass(frozen=True)
class Sections:
    """What follows the record of a file.

    Parameters
    ----------
    path : of the file
    first : position of its first sample
    start : where the first section begins, bytes
    seals : section -> its seal, in order
    """

    path: Path
    first: int
    start: int
    seals: Mapping[str, Seal]

    def read(self, name: str) -> bytes:
        """The content of a section.

        Raises
        ------
        RasterError : if it is not the one that the record names
        """
        start = self.start
        for each, expected in self.seals.items():
            if each == name:
                content = self._content(start, expected.size)
                if seal(content) == expected:
                    return content
                break
            start += expected.size
        raise RasterError(f"{self.path}: damaged, its {name} is not what was written; compute its samples again")

    def _content(self, start: int, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                if start + size > os.fstat(file.fileno()).st_size:
                    return b""
                file.seek(start)
                return file.read(size)
        except OSError:
            return b""


def range_files(folder: Path, positions: range, everything: bool) -> Iterator[Path]:
    """Paths of the files that begin at some of the positions, in order; what is in them is not looked at.

    Parameters
    ----------
    everything : True lists the folder; False looks for files at the given positions alone, which is faster
    """
    if everything:
        paths = sorted((folder / PARTS).glob(f"[0-9]*{SUFFIX}"))
    else:
        paths = [range_path(folder, first) for first in positions]
    yield from (
        path
        for path in paths
        if re.fullmatch("[0-9]+", path.stem) and (path.is_symlink() or (path.exists() and not path.is_dir()))
    )
