"""Simulate a recording, or a network and its input, on a model of Loihi: the same spikes, and the
time and energy they take.

The network is built from its float32 weights on SANA-FE's model of the chip, the recorded input is
played in, and the spikes of every layer are compared with the recording. A network is simulated
here first. It is a model of a chip; nothing has run on silicon. Needs SANA-FE (GPL-3), which runs
in a process of its own: pip install 'spikesam[chip]'

examples:
  spikesam chip residual-digits --samples 2
  spikesam chip residual-digits --samples 2 --timesteps 20
  spikesam run --checkpoint residual-digits --precision float32 --samples 2 --out runs/digits
  spikesam chip runs/digits
  spikesam chip runs/digits --out runs/digits/chip
  spikesam chip runs/digits --mapping runs/digits/chip/mapping.csv
  spikesam chip edited.h5 --network residual-digits

A run's folder receives chip.json, which its page shows: spikesam report RUN.
--out receives layers.csv, steps.csv, samples.csv, layer_steps.csv, layer_samples.csv, cores.csv,
chip.png, and mapping.csv: a line `layer,core` for each core, to be changed and given again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.disk import write_file
from spikesam.common.errors import OVERWRITE
from spikesam.common.lock import out_lock
from spikesam.common.progress import Tracker
from spikesam.pipeline.chips.description import CHIPS
from spikesam.pipeline.chips.result_file import NAME
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import FiredBy, Overwrite
from spikesam.pipeline.config import Section
from spikesam.pipeline.config.fields import Data, Seed

TABLES = ("layers", "steps", "samples", "layer_steps", "layer_samples", "cores")


class ChipCommand(Section):
    """Options of the command."""

    source: Positional[str] = Field(
        description="folder of a run in float32, or a raster file; or a network, by name or file"
    )
    network: FiredBy = None
    data: Data = None
    samples: int | None = Field(None, ge=1, description="of a network, how many; 8 if not given")
    seed: Seed = 0
    timesteps: int | None = Field(None, ge=1, description="of a network, other steps than its own")
    chip: Literal[CHIPS] = Field("loihi", description="model of a chip")  # type: ignore[valid-type]
    mapping: Path | None = Field(
        None, description="CSV of lines `layer,core`; other layers get the first free cores"
    )
    out: Path | None = Field(None, description="new folder for tables and a picture")
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Simulate, print, and write what is asked for."""
    command = parse_command(ChipCommand, argv, prog="spikesam chip", description=__doc__)
    # pandas takes a second to import
    from spikesam.pipeline.chips.chip import chip, draw_chip
    from spikesam.pipeline.chips.mapping import mapping_lines

    holding = (
        nullcontext()
        if command.out is None
        else out_lock(command.out, "" if command.overwrite else OVERWRITE)
    )
    console = PlainConsole(soft_wrap=True)
    with holding:
        with Tracker().show("simulating the chip"):
            paths = command.data
            result = chip(
                command.source,
                paths[0] if paths is not None and len(paths) == 1 else paths,
                network=command.network,
                samples=command.samples,
                seed=command.seed,
                timesteps=command.timesteps,
                chip=command.chip,
                mapping=command.mapping,
            )
        written = [beside] if (beside := Path(command.source, NAME)).is_file() else []
        if command.out is not None:
            simulated_on = f"a model of {result.chip.capitalize()} (SANA-FE {result.version})"
            for name in TABLES:
                path = command.out / f"{name}.csv"
                table = getattr(result, name).assign(simulated_on=simulated_on)
                write_file(path, table.to_csv(index=False).encode())
                written.append(path)
            write_file(command.out / "mapping.csv", mapping_lines(result.mapping).encode())
            draw_chip(result, command.out / "chip.png")
            written += [command.out / "mapping.csv", command.out / "chip.png"]
        # Last: where nobody reads on, the files are whole.
        console.print("\n".join([str(result), *map(str, written)]))


if __name__ == "__main__":
    main()
