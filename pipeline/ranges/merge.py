"""All ranges of a run, together: raster.h5, sam.h5, and what is known of every sample."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.maps.localisation import score_table
from recordings.disk import reason
from recordings.errors import InputError, RasterError
from recordings.maps.writer import writing_maps
from recordings.raster.reader import RasterReader
from recordings.raster.schema import PRECISIONS
from recordings.raster.shards import MANIFEST, merge_shards

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
    raster_digest : identity of all spikes
    scores : see :func:`pipeline.maps.localisation.localisation_scores`
    seconds : stage -> seconds, of all ranges and threads together
    """

    plan: Plan
    backend: str
    device: str
    names: tuple[str, ...]
    predictions: NDArray[np.int32]
    readout: NDArray[Any]
    spikes: dict[str, int]
    raster_digest: str
    scores: pd.DataFrame
    seconds: dict[str, float]


def merge(out: Path, plan: Plan, advance: Callable[[int], None] = lambda ranges: None) -> Totals:
    """Make the files of a run of its ranges, each verified.

    Shards of spikes are removed once `raster.h5` is there; :func:`remove_parts` removes the rest.

    Hold :func:`recordings.lock.out_lock` on the folder meanwhile.

    Parameters
    ----------
    advance : called with the number of ranges just merged

    Raises
    ------
    InputError : if ranges are missing, damaged, or of another run; nothing is removed then
    """
    files = [RangeFiles(out, plan, number) for number in range(len(plan.ranges))]
    refuse_gaps(out, plan, files)
    records = [each.read() for each in files]
    refuse_strangers(out, files, records)
    totals = _totals(plan, records)
    with ExitStack() as held:  # sam.h5 appears when the raster is there
        if plan.keep != "raster":
            header = plan.maps(range(len(plan.samples)), totals.raster_digest)
            target = held.enter_context(writing_maps(out / "sam.h5", header, plan.samples, overwrite=True))
            for each, record in zip(files, records, strict=True):
                with each.open_maps(record) as maps:
                    target.copy(each.positions.start, maps)
                advance(1)
        if plan.keep != "maps":
            _merge_raster(out, plan, records, totals.raster_digest)
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


def refuse_strangers(out: Path, files: list[RangeFiles], records: list[RangeRecord]) -> None:
    """Refuse files that no range of the plan has left."""
    known = {path for each in files for path in (each.record, each.maps)} | {out / PARTS / PLAN}
    known |= {each.shard(first) for each, record in zip(files, records, strict=True) for first in record.shards}
    folders = [out / PARTS] + [out / "raster.parts"] * (not (out / "raster.h5").exists())
    found = {path for folder in folders for path in folder.glob("[!.]*") if path.name != MANIFEST}
    if strangers := sorted(found - known):
        raise InputError(f"{strangers[0]}: belongs to no range of this run; remove it, then merge again")


def _merge_raster(out: Path, plan: Plan, records: list[RangeRecord], digest: str) -> None:
    path, parts = out / "raster.h5", out / "raster.parts"
    merged_before = path.exists()  # an earlier sitting came as far as this
    if not merged_before:
        shards = {first: count for record in records for first, (count, _) in record.shards.items()}
        seals = {first: seal for record in records for first, (_, seal) in record.shards.items()}
        if sum(shards.values()) != len(plan.samples):
            raise InputError(f"{out}: spikes are missing of some ranges; compute them again, then merge")
        advice = f"all samples are kept in {parts}; free space, then merge again"
        try:
            run_uuid = str(uuid.uuid4())
            merge_shards(path, parts, shards, plan.header, plan.samples, run_uuid, advice, seals=seals)
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


def _totals(plan: Plan, records: list[RangeRecord]) -> Totals:
    layers = [layer.name for layer in plan.header.layers]
    digests = {layer: [digest for record in records for digest in record.digests[layer]] for layer in layers}
    seconds: dict[str, float] = {}
    for record in records:
        for stage, taken in record.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + taken
    return Totals(
        plan,
        "+".join(dict.fromkeys(record.backend for record in records)),
        "+".join(dict.fromkeys(record.device for record in records)),
        tuple(name for record in records for name in record.names),
        np.array([each for record in records for each in record.predictions], np.int32),
        np.array([each for record in records for each in record.readout], PRECISIONS[plan.header.precision]),
        {layer: sum(sum(record.spikes[layer]) for record in records) for layer in layers},
        plan.digest(digests),
        score_table(score for record in records for score in record.scores),
        seconds,
    )
