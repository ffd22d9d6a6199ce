"""Check files of spikes and of maps: what `spikesam validate` does, by one that knows every method."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from spikesam.pipeline.maps.method import method_of
from spikesam.recordings import validate
from spikesam.recordings.maps.reader import MapReader


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return validate.main(argv, known_maps)


def known_maps(maps: MapReader) -> tuple[str, Iterable[str]]:
    """Title and parameters of maps; refuses those of an unknown method."""
    method = method_of(maps.header, maps.where)
    return method.title, [name for name in (*method.parameters, *method.optional) if name in maps.header.parameters]


if __name__ == "__main__":
    sys.exit(main())
