"""Silence recorded spikes of one layer, or let some fire, and print what the answer becomes.

The layers that depend on them are simulated again, to the bit; the network is the one beside the
run's raster, or --network. An edit is where --rows, --columns, --channels and --steps all say so;
--all edits the whole layer. Each takes numbers, and ranges as Python has them, first:last:every.
The neurons of a layer without places are its channels.

examples:
  spikesam edit runs/digits conv2 --all
  spikesam edit runs/digits conv2 --rows 6:15 --columns 1:7 --samples 2
  spikesam edit runs/digits conv1 --channels 3 8:12 --steps 4: --out edited.h5
  spikesam edit runs/digits fc1 --channels 17 --fires
  spikesam edit recording.h5 lif1 --network network.safetensors

--out receives the edited run as a raster, for explain, diff or report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import FiredBy, Overwrite, refuse_replacing_inputs
from spikesam.pipeline.config import Section
from spikesam.recordings.files import raster_file

WHERE = ("rows", "columns", "channels", "steps", "samples")


class EditCommand(Section):
    """Options of the command."""

    raster: Positional[Path] = Field(description="folder of a run, or a raster file")
    layer: Positional[str] = Field(
        description='layer to edit, by name or number; "input" for the input spikes'
    )
    rows: tuple[str, ...] = Field(
        (), description="rows of the layer, such as 3 or 6:15; all if not given"
    )
    columns: tuple[str, ...] = Field((), description="columns of the layer; all if not given")
    channels: tuple[str, ...] = Field(
        (), description="channels, or neurons without places; all if not given"
    )
    steps: tuple[str, ...] = Field((), description="steps; all if not given")
    samples: tuple[str, ...] = Field(
        (), description="positions of the samples to edit and print; all if not given"
    )
    all: bool = Field(False, description="edit the whole layer")
    fires: bool = Field(
        False, description="let the chosen neurons fire at every chosen step, not at none"
    )
    network: FiredBy = None
    out: Path | None = Field(None, description="raster file for the edited run")
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, edit, print, and write what is asked for."""
    command = parse_command(EditCommand, argv, prog="spikesam edit", description=__doc__)
    chosen: dict[str, Any] = {
        name: _indices(words, f"--{name}") for name in WHERE if (words := getattr(command, name))
    }
    out, path = (
        command.out,
        raster_file(command.raster, "the folder of a run that keeps spikes, or a raster file"),
    )
    if out is not None:
        refuse_replacing_inputs(out, command.overwrite, path, command.network)
    from spikesam.pipeline.edits.edit import (
        edit,
    )  # pandas takes a second to import, --help need not wait

    with Tracker().show("simulating"):
        edited = edit(
            path,
            command.network,
            command.layer,
            all=command.all,
            fires=command.fires,
            **chosen,
        )
    console = PlainConsole(soft_wrap=True)
    console.print(str(edited))
    if out is not None:
        console.print(str(edited.write(out, overwrite=command.overwrite)))


def _indices(words: Sequence[str], option: str) -> list[int | slice]:
    """Numbers, and ranges as slices."""
    indices: list[int | slice] = []
    for word in words:
        if not (
            parts := re.fullmatch(r"(\d{1,9})|(\d{0,9}):(\d{0,9})(?::(\d{1,9}))?", word, re.ASCII)
        ):
            shown = printable(repr(word), LONGEST_NAME)
            raise InputError(
                f"{option}: got {shown}, expected numbers or first:last:every, such as 3 or 6:15"
            )
        number, *ends = (int(part) if part else None for part in parts.groups())
        indices.append(slice(*ends) if number is None else number)
    return indices


if __name__ == "__main__":
    main()
