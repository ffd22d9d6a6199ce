"""Run a NIR graph on several backends, compare all spikes, and leave a certificate (JSON) with
their digests.

The graph is read as NIR's equations say, one step of Euler every --dt seconds, and runs in float32
and in integers. Its input are random spikes that depend on --seed alone, or those of a recording:
data of NIR, of another program or a chip, or a raster. Then the other layers of the recording are
compared with what the graph fires in float32, and the first spike that differs is named with its
likely cause. The certificate holds no time: the same command writes the same file.

examples:
  spikesam verify model.nir --timesteps 100
  spikesam verify model.nir --recording chip.nir --dt 0.001 --out certificate.json
  spikesam verify model.nir --check certificate.json

exit code: 0 if all spikes are the same, 1 if one differs, 2 if what was given does not fit
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.disk import write_file
from spikesam.common.errors import InputError
from spikesam.common.progress import Tracker
from spikesam.pipeline.cli.command_line import Flat, Positional, parse_command
from spikesam.pipeline.cli.errors import DIFFERENT, exit_codes
from spikesam.pipeline.cli.options import Overwrite, refuse_replacing_inputs
from spikesam.pipeline.comparison.certificate_file import Settings
from spikesam.pipeline.config import Section


class VerifyCommand(Section):
    """Options of the command."""

    model: Positional[Path] = Field(description="a NIR graph (nir.write)")
    recording: Path | None = Field(
        None, description="data of NIR (nir.write_data), or a raster, to compare with"
    )
    settings: Annotated[Settings, Flat] = Settings()
    out: Path | None = Field(
        None, description="certificate to write; MODEL.json beside the model if not given"
    )
    check: Path | None = Field(
        None, description="a certificate to compare with, by its own settings; writes none"
    )
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, run, compare, print; the exit code says whether a spike differs."""
    command = parse_command(VerifyCommand, argv, prog="spikesam verify", description=__doc__)
    from spikesam.pipeline.comparison.certificate import (
        certify,
        certify_again,
    )  # --help need not wait

    console = PlainConsole(soft_wrap=True)
    if command.check is not None:
        unused = [
            name for name in Settings.model_fields if name in command.settings.model_fields_set
        ]
        unused += [name for name in ("out", "overwrite") if name in command.model_fields_set]
        if unused:
            raise InputError(
                f"--{unused[0].replace('_', '-')}: has no use beside --check, whose certificate "
                "says it"
            )
        with Tracker().show("verifying"):
            certificate, differences = certify_again(
                command.model, command.check, command.recording
            )
    else:
        out = command.out or command.model.with_suffix(".json")
        refuse_replacing_inputs(out, command.overwrite, command.model, command.recording)
        with Tracker().show("verifying"):
            certificate, differences = certify(command.model, command.settings, command.recording)
        write_file(
            out, (json.dumps(certificate, indent=2) + "\n").encode(), overwrite=command.overwrite
        )
    for run in certificate["runs"]:
        precision = "integers" if run["precision"] == "fixed" else run["precision"]
        console.print(f"{run['backend']}, {precision}: {run['raster_digest'][:16]}")
    sources = " and ".join(str(source) for source in (command.recording, command.check) if source)
    for line in differences or [
        "all spikes are the same" + (f", as in {sources}" if sources else "")
    ]:
        console.print(line)
    if command.check is None:
        console.print(str(out))
    if differences:
        sys.exit(DIFFERENT)


if __name__ == "__main__":
    main()
