"""Check files of spikes and of maps completely: `spikesam validate FILE.h5 [MORE ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.table import Table
from rich.text import Text

from spikesam.recordings.console import PlainConsole
from spikesam.recordings.disk import readable
from spikesam.recordings.errors import InputError
from spikesam.recordings.file_format import open_recording
from spikesam.recordings.files import raster_file
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.progress import Tracker
from spikesam.recordings.raster.reader import RasterReader
from spikesam.recordings.text import printable

DESCRIPTION = """\
Check everything in rasters and in files of maps: structure, types and sizes, the checksum of every chunk, the digests
of every sample and of everything else; in rasters also spike counts, pad bits, and predictions against the readout; in
files of maps that every number is finite and not negative. Nothing is changed.
Prints what each file holds, then "valid"; stops at the first that is not, with one line saying where and why."""

EPILOG = """\
examples:
  %(prog)s out/raster.h5 out/sam.h5
  %(prog)s torch/raster.h5 lava/raster.h5     equal digests: equal spikes, neuron by neuron

exit code: 0 if every file is valid, 2 if one is not. recordings/FORMAT.md describes the formats."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


Describe = Callable[[MapReader], tuple[str, Iterable[str]]]


def described(maps: MapReader) -> tuple[str, Iterable[str]]:
    """Title of maps, and the names of their parameters, without knowing any method."""
    return f"{maps.header.method} maps", maps.header.parameters


def main(arguments: list[str] | None = None, describe: Describe = described) -> int:
    """Run the command; returns its exit code. `describe` is as :func:`described`, by whoever knows methods."""
    parser = _Parser(
        "spikesam validate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE.h5",
        help="a raster, also by the folder of its run, or maps",
    )
    console = PlainConsole(soft_wrap=True)
    try:
        for path in parser.parse_args(arguments).files:
            with open_recording(raster_file(path, "the folder of a run that keeps spikes")) as reader:
                about = describe(reader) if isinstance(reader, MapReader) else ("", ())
                with Tracker().show(f"checking {path}", len(reader.layers) * reader.n_samples) as advance:
                    reader.verify(partial(advance, 1))
                console.print(f"{path}  {readable(reader.size)}", style="bold")
                if isinstance(reader, RasterReader):
                    _describe_raster(reader, console)
                else:
                    _describe_maps(reader, *about, console)
                console.print(Text("valid\n", style="green"))
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    return 0


def _describe_raster(raster: RasterReader, console: PlainConsole) -> None:
    header = raster.header
    about = (
        f"{raster.n_samples} samples of {header.dataset or 'an unnamed data set'}, T = {header.timesteps}"
        + (f" ({header.window} of the model)" if header.window else "")
        + f", seed {header.seed}; {header.precision} precision on {header.backend}"
        + (f" ({header.device})" if header.device else "")
    )
    console.print(about)
    known = (raster.samples.label >= 0) & ((raster.predictions >= 0) | (header.classes > 0))
    if known.any():
        correct = int((raster.predictions == raster.samples.label)[known].sum())
        console.print(f"predicted as labelled: {correct} of {int(known.sum())}")
    table = Table("layer", "kind", "C × H × W", "threshold", "leak", "spikes per neuron and step", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in raster.layers:
        constants = ("", "") if layer.threshold == layer.leak == 0 else (f"{layer.threshold:g}", f"{layer.leak:.4g}")
        table.add_row(
            layer.name, layer.kind, " × ".join(map(str, layer.shape)), *constants, f"{raster.rate(layer):.2%}"
        )
    console.print(table)
    console.print(f"network       {header.network_sha256 or 'unknown'}\nraster digest {raster.raster_digest}")


def _describe_maps(maps: MapReader, what: str, names: Iterable[str], console: PlainConsole) -> None:
    header = maps.header
    parameters = "".join(f", {name} {header.parameters[name]}" for name in names)
    console.print(f"{what} of {maps.n_samples} samples, T = {maps.timesteps}{parameters}; {header.kept}")
    table = Table("layer", "H × W", "steps that matter", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for layer in maps.layers:
        table.add_row(layer.name, " × ".join(map(str, layer.shape)), str(layer.steps_that_matter))
    console.print(table)
    console.print(f"{header.source_name.replace('_', ' ')} {header.source}")


if __name__ == "__main__":
    sys.exit(main())
