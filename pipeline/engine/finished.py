"""A run that was finished before: to compute it again would only find what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spikesam.pipeline.config import RunSection
from spikesam.pipeline.engine.job import JobSpec, refuse_other_origin
from spikesam.pipeline.engine.range_file import NAMES, PARTS
from spikesam.pipeline.engine.summary import Summary, read_summary
from spikesam.pipeline.maps.steps import kept_steps
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import refuse_links
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader


def refuse_other_contents(folder: Path, spec: JobSpec) -> None:
    """Refuse to go on with a finished run whose images were changed since.

    Raises
    ------
    InputError : if that is so
    """
    try:
        summary = read_summary(folder / "summary.json", len(spec.samples))
    except (OSError, InputError):  # it was not written yet
        return
    if None not in (summary.contents, spec.contents_digest) and summary.contents != spec.contents_digest:
        raise InputError(f"{folder}: images were changed since that run; restore what they were", "other-out")


def finished_before(folder: Path, spec: JobSpec, settings: RunSection) -> Summary | None:
    """The summary of a finished run; None if it is not finished, or not all of it is intact.

    The number of pictures may differ. Without spikes, everything would have to be computed again to draw more.

    Raises
    ------
    InputError : if it is another run without spikes, which would be computed over what is there
    """
    refuse_links(folder, NAMES)
    if (folder / PARTS).exists():
        return None
    try:
        summary = read_summary(folder / "summary.json", len(spec.samples))
        with MapReader(folder / "sam.h5") as maps:
            maps.verify()
            found = maps.header
        if spec.keep.spikes:
            with RasterReader(folder / "raster.h5") as raster:
                if raster.raster_digest != summary.raster_digest:
                    return None
    except (OSError, InputError):
        return None
    refuse_other_origin(folder / "sam.h5", found.method == "graph-sam", spec)
    count = len(spec.samples)
    steps, stepped = kept_steps(settings.steps, spec.header.timesteps, count, found.stepped)
    same = replace(spec, keep=replace(spec.keep, steps=steps, stepped=stepped))
    if summary.plan != same.results_identity or found != same.maps(range(count), summary.raster_digest or ""):
        if spec.keep.spikes:  # which can be explained in another way
            return None
        raise InputError(
            f"{folder}: cannot resume: a run with other settings is finished there, those of {folder / 'config.toml'}",
            "same-settings",
        )
    return summary
