"""Export a checkpoint, or a recording for other programs: the kind of SOURCE decides.

A CHECKPOINT goes to float32 and to Loihi-style fixed point, and their accuracy is compared. Both
networks see the same Poisson spikes, over several seeds. A network of constant currents or events
is measured once. --out receives the two networks and accuracy.json.

A RECORDING (the folder of a run, raster.h5, sam.h5) goes to TARGET, whose name decides the format,
or --format does: {known}
docs/other-formats.md says what each of them holds. A raster keeps its spikes exactly in all of
them.

DATA OF NIR, of other programs and chips, become a raster, the file TARGET, NAME.h5.

examples:
  spikesam export cluttered-digits --out runs/export
  spikesam export cluttered-digits --nir digits.nir --samples 100
  spikesam export tiny-imagenet-10 --data tiny-imagenet-200.zip --seeds 10 --out runs/export-tiny
  spikesam export runs/digits digits.nwb
  spikesam export runs/digits digits.zarr --samples 0:4 --layers conv1 conv2
  spikesam export runs/digits vectors --format vectors --samples 2
  spikesam export chip.nir chip.h5 --dt 0.001
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from spikesam.common.console import PlainConsole
from spikesam.common.errors import InputError
from spikesam.common.progress import progress_bar
from spikesam.pipeline.cli.command_line import Positional, listing, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import Out, Overwrite
from spikesam.pipeline.config import Section
from spikesam.pipeline.config.fields import Data, Device, Download
from spikesam.pipeline.interop.exporter import FORMATS, export_recording
from spikesam.recordings.files import RASTER, has_hdf5_name, has_hdf5_signature, raster_file
from spikesam.recordings.raster.events import Rounding

FOR_CHECKPOINTS = ("out", "data", "seeds", "nir", "device", "download")
FOR_DATA = ("dt", "rounding")
FOR_FORMATS = ("samples", "layers", "format")
CHECKPOINT_SAMPLES = 1000


class ExportCommand(Section):
    """Options of the command."""

    source: Positional[str] = Field(
        description=(
            "a checkpoint, by name or file; a recording, by HDF5 or the folder of its run; "
            "or data of NIR"
        )
    )
    target: Positional[Path | None] = Field(
        None,
        description=f"of a recording: the file to write, NAME{' or NAME'.join(FORMATS.built_in)}",
    )
    samples: str | None = Field(
        None,
        description="how many: of a checkpoint images, classes in turn (if not given "
        f"{CHECKPOINT_SAMPLES}); "
        "of a recording its first samples (if not given all), or from : to, such as 8:16",
    )
    layers: tuple[str, ...] = Field(
        (), description="of a recording: layers by name or number; all if not given"
    )
    format: str | None = Field(
        None, description="of a recording: the format, if TARGET's name does not say it"
    )
    overwrite: Overwrite = False
    dt: float | None = Field(
        None, gt=0, description="of data of NIR that are events: seconds in a step of the raster"
    )
    rounding: Rounding = Field(
        "down",
        description=(
            "of such data: the step of a time t, if not down, the nearest, or up, which ends at t"
        ),
    )
    out: Out = Path("runs/export")
    data: Data = None
    seeds: int = Field(10, ge=1, description="how many Poisson seeds: 0, 1, …")
    nir: Path | None = Field(
        None, description="a file to write the float32 network to as NIR, for other programs"
    )
    device: Device = "auto"
    download: Download = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, export what it is, say what was written."""
    formats = listing(
        {f"NAME{suffix}": file_format.title for suffix, file_format in FORMATS.items()}
    )
    command = parse_command(
        ExportCommand, argv, prog="spikesam export", description=__doc__, known=formats
    )
    source, say = Path(command.source), PlainConsole(soft_wrap=True).print
    if (source / RASTER).is_file():
        source = raster_file(source, "a raster")
    if has_hdf5_name(source) or has_hdf5_signature(source):
        _export_recording(command, source, say)
    else:
        say("\n".join(_export_checkpoint(command)))


def _export_recording(command: ExportCommand, source: Path, say: Callable[[str], None]) -> None:
    if refused := [name for name in FOR_CHECKPOINTS if name in command.model_fields_set]:
        raise InputError(f"--{refused[0]} is for a checkpoint, and {source} is a recording")
    if command.target is not None and has_hdf5_name(command.target):
        if refused := [name for name in FOR_FORMATS if name in command.model_fields_set]:
            raise InputError(
                f"--{refused[0]} is for a recording, and {source} is to become a raster, whole"
            )
        from spikesam.pipeline.imports.nir.data import from_nir_data

        options = {"dt": command.dt, "rounding": command.rounding, "overwrite": command.overwrite}
        say(str(from_nir_data(source, command.target, **options)))  # type: ignore[arg-type]
        return
    if refused := [name for name in FOR_DATA if name in command.model_fields_set]:
        raise InputError(f"--{refused[0]} is for data of NIR that become a raster, NAME.h5")
    if command.target is None:
        raise InputError(f"TARGET: got none, expected the file to write, such as {source.stem}.nwb")
    export_recording(
        source,
        command.target,
        command.samples,
        command.layers,
        named_format=command.format,
        overwrite=command.overwrite,
        say=say,
        progress=progress_bar(PlainConsole(stderr=True), transient=True),
    )


def _export_checkpoint(command: ExportCommand) -> list[str]:
    """The lines to print."""
    if command.target is not None:
        use = f"so {command.target} has no use; a checkpoint's network goes to NIR with --nir FILE"
        raise InputError(f"{command.source}: is no recording (HDF5), {use}")
    for name in ("layers", "format"):
        if name in command.model_fields_set:
            raise InputError(f"--{name} is for a recording, and {command.source} is none (HDF5)")
    if refused := [name for name in FOR_DATA if name in command.model_fields_set]:
        raise InputError(f"--{refused[0]} is for data of NIR that become a raster, NAME.h5")
    count = str(CHECKPOINT_SAMPLES) if command.samples is None else command.samples
    if not (count.isascii() and count.isdecimal() and int(count)):
        raise InputError(
            f"--samples: got {count!r}, expected for a checkpoint how many, such as "
            f"{CHECKPOINT_SAMPLES}"
        )
    from spikesam.pipeline.conversion.export_checkpoint import (
        export_checkpoint,
    )  # torch is slow to import

    options = {name: getattr(command, name) for name in ("source", *FOR_CHECKPOINTS, "overwrite")}
    accuracy, files = export_checkpoint(**options, samples=int(count))
    return [accuracy, *map(str, files)]


if __name__ == "__main__":
    main()
