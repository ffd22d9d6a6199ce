"""python -m pipeline.export: a checkpoint as float32 and fixed-point networks, or a recording for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.names import listing
from pipeline.cli.options import Out, Overwrite
from pipeline.config.fields import Data, Device, Download
from pipeline.interop.command import export_recording
from pipeline.interop.exporter import FORMATS
from pipeline.interop.hdf5_detection import has_hdf5_name, has_hdf5_signature
from pipeline.measures.paired_accuracy import PairedAccuracy, paired_accuracy
from recordings.console import PlainConsole
from recordings.disk import write_file
from recordings.errors import InputError
from recordings.lock import out_lock
from recordings.progress import progress_bar

from .config import Section

PROG = "python -m pipeline.export"
DESCRIPTION = """Export a checkpoint, or a recording for other programs: the kind of SOURCE decides.

A CHECKPOINT goes to float32 and to Loihi-style fixed point, and their accuracy is compared. Both networks see the same
Poisson spikes, over several seeds. A network whose input is a constant current, or events, sees the same whatever the
seed, so it is measured once. --out receives the two networks and accuracy.json.

A RECORDING (raster.h5, sam.h5) goes to the file TARGET, whose name decides the format:
{formats}
docs/other-formats.md says what each of them holds. A raster keeps its spikes exactly in all of them.

examples:
  python -m pipeline.export cluttered-digits --out runs/export
  python -m pipeline.export cluttered-digits --nir digits.nir --samples 100
  python -m pipeline.export tiny-imagenet-10 --data tiny-imagenet-200.zip --seeds 10 --out runs/export-tiny
  python -m pipeline.export runs/digits/raster.h5 digits.nwb
  python -m pipeline.export runs/digits/raster.h5 digits.zarr --samples 0:4 --layers conv1 conv2"""
FOR_CHECKPOINTS = ("out", "data", "seeds", "nir", "device", "download")
CHECKPOINT_SAMPLES = 1000


class ExportCommand(Section):
    """Options of the command."""

    source: Positional[str] = Field(description="a bundled checkpoint's name, a checkpoint file, or a recording (HDF5)")
    target: Positional[Path | None] = Field(
        None, description=f"of a recording: the file to write, NAME{' or NAME'.join(FORMATS)}"
    )
    samples: str | None = Field(
        None,
        description=f"how many: of a checkpoint images, classes in turn (if not given {CHECKPOINT_SAMPLES}); "
        "of a recording its first samples (if not given all), or from : to, such as 8:16",
    )
    layers: tuple[str, ...] = Field((), description="of a recording: layers by name or number; all if not given")
    overwrite: Overwrite = False
    out: Out = Path("runs/export")
    data: Data = None
    seeds: int = Field(10, ge=1, description="how many Poisson seeds: 0, 1, …")
    nir: Path | None = Field(None, description="a file to write the float32 network to as NIR, for other programs")
    device: Device = "auto"
    download: Download = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, and export what it is."""
    formats = listing({f"NAME{suffix}": each.title for suffix, each in FORMATS.items()})
    command = parse_command(ExportCommand, argv, prog=PROG, description=DESCRIPTION.format(formats=formats))
    if has_hdf5_name(source := Path(command.source)) or has_hdf5_signature(source):
        _export_recording(command)
    else:
        _export_checkpoint(command)


def _export_recording(command: ExportCommand) -> None:
    if given := [name for name in FOR_CHECKPOINTS if name in command.model_fields_set]:
        raise InputError(f"--{given[0]} is for a checkpoint, and {command.source} is a recording")
    if command.target is None:
        raise InputError(f"TARGET: got none, expected the file to write, such as {Path(command.source).stem}.nwb")
    export_recording(
        Path(command.source),
        command.target,
        command.samples,
        command.layers,
        overwrite=command.overwrite,
        say=PlainConsole(soft_wrap=True).print,
        progress=progress_bar(PlainConsole(stderr=True), transient=True),
    )


def _export_checkpoint(command: ExportCommand) -> None:
    """Write both networks, measure, report."""
    if command.target is not None:
        raise InputError(
            f"{command.source}: is no recording (HDF5), so {command.target} has no use; "
            "a checkpoint's network goes to NIR with --nir FILE"
        )
    if command.layers:
        raise InputError(f"--layers is for a recording, and {command.source} is none (HDF5)")
    count = str(CHECKPOINT_SAMPLES) if command.samples is None else command.samples
    if not (count.isascii() and count.isdecimal() and int(count)):
        raise InputError(f"--samples: got {count!r}, expected for a checkpoint how many, such as {CHECKPOINT_SAMPLES}")
    from backends.available import make_backend
    from backends.network.quantise import quantise  # torch is slow to import, --help need not wait
    from backends.network.storage import write_network
    from pipeline.networks.checkpoint import load_checkpoint
    from pipeline.networks.nir.write import to_nir
    from pipeline.networks.precisions import predictions

    from .images.samples import choose_samples

    checkpoint = load_checkpoint(command.source, "snn")
    if checkpoint.network.precision != "float32":
        raise InputError(f"checkpoint {command.source!r} is in fixed point already, expected float32")
    samples = choose_samples(command.data, checkpoint, int(count), seed=0, download=command.download)
    labels = samples.known_labels()
    backend = make_backend("auto", command.device)
    seeds = command.seeds if checkpoint.network.encoder == "poisson" else 1
    networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
    console = PlainConsole(soft_wrap=True)
    bar = progress_bar(PlainConsole(stderr=True), transient=True)
    with out_lock(command.out, None if command.overwrite else "overwrite"), bar as progress:
        if command.nir is not None:  # first, because it may be refused
            to_nir(checkpoint.network, command.nir, overwrite=command.overwrite)
        for precision, network in networks.items():
            write_network(network, command.out / f"network.{precision}.safetensors")
        turns = progress.track(range(seeds), description="measuring")
        float32, fixed = predictions([*networks.values()], backend, samples, turns)
        found = paired_accuracy(float32, fixed, labels)
        report = {**asdict(found), "checkpoint": command.source, "dataset": samples.name, "samples": len(samples)}
        write_file(command.out / "accuracy.json", (json.dumps(report, indent=2) + "\n").encode())
    console.print(f"{samples.name}, {len(samples)} {samples.kind} × {accuracy_text(found)}")
    for precision in networks:
        console.print(str(command.out / f"network.{precision}.safetensors"))
    if command.nir is not None:
        console.print(str(command.nir))


def accuracy_text(found: PairedAccuracy) -> str:
    """ "2 seeds: float32 96.00%, fixed 95.00%; fixed − float32 -1.00 points (95 % interval over seeds …)"."""
    text = (
        f"{found.seeds} seed{'s' * (found.seeds > 1)}: float32 {found.float32:.2%}, fixed {found.fixed:.2%}; "
        f"fixed − float32 {100 * found.difference:+.2f} points"
    )
    if found.low is None or found.high is None:
        return text
    return f"{text} (95 % interval over seeds {100 * found.low:+.2f} … {100 * found.high:+.2f})"


if __name__ == "__main__":
    main()
