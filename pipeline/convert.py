"""Convert an ANN to a network of integrate-and-fire neurons, and measure its accuracy after every
step.

Thresholds come from training images, accuracy from validation images.

examples:
  spikesam convert cluttered-digits-ann --out runs/converted
  spikesam convert tiny-imagenet-10-ann --data tiny-imagenet-200.zip --samples 200
  spikesam convert --conversion.rule balanced --conversion.encoder constant-current
  spikesam convert --conversion.rule all --conversion.timesteps 64

--out receives checkpoint.safetensors for spikesam run, accuracy.csv, accuracy.png, summary.json and
config.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.text import shell_command
from spikesam.pipeline.cli.command_line import Positional, parse_with_config
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import ConfigFile, Out, Overwrite
from spikesam.pipeline.config import ConversionSection, Section, load_config
from spikesam.pipeline.config.fields import Device, Download, Seed


class ConvertCommand(Section):
    """Options of the command."""

    ann: Positional[str | None] = Field(
        None, description="a bundled ANN, or a file; conversion.ann if not given"
    )
    conversion: ConversionSection = ConversionSection()
    config: ConfigFile = None
    data: str | None = Field(
        None, description="data set with training and validation parts; or else data.source"
    )
    out: Out = Path("runs/convert")
    samples: int = Field(100, ge=1, description="how many validation images to measure on")
    seed: Seed = 0
    device: Device = "auto"
    download: Download = False
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, convert, measure, report."""
    command, config = parse_with_config(
        ConvertCommand, load_config, argv, prog="spikesam convert", description=__doc__
    )
    from spikesam.pipeline.conversion.conversion import print_conversion
    from spikesam.pipeline.conversion.convert_checkpoint import (
        convert_checkpoint,
    )  # torch is slow to import, --help need not wait

    chosen: dict[str, Any] = {"source": command.data} if command.data else {}
    if "download" in command.model_fields_set:
        chosen["download"] = command.download
    named = {"ann": command.ann} if command.ann else {}
    conversion = convert_checkpoint(
        config.model_copy(
            update={
                "conversion": command.conversion.model_copy(update=named),
                "data": config.data.model_copy(update=chosen),
            }
        ),
        out=command.out,
        samples=command.samples,
        seed=command.seed,
        device=command.device,
        overwrite=command.overwrite,
    )
    console = PlainConsole(soft_wrap=True)
    print_conversion(conversion.summary, console)
    source = command.data or config.data.source
    following = shell_command(
        "spikesam", "run", "--checkpoint", conversion.files[0], "--data", source
    )
    console.print(*map(str, conversion.files), f"next: {following}", sep="\n")


if __name__ == "__main__":
    main()
