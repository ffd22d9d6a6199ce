"""A command of your own, in the way of `spikesam run`: options, one line for bad input, whole
files.

The options are fields of a section (:class:`spikesam.settings.Section`):

    class Command(Section):
        raster: Positional[Path] = Field(description="raster file")  # RASTER
        out: Path = Field(Path("runs/mine"), description="folder")  # --out there

    @exit_codes
    def main(argv=None):
        command = parse_command(Command, argv, prog="mine", description="What it does.")

Options: :func:`parse_command`, and :func:`parse_with_config` where a file of settings comes first.
:data:`Positional` marks an argument without an option's name, :data:`Flat` a section whose options
go without its name, :data:`ConfigFile` is the option of that file. :func:`listing`,
:func:`summary_of` and :func:`some_or_all` are for commands that take names.

Errors: :func:`exit_codes` turns what is raised into one line and an exit code; see
:mod:`spikesam.errors`.

What a person sees: :class:`PlainConsole`, :func:`progress_bar`, :class:`Tracker`,
:func:`shell_command`.

Files and work: :func:`write_file` and :func:`replacing` leave a whole file or none,
:func:`open_file` opens no pipe, :func:`parse_json` reads JSON of any origin, :func:`out_lock` keeps
others out of a folder, :func:`in_order` computes in :func:`cores` threads.
"""

from __future__ import annotations

from spikesam.common.console import PlainConsole
from spikesam.common.disk import replacing, write_file
from spikesam.common.files import open_file
from spikesam.common.lock import out_lock
from spikesam.common.parallel import cores, in_order
from spikesam.common.parsing import parse_json
from spikesam.common.progress import Tracker, progress_bar
from spikesam.common.text import shell_command
from spikesam.pipeline.cli.command_line import (
    Flat,
    Positional,
    listing,
    parse_command,
    parse_with_config,
    some_or_all,
)
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import ConfigFile, summary_of

__all__ = [
    "ConfigFile",
    "Flat",
    "PlainConsole",
    "Positional",
    "Tracker",
    "cores",
    "exit_codes",
    "in_order",
    "listing",
    "open_file",
    "out_lock",
    "parse_command",
    "parse_json",
    "parse_with_config",
    "progress_bar",
    "replacing",
    "shell_command",
    "some_or_all",
    "summary_of",
    "write_file",
]
