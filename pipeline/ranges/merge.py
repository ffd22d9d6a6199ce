"""All ranges of a run, together: raster.h5, sam.h5, and what is known of every sample."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.maps.localisation import GatheredScores
from recordings.digests import raster_digest
from recordings.disk import reason
from recordings.errors import InputError, RasterError
from recordings.maps.writer import writing_maps
from recordings.raster.reader import RasterReader
from recordings.raster.schema import PRECISIONS
from recordings.raster.shards import MANIFEST, merge_shards, shard_path
from recordings.raster.writer import RasterWriter
from recordings.seal import Seal

from .files import PARTS, PLAN, RangeFiles, RangeRecord
from .plan import Plan

SHOWN = 5  # ranges that a message names


@dataclass(frozen=True, eq=False)
class Totals:
    """What is known of a run without its spikes.

    Parameters
    ----------
    plan : of the run
    backend, device : what simulated it; several are joined by "+"
    names : of the samples
    predictions : (N,) int32
    readout : (N, K)
    spikes : layer -> number of spikes of all samples
    raster_digest : identity of all spikes; None where they stayed in the graph
    scores : how well maps find the object
    seconds : stage -> seconds, of all ranges and threads together
    """

    plan: Plan
    backend: str
    device: str
    names: tuple[str, ...]
    predictions: NDArray[np.int32]
    readout: NDArray[Any]
    spikes: dict[str, int]
    raster_digest: str | None
    scores: GatheredScores
    seconds: dict[str, float]


def merge(
    out: Path,
    plan: Plan,
    advance: Callable[[int], None] = lambda ranges: None,
    recorder: RasterWriter | None = None,
) -> Totals:
    """Make the files of a run of its ranges, each verified.

    Shards of spikes are removed once `raster.h5` is there; :func:`remove_parts` removes the rest.

    Hold :func:`recordings.lock.out_lock` on the folder meanwhile.

    Parameters
    ----------
    advance : called with the number of ranges just merged
    recorder : that has recorded the last of the spikes, and may have most of `raster.h5` ready

    Raises
    ------
    InputError : if ranges are missing, damaged, or of another run; nothing is removed then
    """
    files = [RangeFiles(out, plan, number) for number in range(len(plan.ranges))]
    refuse_gaps(out, plan, files)
    gathered = Gathered(plan)
    for each in files:
        gathered.add(each.read())
    refuse_strangers(out, files, gathered.shards)
    totals = gathered.totals()
    with ExitStack() as held:  # sam.h5 appears when the raster is there
        if plan.keep != "raster":
            header = plan.maps(range(len(plan.samples)), totals.raster_digest)
            target = held.enter_context(writing_maps(out / "sam.h5", header, plan.samples, overwrite=True))
            for each, seal in zip(files, gathered.maps, strict=True):
                with each.open_maps(seal) as maps:
                    target.copy(each.positions.start, maps)
                advance(1)
        if not plan.drops_spikes:
            _merge_raster(out, plan, gathered.shards, totals.raster_digest, recorder)
    return totals


def remove_parts(out: Path) -> None:
    """Remove what the ranges left, once everything that is made of it is there."""
    shutil.rmtree(out / PARTS, ignore_errors=True)


def refuse_gaps(out: Path, plan: Plan, files: list[RangeFiles]) -> None:
    """Refuse a run of which some ranges are missing, saying which."""
    missing = [number for number, each in enumerate(files) if not each.record.is_file()]
    if missing:
        named = ", ".join(str(number) for number in missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise InputError(
            f"{out}: {len(missing)} of {len(plan.ranges)} ranges are not finished ({named}); "
            "run the processes that compute them again, then merge"
        )


def refuse_strangers(out: Path, files: list[RangeFiles], shards: Mapping[int, tuple[int, Seal]]) -> None:
    """Refuse files that no range of the plan has left."""
    known = {path for each in files for path in (each.record, each.maps)} | {out / PARTS / PLAN}
    known |= {shard_path(out / "raster.parts", first) for first in shards}
    folders = [out / PARTS] + [out / "raster.parts"] * (not (out / "raster.h5").exists())
    found = {path for folder in folders for path in folder.glob("[!.]*") if path.name != MANIFEST}
    if strangers := sorted(found - known):
        raise InputError(f"{strangers[0]}: belongs to no range of this run; remove it, then merge again")


def _merge_raster(
    out: Path,
    plan: Plan,
    shards: Mapping[int, tuple[int, Seal]],
    digest: str | None,
    recorder: RasterWriter | None,
) -> None:
    path, parts = out / "raster.h5", out / "raster.parts"
    merged_before = path.exists()  # an earlier sitting came as far as this
    if recorder is not None:
        recorder.finalize({first: seal for first, (_, seal) in shards.items()})
    elif not merged_before:
        counts = {first: count for first, (count, _) in shards.items()}
        seals = {first: seal for first, (_, seal) in shards.items()}
        if sum(counts.values()) != len(plan.samples):
            raise InputError(f"{out}: spikes are missing of some ranges; compute them again, then merge")
        advice = f"all samples are kept in {parts}; free space, then merge again"
        try:
            run_uuid = str(uuid.uuid4())
            merge_shards(path, parts, counts, plan.header, plan.samples, run_uuid, advice, seals=seals)
        except RasterError as error:
            raise RasterError(
                f"{error}; all other samples are kept, and --resume computes the missing ones again"
            ) from error
        except (OSError, RuntimeError) as error:
            raise InputError(f"{out}: cannot write there ({reason(error)}); {advice}") from error
    with RasterReader(path, trusted=not merged_before) as raster:
        if raster.raster_digest != digest:
            raise InputError(f"{path}: its spikes are not those that were explained; use another --out")
    shutil.rmtree(parts, ignore_errors=True)


class Gathered:
    """What merging keeps of records, some hundred bytes a sample; the records themselves are a hundred times as large.

    Attributes
    ----------
    shards : position of the first sample -> number of samples and seal, of each shard of spikes
    maps : seal of each range's file of maps; None where there is none
    """

    def __init__(self, plan: Plan) -> None:
        self.shards: dict[int, tuple[int, Seal]] = {}
        self.maps: list[Seal | None] = []
        self._plan, count = plan, len(plan.samples)
        self._origins: tuple[dict[str, None], dict[str, None]] = {}, {}
        self._names: list[str] = []
        self._predictions = np.empty(count, np.int32)
        self._readout = np.empty((count, plan.header.classes), PRECISIONS[plan.header.precision])
        self._spikes: Counter[str] = Counter({layer.name: 0 for layer in plan.recorded})
        self._digests = {name: np.empty(count, "S64") for name in self._spikes}
        self._scores = GatheredScores()
        self._seconds: dict[str, float] = {}

    def add(self, record: RangeRecord) -> None:
        """Take the next range."""
        rows = slice(record.first, record.first + record.count)
        for names, name in zip(self._origins, (record.backend, record.device), strict=True):
            names[name] = None
        self._names += record.names
        self._predictions[rows], self._readout[rows] = record.predictions, record.readout
        for layer in self._digests:
            self._digests[layer][rows] = record.digests[layer]
            self._spikes[layer] += sum(record.spikes[layer])
        self._scores.add(record.scores)
        for stage, taken in record.seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + taken
        self.shards |= record.shards
        self.maps.append(record.maps)

    def totals(self) -> Totals:
        """What is known of all samples, once every range was taken."""
        backend, device = ("+".join(names) for names in self._origins)
        return Totals(
            self._plan,
            backend,
            device,
            tuple(self._names),
            self._predictions,
            self._readout,
            dict(self._spikes),
            None if self._plan.keep == "graph" else raster_digest(self._digests.values()),
            self._scores,
            self._seconds,
        )
