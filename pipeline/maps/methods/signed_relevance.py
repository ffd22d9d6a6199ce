"""Relevance that was recorded with a model's spikes, with its signs: `why.h5` beside the raster.

`spikesam.record(…, why=…)` writes it, by one backward pass of the model; maps of relevance are made
of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spikesam.common.errors import InputError
from spikesam.common.files import refuse_links
from spikesam.pipeline.maps.method import Explainer, MapMethod
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader

MOST_TARGETS = 64


@dataclass(frozen=True)
class SignedRelevance(MapMethod):
    """The spikes that speak for a target, and against it, at each step."""

    name = "signed-relevance"
    title = "Relevance of spikes for a target, with signs"
    shows = "What speaks for the target"
    speaks_for = "none"
    source = "raster_digest"
    offline = False
    parameters: ClassVar[dict[str, type]] = {"signed": bool, "target_name": str}
    optional: ClassVar[dict[str, type]] = {"target": int}

    def path(self, source: Any) -> Path | None:
        """See :class:`MapMethod`."""
        raise InputError("signed-relevance: is recorded; spikesam.record(…, why=…) writes it")

    def prepare(
        self, source: Any, layers: Any, steps: str, pictured: int
    ) -> AbstractContextManager[Explainer]:
        """See :class:`MapMethod`."""
        raise InputError("signed-relevance: is recorded; spikesam.record(…, why=…) writes it")


def file_of_target(folder: Path, number: int) -> Path:
    """The file of a recording's target, by its number from 0."""
    return folder / (f"why-{number + 1}.h5" if number else "why.h5")


def remove_recorded_relevance(folder: Path) -> None:
    """Remove the files of an earlier recording, which may have had other targets."""
    for number in range(MOST_TARGETS):
        file_of_target(folder, number).unlink(missing_ok=True)


def recorded_relevance(raster: RasterReader, resources: ExitStack) -> Iterator[MapReader]:
    """The relevance that was recorded beside a raster, a file for each target."""
    if raster.path is None:
        return
    for number in range(MOST_TARGETS):
        path = file_of_target(raster.path.parent, number)
        if not path.is_file():
            return
        refuse_links(path.parent, [path.name])
        maps = resources.enter_context(MapReader(path))
        if maps.header.method == SignedRelevance.name and maps.header.source in raster.known_as:
            yield maps
