"""Public functions of Python as commands, so that they are tried, watched and judged as these are."""

from collections.abc import Callable, Sequence
from pathlib import Path

import spikesam
from spikesam.pipeline.cli.errors import exit_codes
from tests.campaign.formats.rasters import read_maps, read_raster


@exit_codes
def open_raster(argv: Sequence[str] | None = None) -> None:
    for path in argv or ():
        read_raster(Path(path))


@exit_codes
def open_maps(argv: Sequence[str] | None = None) -> None:
    for path in argv or ():
        read_maps(Path(path))


@exit_codes
def load(argv: Sequence[str] | None = None) -> None:
    for path in argv or ():
        print(spikesam.load(path).network.sha256)


@exit_codes
def read_events(argv: Sequence[str] | None = None) -> None:
    for path in argv or ():
        print(len(spikesam.read_events(path).t))


@exit_codes
def from_nir(argv: Sequence[str] | None = None) -> None:
    for path in argv or ():
        print(spikesam.from_nir(path, timesteps=4).sha256)


@exit_codes
def from_netx(argv: Sequence[str] | None = None) -> None:
    for path in argv or ():
        print(spikesam.from_netx(path).sha256)


@exit_codes
def simulate(argv: Sequence[str] | None = None) -> None:
    network, data, out = argv or ()
    spikesam.simulate(network, data, samples=4, out=out, backend="event").close()


@exit_codes
def report(argv: Sequence[str] | None = None) -> None:
    *runs, out = argv or ()
    spikesam.report(runs, out)


@exit_codes
def explain(argv: Sequence[str] | None = None) -> None:
    source, out = argv or ()
    spikesam.explain(source, out).close()


CALLS: dict[str, Callable[..., None]] = {
    f"spikesam.{call.__name__}": call
    for call in (open_raster, open_maps, load, read_events, from_nir, from_netx, simulate, report, explain)
}
