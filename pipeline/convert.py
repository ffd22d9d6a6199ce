"""python -m pipeline.convert: an ANN becomes a spiking checkpoint, with its accuracy after every number of steps."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.table import Table

from pipeline.cli.command_line import Positional, parse_with_config
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import ConfigFile, Device, Download, Out, Overwrite, Seed
from pipeline.cli.progress import progress_bar
from recordings.errors import InputError
from recordings.lock import holds_files, out_lock
from recordings.program import spelled

from .config import Config, ConversionSection, Section, load_config, save_config

if TYPE_CHECKING:
    from backends.network.graph import Network
    from pipeline.networks.ann_checkpoint import AnnCheckpoint

    from .images.samples import Samples

PROG = "python -m pipeline.convert"
WITHIN = 0.02  # accuracy
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
    data: str | None = Field(
        None, description="data set with a training and a validation part; data.source if not given"
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
    command, config = parse_with_config(ConvertCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    conversion = command.conversion.model_copy(update={"ann": command.ann or command.conversion.ann})
    source, download = command.data or config.data.source, command.download or config.data.download
    data = config.data.model_copy(update={"source": source, "download": download})
    config = config.model_copy(update={"conversion": conversion, "data": data})
    with out_lock(command.out):
        if not command.overwrite and holds_files(command.out):
            raise InputError(
                f"{command.out}: holds files already; choose another --out, or replace them with --overwrite"
            )
        convert_and_measure(config, command, Console(stderr=True), Console(soft_wrap=True, highlight=False))


def convert_and_measure(config: Config, command: ConvertCommand, terminal: Console, console: Console) -> None:
    """Do everything; `command.out` exists and is locked."""
    from backends.available import make_backend
    from backends.event.kernels.layer import compile_kernels
    from backends.network.quantise import quantise  # torch is slow to import, --help need not wait
    from pipeline.networks.ann_checkpoint import load_ann
    from pipeline.networks.checkpoint import find_checkpoint, save_checkpoint
    from pipeline.networks.conversion.algorithm import convert_checkpoint
    from pipeline.networks.conversion.latency import (
        accuracy_over_time,
        milestones,
        plot_curves,
        settles_at,
        write_curves,
    )

    from .images.samples import choose_samples

    settings, out = config.conversion, command.out
    source, target = find_checkpoint(settings.ann, ann=True), out / "checkpoint.safetensors"
    if target.exists() and source.samefile(target):
        raise InputError(f"{source}: is the ANN to be converted, and would be overwritten; choose another --out")
    ann = load_ann(settings.ann)
    samples = choose_samples(config.data.source, ann, command.samples, command.seed, config.data.download)
    labels = samples.table.label
    if labels.min() < 0:
        raise InputError(f"{samples.name}: holds images without labels, expected labelled ones")
    backend = make_backend("auto", command.device)
    with progress_bar(terminal, transient=True) as progress:
        task = progress.add_task("preparing (the first time, kernels are compiled)", total=None)
        for precision in ("float32", "fixed"):
            compile_kernels(precision)
        progress.remove_task(task)
        begun = time.perf_counter()
        task = progress.add_task("calibrating", total=settings.calibration * len(ann.model.plans))
        checkpoint = convert_checkpoint(ann, config, lambda images: progress.advance(task, images))
        converted = time.perf_counter() - begun
        save_checkpoint(checkpoint, target)
        save_config(resolved(config, ann, target), out / "config.toml")
        networks = {"float32": checkpoint.network, "fixed": quantise(checkpoint.network)}
        task = progress.add_task(f"measuring over {settings.timesteps} steps", total=len(samples))
        curves = accuracy_over_time(
            networks, backend, samples, labels, command.seed, lambda images: progress.advance(task, images)
        )
    reference = ann_accuracy(ann, samples, labels)
    where = f"{samples.name}, {len(samples)} images"
    rule = f"{settings.rule}, {settings.encoder}"
    settled = {name: settles_at(curve, reference - WITHIN) for name, curve in curves.items()}
    write_curves(out / "accuracy.csv", curves)
    plot_curves(out / "accuracy.png", curves, reference, f"From {Path(settings.ann).stem} to spikes ({rule})", where)
    quoted = milestones(settings.timesteps)
    summary = {
        "ann": settings.ann,
        "conversion": settings.model_dump(mode="json"),
        "dataset": samples.name,
        "n_samples": len(samples),
        "seed": command.seed,
        "ann_accuracy": reference,
        "accuracy": {name: {str(t): float(curve[t - 1]) for t in quoted} for name, curve in curves.items()},
        "within_2_points_from_step": settled,
        "thresholds": thresholds(checkpoint.network),
        "network_sha256": checkpoint.network.sha256,
        "seconds": {"convert": round(converted, 3), "measure": round(time.perf_counter() - begun - converted, 3)},
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"thresholds ({settings.rule}): {thresholds_text(checkpoint.network)}")
    table = Table(title=f"accuracy, {where}; the ANN's is {reference:.1%}")
    for column in ("steps", *curves):
        table.add_column(column, justify="right")
    for t in quoted:
        table.add_row(str(t), *(f"{curve[t - 1]:.1%}" for curve in curves.values()))
    console.print(table)
    for name, step in settled.items():
        when = f"from step {step}" if step else "not yet"
        console.print(f"{name}: within 2 points of the ANN or above it {when}", highlight=False)
    for name in ("checkpoint.safetensors", "accuracy.csv", "accuracy.png", "summary.json"):
        console.print(str(out / name))
    console.print(spelled(f"next: python -m pipeline.run --checkpoint {target} --data {config.data.source}"))


def resolved(config: Config, ann: AnnCheckpoint, target: Path) -> Config:
    """The configuration with the sections of the ANN's own, which fits the new checkpoint in `pipeline.run`."""
    data = config.data.model_copy(update=asdict(ann.preprocessing) | {"classes": ann.classes})
    network = config.network.model_copy(update={"neuron": "relu", "layers": tuple(ann.model.description)})
    run = config.run.model_copy(update={"checkpoint": str(target), "data": (config.data.source,)})
    return config.model_copy(update={"data": data, "network": network, "run": run})


def ann_accuracy(ann: AnnCheckpoint, samples: Samples, labels: NDArray[np.int32]) -> float:
    """Share of the samples that the ANN classifies right."""
    import torch

    right = 0
    with torch.inference_mode():
        for i, label in enumerate(labels):
            image = torch.from_numpy(samples.images([i]))
            right += int(ann.model(image).argmax()) == label
    return right / len(labels)


def thresholds(network: Network) -> dict[str, list[float]]:
    """θ/g of each layer, in units of its input current: one for all, or one per channel."""
    each = {layer.name: (layer.neuron.threshold / layer.neuron.gain[0]).tolist() for layer in network.layers}
    return {name: values[:1] if len(set(values)) == 1 else values for name, values in each.items()}


def thresholds_text(network: Network) -> str:
    """ "conv1 4.42, conv2 1.97, …"; of several per layer, the median and the range."""
    return ", ".join(
        f"{name} {np.median(values):.3g}" + (f" ({min(values):.2g}–{max(values):.2g})" if len(values) > 1 else "")
        for name, values in thresholds(network).items()
    )


if __name__ == "__main__":
    main()
