"""One sealed file for up to 16 consecutive samples of a run: what is known of them, their spikes
and their maps.

Line 1   SHA-256 of line 2, hexadecimal
Line 2   a :class:`RangeRecord` as JSON, which has the seal of each section
then     the sections one after the other: a whole raster file, and a whole file of maps, where the
         run keeps them

A file never holds samples of two ranges. It is called after the position of its first sample:
`00000016.range`.

Whoever can write in the folder of a run can write digests that fit. So a file that this process has
not written is read like any file from outside: HDF5 by the readers of rasters and of maps, which
open it in a process of its own first, and every bit of it. Then its parts are compared with each
other and with the specification of the run.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from spikesam.common.disk import write_file
from spikesam.common.errors import InputError, at
from spikesam.common.models import Many, parse_model
from spikesam.common.text import printable
from spikesam.pipeline.engine.job import RANGE, JobSpec, differences_of_runs
from spikesam.pipeline.maps.localisation import GUESSES, OF_LAYERS, Score
from spikesam.pipeline.measures.localisation import MEASURES
from spikesam.recordings.digests import Seal, seal
from spikesam.recordings.errors import RasterError
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.raster.schema import PRECISIONS
from spikesam.recordings.raster.writer import SPEC, SUFFIX
from spikesam.recordings.schema import MAX_SIZES

PARTS = "raster.parts"
MADE = {"raster": "raster.h5", "maps": "sam.h5"}  # section of ranges -> what is merged of it
FILES = (*MADE.values(), "summary.json", "network.safetensors", "config.toml")
NAMES = (*FILES, "figures", PARTS, f"{PARTS}/{SPEC}")  # what a run reads, and where it writes
STAGES = 32  # whose seconds a record may have
LONGEST_TEXT = 4096  # characters, of a path whose bytes are no UTF-8 and are spelt out
# Bytes, and marks of JSON, that a record has at most for each sample: of its name and all else, of
# its readout for each class, of its counts, digests and scores for each layer.
OF_SAMPLE, OF_CLASS, OF_LAYER = (4 * LONGEST_TEXT, LONGEST_TEXT), (32, 1), (2048, 64)
SPARE = 1 << 24  # bytes that a section may have beyond what its spikes or maps take unpacked
DIGEST_LINE = 65  # bytes: 64 hexadecimal digits, and the end of the line


class RangeRecord(BaseModel):
    """The record of some consecutive samples beside their spikes and maps."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    job: str  # identity of the run that they belong to
    first: Annotated[int, Field(ge=0, le=MAX_SIZES["N"])]  # by position
    count: Annotated[int, Field(ge=1, le=RANGE)]
    names: Many[str]  # of the samples, for people
    predictions: Many[int]  # classes that the network chose
    readout: Many[Many[float]]  # raw sums that they were chosen by
    # layer -> number of each sample; none where the backend formed the maps
    spikes: dict[str, Many[int]]
    digests: dict[str, Many[str]]  # layer -> SHA-256 of the packed spikes of each sample; as many
    scores: Many[Score]  # of maps, see :mod:`spikesam.pipeline.maps.localisation`
    backend: str
    device: str
    seconds: dict[str, float]  # by stage, of all threads together
    sections: dict[str, Seal]  # seals of "raster" and "maps", in the order in which they follow

    @property
    def positions(self) -> range:
        """Of the samples."""
        return range(self.first, self.first + self.count)


def range_path(folder: Path, first: int) -> Path:
    """The path of the samples from this position on, in the folder of a run."""
    return folder / PARTS / f"{first:08d}{SUFFIX}"


def write_range(folder: Path, record: RangeRecord, sections: Mapping[str, bytes]) -> str:
    """Write a file whole, never in place of another's (ExistsError); gives the digest of the
    record.
    """
    sealed = record.model_copy(
        update={"sections": {name: seal(content) for name, content in sections.items()}}
    )
    line = sealed.model_dump_json().encode()
    digest = hashlib.sha256(line).hexdigest()
    content = digest.encode(), b"\n", line, b"\n", *sections.values()
    write_file(range_path(folder, record.first), *content, overwrite=False)
    return digest


