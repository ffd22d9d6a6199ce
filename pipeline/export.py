"""python -m pipeline.export: a checkpoint as float32 and fixed-point networks, and what rounding costs in accuracy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field

from pipeline.cli.command_line import Positional, parse_command
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import CheckpointName, Data, Device, Download, Out, Overwrite
from pipeline.cli.progress import progress_bar
from pipeline.measures.paired_accuracy import PairedAccuracy, paired_accuracy
from recordings.console import PlainConsole
from recordings.disk import write_file
from recordings.errors import InputError
from recordings.lock import out_lock

from .config import Section

PROG = "python -m pipeline.export"
DESCRIPTION = """Export a checkpoint to float32 and to Loihi-style fixed point, and compare their accuracy.

Both networks see the same Poisson spikes, over several seeds. A network whose input is a constant current, or events,
sees the same whatever the seed, so it is measured once. --out receives the two networks and accuracy.json.

examples:
  python -m pipeline.export cluttered-digits --out runs/export
  python -m pipeline.export cluttered-digits --nir digits.nir --samples 100
  python -m pipeline.export tiny-imagenet-10 --data tiny-imagenet-200.zip --seeds 10 --out runs/export-tiny"""


class ExportCommand(Section):
    """Options of the command."""

    checkpoint: Positional[CheckpointName]
    out: Out = Path("runs/export")
    data: Data = None
    samples: int = Field(1000, ge=1, description="at most so many images, classes in turn")
    seeds: int = Field(10, ge=1, description="how many Poisson seeds: 0, 1, …")
    nir: Path | None = Field(None, description="a file to write the float32 network to as NIR, for other programs")
    device: Device = "auto"
    download: Download = False
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, write both networks, measure, report."""
    command = parse_command(ExportCommand, argv, prog=PROG, description=DESCRIPTION)
    from backends.available import make_backend
    from backends.network.quantise import quantise  # torch is slow to import, --help need not wait
    from backends.network.storage import write_network
    from pipeline.networks.checkpoint import load_checkpoint
    from pipeline.networks.nir.write import to_nir
    from pipeline.networks.precisions import predictions

    from .images.samples import choose_samples

    checkpoint = load_checkpoint(command.checkpoint, "snn")
    if checkpoint.network.precision != "float32":
        raise InputError(f"checkpoint {command.checkpoint!r} is in fixed point already, expected float32")
    samples = choose_samples(command.data, checkpoint, command.samples, seed=0, download=command.download)
    labels = samples.known_labels()
    backend = make_backend("auto", command.device)
    seeds = command.seeds if checkpoint.network.encoder == "poisson" else 1
    networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
    console = PlainConsole(soft_wrap=True)
    advice = None if command.overwrite else "choose another --out, or replace with --overwrite"
    with out_lock(command.out, advice), progress_bar(PlainConsole(stderr=True), transient=True) as progress:
        if command.nir is not None:  # first, because it may be refused
            to_nir(checkpoint.network, command.nir, overwrite=command.overwrite)
        for precision, network in networks.items():
            write_network(network, command.out / f"network.{precision}.safetensors")
        turns = progress.track(range(seeds), description="measuring")
        float32, fixed = predictions([*networks.values()], backend, samples, turns)
        found = paired_accuracy(float32, fixed, labels)
        report = {**asdict(found), "checkpoint": command.checkpoint, "dataset": samples.name, "samples": len(samples)}
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
