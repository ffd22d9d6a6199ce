"""Check everything in rasters and in files of maps: structure, types and sizes, the checksum of
every chunk, digests.

In rasters also spike counts, pad bits, and predictions against the readout, and the operations
that were counted beside them; in files of maps that every number is finite and not negative.
Nothing is changed. Prints what each file holds, then "valid"; stops at the first that is not, with
one line saying where and why.

examples:
  spikesam validate out/raster.h5 out/sam.h5
  spikesam validate torch/raster.h5 lava/raster.h5     equal digests: equal spikes, neuron by neuron

exit code: 0 if every file is valid, 2 if one is not. recordings/FORMAT.md describes the formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field
from rich.text import Text

from spikesam.backends.network.table import by_sides, in_columns
from spikesam.common.console import PlainConsole
from spikesam.common.disk import readable
from spikesam.common.errors import at
from spikesam.common.progress import Tracker
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.config import Section
from spikesam.pipeline.maps.method import method_of
from spikesam.recordings.counted_operations import operations_beside
from spikesam.recordings.file_format import open_recording
from spikesam.recordings.files import raster_file
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader


class ValidateCommand(Section):
    """Options of the command."""

    files: Positional[tuple[Path, ...]] = Field(
        min_length=1, description="rasters, also by the folders of their runs, or maps"
    )


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check, and print what each file holds."""
    command = parse_command(ValidateCommand, argv, prog="spikesam validate", description=__doc__)
    console = PlainConsole(soft_wrap=True)
    for path in command.files:
        with open_recording(raster_file(path, "the folder of a run that keeps spikes")) as reader:
            lines = _of_maps(reader) if isinstance(reader, MapReader) else _of_raster(reader)
            with Tracker().show(
                f"checking {path}", len(reader.layers) * reader.n_samples
            ) as advance:
                reader.verify(partial(advance, 1))
            if isinstance(reader, RasterReader):
                lines += _of_operations(reader)
            console.print(f"{path}  {readable(reader.size)}", style="bold")
            console.print(*lines, Text("valid\n", style="green"), sep="\n")


def _of_raster(raster: RasterReader) -> list[str]:
    header = raster.header
    lines: list[str] = [
        f"{raster.n_samples} samples of {header.dataset or 'an unnamed data set'}, T = "
        f"{header.timesteps}"
        + (f" ({header.window} of the model)" if header.window else "")
        + f", seed {header.seed}; {header.precision} precision on {header.backend}"
        + (f" ({header.device})" if header.device else "")
    ]
    if header.outputs == "values":
        lines.append(f"outputs: {header.classes} number{'s' * (header.classes > 1)}, no classes")
    comparable = (raster.labels >= 0) & ((raster.predictions >= 0) | header.has_classes)
    if comparable.any():
        correct = int((raster.predictions == raster.labels)[comparable].sum())
        lines.append(f"predicted as labelled: {correct} of {int(comparable.sum())}")
    rows = [("layer", "kind", "C×H×W", "threshold", "leak", "spikes per neuron and step")]
    for layer in raster.layers:
        constants = (
            ("", "")
            if layer.threshold == layer.leak == 0
            else (f"{layer.threshold:g}", f"{layer.leak:.4g}")
        )
        rows.append(
            (layer.name, layer.kind, by_sides(layer.shape), *constants, f"{raster.rate(layer):.2%}")
        )
    digests = (
        f"network       {header.network_sha256 or 'unknown'}",
        f"raster digest {raster.raster_digest}",
    )
    return [*lines, in_columns(rows), *digests]


def _of_operations(raster: RasterReader) -> list[str]:
    """Of those beside a raster, all of which are read; nothing if none were counted."""
    with operations_beside(raster) as operations:
        if operations is None:
            return []
        totals = sum(
            (operations.sample(sample).sum((0, 2)) for sample in range(raster.n_samples)),
            np.zeros(2, np.int64),
        )
    additions, multiplications = totals.tolist()
    return [
        f"operations    {additions:,} additions and {multiplications:,} multiplications in "
        f"{len(operations.modules)} modules ({operations.path.name})"
    ]


def _of_maps(maps: MapReader) -> list[str]:
    header = maps.header
    with at(maps.file_name):
        method = method_of(header)
    named = [name for name in (*method.parameters, *method.optional) if name in header.parameters]
    parameters = "".join(f", {name} {header.parameters[name]}" for name in named)
    rows = [
        (layer.name, by_sides(layer.shape), str(layer.steps_that_matter)) for layer in maps.layers
    ]
    return [
        f"{method.title} of {maps.n_samples} samples, T = {maps.timesteps}{parameters}; "
        f"{header.kept}",
        in_columns([("layer", "H×W", "steps that matter"), *rows]),
        f"{header.source_name.replace('_', ' ')} {header.source}",
    ]


if __name__ == "__main__":
    main()