class RangeFile:
    """A file of a range: `record`, its `digest`, and `sections`; a RasterError if it is damaged or
    of another run.
    """

    def __init__(self, path: Path, spec: JobSpec) -> None:
        self.path = path
        if path.is_symlink() or not path.is_file():
            raise RasterError(f"{path}: not an ordinary file; compute its samples again")
        most_bytes, most_marks = _largest_record(spec)
        try:
            with path.open("rb") as file:
                digest, line = file.readline(DIGEST_LINE), file.readline(most_bytes + 1)
                start, size = file.tell(), os.fstat(file.fileno()).st_size
        except OSError as error:
            raise RasterError(
                f"{path}: cannot be read ({error.strerror}); compute its samples again"
            ) from error
        if len(line) > most_bytes:
            raise RasterError(
                f"{path}: its record has more than {most_bytes:,} bytes, expected less of a range "
                "of this run; compute its samples again"
            )
        self.digest = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
        if self.digest.encode() + b"\n" != digest:
            raise RasterError(
                f"{path}: damaged, its digest does not fit; compute its samples again"
            )
        try:
            with at("its record"):
                self.record = parse_model(RangeRecord, line, most_marks)
        except InputError as error:
            raise RasterError(
                f"{path}: no part of a run: {error.finding}; compute its samples again"
            ) from None
        self.sections = Sections(path, self.record.first, start, self.record.sections)
        positions, of_range = self.record.positions, range(0)
        if positions.start < len(spec.samples):
            of_range = spec.ranges[positions.start // RANGE]
        inside = positions.stop <= of_range.stop
        if (
            self.record.job != spec.identity
            or not inside
            or path.name != range_path(path, positions.start).name
        ):
            raise RasterError(f"{path}: belongs to no range of this run; remove it")
        sizes = [sealed.size for sealed in self.record.sections.values()]
        if sum(sizes) != size - start or max(sizes, default=0) > self._largest_section(spec):
            raise RasterError(f"{path}: damaged, its size does not fit; compute its samples again")

    def _largest_section(self, spec: JobSpec) -> int:
        """Bytes that no raster and no file of maps of these samples has."""
        packed = spec.header.timesteps * sum(layer.step_bytes for layer in spec.header.layers)
        maps = spec.all_maps.sample_bytes if "maps" in spec.keep.sections else 0
        return SPARE + self.record.count * max(packed, maps) * 9 // 8


def _largest_record(spec: JobSpec) -> tuple[int, int]:
    """Bytes, and marks of JSON, that no record of a range of this run has more of."""
    header = spec.header
    of_samples = (
        of_sample + of_class * header.classes + of_layer * len(header.layers)
        for of_sample, of_class, of_layer in zip(OF_SAMPLE, OF_CLASS, OF_LAYER, strict=True)
    )
    most_bytes, most_marks = (RANGE * of_sample for of_sample in of_samples)
    return most_bytes, most_marks


@dataclass(frozen=True)
class Sections:
    """Sections behind the record of a file, from the byte `start` on; `first` is the position of
    its first sample.
    """

    path: Path
    first: int
    start: int
    seals: Mapping[str, Seal]

    def read(self, name: str) -> bytes:
        """The content of a section; a RasterError if it is not the one that the record names."""
        start = self.start
        for section, expected in self.seals.items():
            if section == name:
                content = self._content(start, expected.size)
                if seal(content) == expected:
                    return content
                break
            start += expected.size
        raise RasterError(
            f"{self.path}: damaged, its {name} is not what was written; compute its samples again"
        )

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
    """Paths of files that begin at some positions, in order; `everything` lists the folder, which
    is slower for few.
    """
    if everything:
        paths = sorted((folder / PARTS).glob(f"[0-9]*{SUFFIX}"))
    else:
        paths = [range_path(folder, first) for first in positions]
    yield from (
        path
        for path in paths
        if re.fullmatch("[0-9]+", path.stem)
        and (path.is_symlink() or (path.exists() and not path.is_dir()))
    )


def check_range(file: RangeFile, spec: JobSpec, *, recorded: bool) -> None:
    """Read all of a file; a RasterError if the run would not have written it; once `recorded`, it
    needs no spikes.
    """
    expected_sections, sections_of_file = spec.keep.sections, tuple(file.sections.seals)
    with _named(file):
        same = sections_of_file == expected_sections or (
            recorded and ("raster", *sections_of_file) == expected_sections
        )
        _expect(same, f"the sections {' and '.join(expected_sections)}")
        _check_record(file.record, spec)
        for name in file.sections.seals:
            {"raster": _check_raster, "maps": _check_maps}[name](
                file.sections.read(name), file.record, spec
            )


@contextmanager
def _named(file: RangeFile) -> Iterator[None]:
    """Name the file in what is refused."""
    try:
        yield
    except InputError as error:
        path, text = str(file.path), str(error)
        if text.startswith(path):
            raise
        raise RasterError(
            f"{path}: damaged or forged, {text}; compute its samples again"
        ) from error


def _check_record(record: RangeRecord, spec: JobSpec) -> None:
    count, classes = record.count, spec.header.classes
    layers = {layer.name: layer for layer in spec.recorded}
    columns: list[Sized] = [
        record.names,
        record.predictions,
        record.readout,
        *record.spikes.values(),
        *record.digests.values(),
    ]
    _expect(
        all(len(column) == count for column in columns),
        f"all columns of its record to have {count} rows",
    )
    _expect(
        record.spikes.keys() == record.digests.keys() == layers.keys(),
        "its layers to be those of the run",
    )
    for name, layer in layers.items():
        max_spikes = spec.header.timesteps * layer.neurons
        _expect(
            all(0 <= spikes <= max_spikes for spikes in record.spikes[name]),
            f"at most {max_spikes:,} spikes in {name}",
        )
        _expect(
            all(re.fullmatch("[0-9a-f]{64}", digest) for digest in record.digests[name]),
            "its digests",
        )
    _expect(
        all(len(row) == classes > 0 for row in record.readout), f"a readout of {classes} classes"
    )
    readout = np.array(record.readout, np.float64)
    with np.errstate(all="ignore"):  # of numbers that the precision does not have
        rounded = readout.astype(PRECISIONS[spec.header.precision])
    _expect(
        bool(np.isfinite(readout).all()) and np.array_equal(readout, rounded),
        f"a {spec.header.precision} readout",
    )
    _expect(
        record.predictions == spec.header.predictions(readout).tolist(),
        "its predictions to be those of its readout",
    )
    texts = [*record.names, record.backend, record.device]
    _expect(
        all(len(text) <= LONGEST_TEXT and text == printable(text) for text in texts),
        "short printable names",
    )
    if spec.header.precision == "float32":
        same = (record.backend, record.device) == (spec.header.backend, spec.header.device)
        _expect(same, f"{spec.header.backend} on {spec.header.device}")
    stages = record.seconds
    _expect(
        len(stages) <= STAGES and all(re.fullmatch("[a-z]{1,32}", stage) for stage in stages),
        "names of stages",
    )
    _expect(all(0 <= seconds < math.inf for seconds in stages.values()), "finite seconds")
    names = {layer.name for layer in spec.mapped}
    for score in record.scores:
        method = (score.layer in names and score.method in OF_LAYERS) or (
            not score.layer and score.method in GUESSES
        )
        is_known = method and score.measure in MEASURES and score.image in record.positions
        _expect(is_known and math.isfinite(score.value), "scores of its samples and layers")


def _check_raster(content: bytes, record: RangeRecord, spec: JobSpec) -> None:
    samples = spec.samples[record.first : record.first + record.count]
    with RasterReader(content) as raster:
        raster_header, header = raster.header, spec.header
        if wrong := differences_of_runs(raster_header, raster.samples, header, samples):
            raise RasterError(f"its raster is another run's ({wrong[0]})")
        same = replace(
            raster_header,
            backend=header.backend,
            device=header.device,
            config=header.config,
            dt=header.dt,
        )
        _expect(same == header and raster.run_uuid == spec.run_uuid, "its raster to be of this run")
        _expect(
            (raster_header.backend, raster_header.device) == (record.backend, record.device),
            "one backend and device",
        )
        raster.verify()
        _expect(raster.predictions.tolist() == record.predictions, "one prediction of each sample")
        _expect(raster.readout.tolist() == record.readout, "one readout of each sample")
        for layer in raster.layers:
            counts, digests = raster.counts(layer).sum(axis=1, dtype=int), raster.digests(layer)
            _expect(
                counts.tolist() == record.spikes[layer.name],
                f"one number of spikes in {layer.name}",
            )
            _expect(
                [digest.decode() for digest in digests] == record.digests[layer.name],
                "one digest of each sample",
            )


def _check_maps(content: bytes, record: RangeRecord, spec: JobSpec) -> None:
    samples = spec.samples[record.first : record.first + record.count]
    with MapReader(content) as maps:
        expected = spec.maps(record.positions, spec.digest(record.digests))
        _expect(
            maps.header == expected, "its maps to be those of its spikes, as this run makes them"
        )
        same = all(
            np.array_equal(getattr(maps.samples, name), getattr(samples, name))
            for name in ("index", "label")
        )
        _expect(
            same and maps.predictions.tolist() == record.predictions,
            "its maps to be of these samples",
        )
        maps.verify()


def _expect(holds: bool, expected: str) -> None:
    if not holds:
        raise RasterError(f"expected {expected}")
