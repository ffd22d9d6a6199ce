"""Find the first spike that differs between two rasters, or between a raster and a model, and say
why.

It says how many spikes of each layer differ, and shows the first bit that differs: the spikes that
reach its neuron, both membranes step by step, and the bits before it that it rests on. Membranes
need the network: the one beside a run's raster, or a model. A model is simulated on the raster's
input spikes. A raster without delays between layers is lined up with one of a network in which
every layer takes a step.

examples:
  spikesam diff runs/event runs/lava
  spikesam diff runs/float32 cluttered-digits --precision fixed --out diff.png
  spikesam diff chip.h5 network.safetensors --layer conv3 --sample 2

exit code: 0 if no bit differs, 1 if one does, 2 if they cannot be compared
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.pipeline.cli.command_line import Positional, parse_command
from spikesam.pipeline.cli.errors import DIFFERENT, exit_codes
from spikesam.pipeline.cli.options import FiredBy, Overwrite, refuse_replacing_inputs
from spikesam.pipeline.config import Section
from spikesam.pipeline.config.fields import BackendName


class DiffCommand(Section):
    """Options of the command."""

    first: Positional[str] = Field(
        description="a raster file, the folder of a run, or a network by name or file"
    )
    second: Positional[str] = Field(description="another one; one of both must be a raster")
    network: FiredBy = None
    layer: str | None = Field(
        None, description="where to look for the bit; in all layers if not given"
    )
    sample: int | None = Field(
        None, ge=0, description="position of the sample to look in; all if not given"
    )
    backend: BackendName = Field("auto", description="simulator of a model")
    precision: Literal["fixed", "float32"] = Field("fixed", description="of a model")
    data: tuple[str, ...] | None = Field(
        None, description="samples, as of run; needed where a raster does not hold its input"
    )
    out: Path | None = Field(
        None, description="file for a picture (PNG): bits by layer and step, both membranes"
    )
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, compare, print; the exit code says whether a bit differs."""
    options = parse_command(DiffCommand, argv, prog="spikesam diff", description=__doc__)
    # Reading networks takes a second to import, --help need not wait.
    from spikesam.pipeline.comparison.diff import diff
    from spikesam.pipeline.comparison.sides import is_raster

    given_options = sorted(options.model_fields_set & {"backend", "precision"})
    if given_options and is_raster(Path(options.first)) and is_raster(Path(options.second)):
        raise InputError(f"--{given_options[0]} is for the simulation of a model, got two rasters")
    if options.out is not None:
        refuse_replacing_inputs(
            options.out, options.overwrite, options.first, options.second, options.network
        )
    chosen = options.model_dump(exclude={"first", "second", "out", "overwrite"})
    with Tracker().show("comparing"):
        difference = diff(options.first, options.second, **chosen)
    console = PlainConsole(soft_wrap=True)
    console.print(str(difference))
    if options.out is not None:
        console.print(str(difference.draw(options.out)))
    if difference:
        sys.exit(DIFFERENT)


if __name__ == "__main__":
    main()
