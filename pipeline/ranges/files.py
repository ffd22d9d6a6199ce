"""What a finished range leaves in `maps.parts/`, beside its spikes in `raster.parts/`: a file of maps, and a record.

00000016.h5     the maps of its samples, a complete file of maps
00000016.json   what else is known of them; written last, so a range that has a good record is finished
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.maps.localisation import Score
from recordings.disk import write_file
from recordings.errors import InputError, RasterError
from recordings.files import read_file
from recordings.maps.writer import writing_maps
from recordings.raster.shards import shard_path
from recordings.seal import Seal, seal, sealed_content
from recordings.sealed import SealedFile
from recordings.text import printable

from .plan import Plan
from .sample import ProcessedSample

PARTS, PLAN = "maps.parts", "plan.json"
LARGEST_RECORD = 1 << 26  # bytes


class RangeRecord(BaseModel):
    """What is known of a finished range beside its spikes and maps.

    Parameters
    ----------
    plan : identity of the plan that it belongs to
    first, count : its samples, by position
    names : of the samples, for people
    predictions, readout : the classes that the network chose, and the raw sums that they were chosen by
    spikes : layer -> number of spikes of each sample; none where they stayed in the graph
    digests : layer -> SHA-256 of the packed spikes of each sample, hexadecimal; as many
    scores : how well maps find the object, see :mod:`pipeline.maps.localisation`
    backend, device : what simulated it
    maps : seal of its file of maps; None if there is none
    shards : position of the first sample -> number of samples and seal, of each shard of its spikes; none where spikes
        are dropped, or were merged before
    seconds : stage -> seconds, of all threads together
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: str
    first: int
    count: int
    names: tuple[str, ...]
    predictions: tuple[int, ...]
    readout: tuple[tuple[float, ...], ...]
    spikes: dict[str, tuple[int, ...]]
    digests: dict[str, list[str]]
    scores: tuple[Score, ...]
    backend: str
    device: str
    maps: Seal | None
    shards: dict[int, tuple[int, Seal]]
    seconds: dict[str, float]


class RangeFiles:
    """The files of one range.

    Parameters
    ----------
    out : folder of the run
    plan : of the run
    number : of the range
    """

    def __init__(self, out: Path, plan: Plan, number: int) -> None:
        self.plan, self.positions, self._out = plan, plan.ranges[number], out
        name = f"{self.positions.start:08d}"
        self.maps, self.record = out / PARTS / f"{name}.h5", out / PARTS / f"{name}.json"

    def write(
        self,
        samples: list[ProcessedSample],
        shards: dict[int, tuple[int, Seal]],
        backend: str,
        device: str,
        seconds: dict[str, float],
    ) -> None:
        """Store what was found of every sample of the range, in order; the record comes last."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        digests = {
            layer.name: [each.record.layers[layer.name].digest.decode() for each in samples]
            for layer in self.plan.recorded
        }
        maps = self._write_maps(samples, self.plan.digest(digests)) if self.plan.keep != "raster" else None
        record = RangeRecord(
            plan=self.plan.identity,
            first=self.positions.start,
            count=len(samples),
            names=tuple(printable(each.name) for each in samples),  # a file's name need not be UTF-8
            predictions=tuple(each.record.prediction for each in samples),
            readout=tuple(tuple(each.record.readout.tolist()) for each in samples),
            spikes={
                layer: tuple(int(each.record.layers[layer].counts.sum(dtype=int)) for each in samples)
                for layer in digests
            },
            digests=digests,
            scores=tuple(score for each in samples for score in each.scores),
            backend=backend,
            device=device,
            maps=maps,
            shards=shards,
            seconds={stage: round(taken, 6) for stage, taken in seconds.items()},
        )
        content = record.model_dump_json().encode()
        write_file(self.record, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)

    def read(self) -> RangeRecord:
        """The record of the finished range.

        Raises
        ------
        InputError : if there is none, it is damaged, or it belongs to another run
        """
        content = read_file(self.record, LARGEST_RECORD)
        digest, _, text = content.partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise InputError(f"{self.record}: damaged, its digest does not fit")
        try:
            record = RangeRecord.model_validate_json(text)
        except ValidationError as error:
            raise InputError(f"{self.record}: no record of a range ({error.errors()[0]['msg']})") from None
        if (record.plan, record.first, record.count) != (
            self.plan.identity,
            self.positions.start,
            len(self.positions),
        ):
            raise InputError(f"{self.record}: belongs to another run; remove it, or choose another --out")
        return record

    def open_maps(self, expected: Seal | None) -> SealedFile:
        """The maps of the finished range.

        Parameters
        ----------
        expected : their seal, as the record says

        Raises
        ------
        RasterError : if they are damaged, or not those that the record names
        """
        content = None if expected is None else sealed_content(self.maps, expected)
        if content is None:
            raise RasterError(f"{self.maps}: is not what its range left; it is missing or was changed")
        return SealedFile(content)

    def finished(self) -> bool:
        """Whether all that it left is there, to the byte; spikes that were merged already count as there."""
        try:
            record = self.read()
        except (InputError, OSError):
            return False
        shards = {} if (self._out / "raster.h5").exists() or self.plan.drops_spikes else record.shards
        held = sum(count for count, _ in shards.values())
        return (
            (record.maps is None or sealed_content(self.maps, record.maps) is not None)
            and all(sealed_content(self.shard(first), seal) is not None for first, (_, seal) in shards.items())
            and (held == len(self.positions) or not shards)
        )

    def shard(self, first: int) -> Path:
        """Where the shard that begins with this sample lies."""
        return shard_path(self._out / "raster.parts", first)

    def _write_maps(self, samples: list[ProcessedSample], source: str | None) -> Seal:
        image, of_range = io.BytesIO(), self.plan.samples[self.positions.start : self.positions.stop]
        with writing_maps(image, self.plan.maps(self.positions, source), of_range) as writer:
            writer.store(0, [sample.maps for sample in samples if sample.maps is not None])
        write_file(self.maps, image.getbuffer())
        return seal(image.getbuffer())
