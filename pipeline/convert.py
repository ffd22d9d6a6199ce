"""python -m pipeline.convert: an ANN becomes a spiking checkpoint, with its accuracy after every number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from rich.console import Console

from pipeline.cli.command_line import Positional, parse_with_config
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import ConfigFile, Out, Overwrite
from pipeline.config.fields import Device, Download, Seed
from recordings.command_names import spelled
from recordings.console import PlainConsole
from recordings.errors import InputError
from recordings.lock import out_lock
from recordings.progress import Tracker

from .config import Config, ConversionSection, Section, load_config, save_config

PROG = "python -m pipeline.convert"
DESCRIPTION = """Convert an ANN to a network of integrate-and-fire neurons, and measure its accuracy after every step.

Thresholds come from training images, accuracy from validation images.

examples:
  python -m pipeline.convert cluttered-digits-ann --out runs/converted
  python -m pipeline.convert tiny-imagenet-10-ann --data tiny-imagenet-200.zip --samples 200
  python -m pipeline.convert --conversion.rule balanced --conversion.encoder constant-current --conversion.timesteps 64

--out receives checkpoint.safetensors for pipeline.run, accuracy.csv, accuracy.png, summary.json and config.toml."""


class ConvertCommand(Section):
    """Options of the command."""

    ann: Positional[str | None] = Field(None, description="a bundled ANN, or a file; conversion.ann if not given")
    conversion: ConversionSection = ConversionSection()
    config: ConfigFile = None
    data: str | None = Field(None, description="data set with training and validation parts; or else data.source")
    out: Out = Path("runs/convert")
    samples: int = Field(100, ge=1, description="how many validation images to measure on")
    seed: Seed = 0
    device: Device = "auto"
    download: Download = False
    overwrite: Overwrite = False


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, convert, measure, report."""
    command, config = parse_with_config(ConvertCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    conversion = command.conversion.model_copy(update={"ann": command.ann or command.conversion.ann})
    source, download = command.data or config.data.source, command.download or config.data.download
    data = config.data.model_copy(update={"source": source, "download": download})
    config = config.model_copy(update={"conversion": conversion, "data": data})
    with out_lock(command.out, None if command.overwrite else "overwrite"):
        convert_and_measure(config, command, Tracker(), PlainConsole(soft_wrap=True))


def convert_and_measure(config: Config, command: ConvertCommand, tracker: Tracker, console: Console) -> None:
    """Do everything; `command.out` exists and is locked."""
    from backends.available import make_backend
    from backends.event.kernels.layer import compile_kernels
    from backends.network.quantise import quantise  # torch is slow to import, --help need not wait
    from pipeline.networks.checkpoint import load_checkpoint, save_checkpoint
    from pipeline.networks.checkpoint_files import find_checkpoint
    from pipeline.networks.conversion.algorithm import configuration, convert_checkpoint
    from pipeline.networks.conversion.latency import accuracy_over_time
    from pipeline.networks.conversion.summary import report, summarise

    from .images.samples import choose_samples

    settings, out = config.conversion, command.out
    source, target = find_checkpoint(settings.ann, "ann"), out / "checkpoint.safetensors"
    if target.exists() and source.samefile(target):
        raise InputError(f"{source}: is the ANN to be converted, and would be overwritten", "other-out")
    ann = load_checkpoint(settings.ann, "ann")
    samples = choose_samples(config.data.source, ann, command.samples, command.seed, config.data.download)
    samples.known_labels()
    backend = make_backend("auto", command.device)
    with tracker.show("preparing (the first time, kernels are compiled)"):
        compile_kernels("float32")
        compile_kernels("fixed")
    shown = settings.calibration * len(ann.network.layers)
    with tracker.time("convert"), tracker.show("calibrating", shown) as advance:
        checkpoint = convert_checkpoint(ann, config, advance)
    save_checkpoint(checkpoint, target)
    save_config(configuration(config, ann, target), out / "config.toml")
    networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
    with tracker.time("measure"), tracker.show(f"measuring over {settings.timesteps} steps", len(samples)) as advance:
        curves = accuracy_over_time(networks, backend, samples, command.seed, advance)
    seconds = {stage: round(taken, 3) for stage, taken in tracker.seconds.items()}
    summary = summarise(settings, ann.network, checkpoint.network, samples, command.seed, curves, seconds)
    report(summary, curves, target, console)
    console.print(spelled(f"next: python -m pipeline.run --checkpoint {target} --data {config.data.source}"))


if __name__ == "__main__":
    main()
