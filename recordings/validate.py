"""Check raster files completely: `python -m recordings.validate RASTER.h5 [MORE ...]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .disk import readable
from .errors import InputError
from .hdf5 import printable
from .program import spelled
from .raster.reader import RasterReader

DESCRIPTION = """\
Check everything in raster files: structure, types and sizes, the checksum of every chunk, the spike counts, pad bits
and digests of every sample, predictions against the readout, and the raster digest. Nothing is changed.
Prints what each file holds, then "valid"; stops at the first that is not, with one line saying where and why."""

EPILOG = """\
examples:
  %(prog)s out/raster.h5
  %(prog)s torch/raster.h5 lava/raster.h5     equal digests: equal spikes, neuron by neuron

exit code: 0 if every file is valid, 2 if one is not. The format is described in recordings/FORMAT.md."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _Parser(
        spelled("python -m recordings.validate"),
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rasters", nargs="+", type=Path, metavar="RASTER.h5", help="a file that a run has finished")
    console = Console(soft_wrap=True, highlight=False)
    try:
        for path in parser.parse_args(arguments).rasters:
            with RasterReader(path) as raster:
                _verify(raster)
                _describe(raster, console)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _verify(raster: RasterReader) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        rasters = len(raster.layers) * raster.n_samples
        task = progress.add_task(f"checking {raster.where}", total=rasters)
        raster.verify(lambda: progress.advance(task))


def _describe(raster: RasterReader, console: Console) -> None:
    header = raster.header
    known = (raster.samples.label >= 0) & (raster.predictions >= 0)
    console.print(f"{raster.where}  {readable(raster.size)}", style="bold", markup=False)
    about = (
        f"{raster.n_samples} samples of {header.dataset or 'an unnamed data set'}, T = {header.timesteps}, "
        f"seed {header.seed}; {header.precision} precision on {header.backend}"
        + (f" ({header.device})" if header.device else "")
    )
    console.print(printable(about), markup=False)
    if known.any():
        correct = int((raster.predictions == raster.samples.label)[known].sum())
        console.print(f"predicted as labelled: {correct} of {int(known.sum())}")
    table = Table("layer", "kind", "C × H × W", "threshold", "leak", "spikes per neuron and step", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in raster.layers:
        rate = raster.counts(layer).sum(dtype=int) / (raster.n_samples * raster.timesteps * layer.neurons)
        constants = ("", "") if layer.threshold == layer.leak == 0 else (f"{layer.threshold:g}", f"{layer.leak:.4g}")
        table.add_row(layer.name, layer.kind, " × ".join(map(str, layer.shape)), *constants, f"{rate:.2%}")
    console.print(table)
    network = header.network_sha256 or "unknown"
    console.print(f"network       {network}\nraster digest {raster.raster_digest}\n[green]valid[/]\n")


if __name__ == "__main__":
    sys.exit(main())
