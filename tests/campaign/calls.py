"""Public functions of Python as commands, so that they are tried,
watched and judged as these are.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import spikesam
from spikesam.pipeline.cli.errors import exit_codes
from tests.campaign.formats.rasters import read_maps, read_raster


def command(call: Callable[..., Any]) -> Callable[..., None]:
    """A function as what `main` of a command is."""

    def main(argv: Sequence[str] | None = None) -> None:
        call(*argv or ())

    return exit_codes(main)


CALLS = {
    f"spikesam.{name}": command(call)
    for name, call in {
        "open_raster": lambda path: read_raster(Path(path)),
        "open_maps": lambda path: read_maps(Path(path)),
        "load": lambda path: print(spikesam.load(path).network.sha256),
        "read_events": lambda path: print(len(spikesam.read_events(path).t)),
        "from_nir": lambda path: print(spikesam.from_nir(path, timesteps=4).sha256),
        "from_netx": lambda path: print(spikesam.from_netx(path).sha256),
        "simulate": lambda of, data, out: spikesam.simulate(
            of, data, samples=4, out=out, backend="event"
        ).close(),
        "report": lambda *paths: spikesam.report(paths[:-1], paths[-1]),
        "explain": lambda source, out: spikesam.explain(source, out=out).close(),
    }.items()
}
