"""The console script `spikesam`, which is also `python -m spikesam`: its first argument names a
command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from spikesam.common.errors import InputError
from spikesam.pipeline.cli.command_line import listing
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.config.mistakes import nearest

COMMANDS = {  # each is a module of spikesam.pipeline
    "run": "run a spiking network on images, record every spike, and explain them",
    "merge": "merge the parts of a run that several processes computed",
    "train": "train a spiking network, or its ANN twin, into a checkpoint",
    "convert": "convert an ANN to a spiking network",
    "export": "a checkpoint in float32, in fixed point or as NIR, or a raster as NWB, Zarr or NIR",
    "explain": "map a raster, or a network and images, by any method",
    "energy": "count what a recording costs: operations and joules, by layer, class and pixel",
    "fits": "which layers of a network fit on a model of Loihi, before anything runs",
    "chip": "simulate a recording on a model of Loihi: the same spikes, their time and energy",
    "edit": "silence recorded spikes, and see what the answer becomes",
    "diff": "find the first spike that differs between two rasters, and why",
    "verify": "run a NIR graph on several backends, and leave a certificate with digests",
    "report": "write a page to explore a run in, or two side by side",
    "validate": "check rasters and files of maps completely",
}
HELP = f"""usage: spikesam COMMAND [options]

See what a spiking neural network looks at: simulate it, record every spike, and map the spikes to
the image.

commands:
{listing(COMMANDS)}

spikesam COMMAND --help   options and examples of a command
spikesam --version        the version"""


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names."""
    os.environ.pop("MPLBACKEND", None)  # pictures become files, and an unknown name would stop them
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(HELP)
    elif name == "--version":
        print(version("spikesam"))
    elif name in COMMANDS:
        sys.exit(import_module(f"spikesam.pipeline.{name}").main(arguments))
    else:
        close = nearest(name, list(COMMANDS))
        hint = (
            f"; did you mean {close}? See"
            if close
            else f", expected one of {', '.join(COMMANDS)}; see"
        )
        raise InputError(f"unknown command {name!r}{hint} spikesam --help")
