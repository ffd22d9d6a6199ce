"""python -m pipeline.run: encode → simulate → record → explain → pictures, from images to maps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from rich.console import Console

from pipeline.cli.command_line import Flat, parse_with_config
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import ConfigFile
from pipeline.cli.progress import progress_bar
from recordings.errors import InputError
from recordings.lock import holds_files, out_lock

from .config import Config, RunSection, Section, load_config, resolved, save_config

if TYPE_CHECKING:
    from recordings.raster.reader import RasterReader

PROG = "python -m pipeline.run"
DESCRIPTION = """Run a spiking network on images, record every spike, and explain them with Spike Activation Maps.

examples:
  python -m pipeline.run --backend torch
  python -m pipeline.run --backend lava --checkpoint tiny-imagenet-10 --data my_cat.jpg --out runs/cat
  python -m pipeline.run --backend torch --config configs/tiny_imagenet_10.toml --data tiny-imagenet-200.zip

--out receives config.toml, network.safetensors, raster.h5, sam.h5, figures/ and summary.json.

Stopped? The same command with --out and --resume continues; in fixed point even on another backend."""


LIKELIEST = 3  # classes named per image
SHOWN_ANSWERS = 8  # images whose classes are printed, where no accuracy is


class RunCommand(Section):
    """Options of the command."""

    run: Annotated[RunSection, Flat] = RunSection()
    config: ConfigFile = None
    out: Path | None = Field(None, description="folder for the results; by default a new one under runs/")
    resume: bool = Field(False, description="continue the run in --out")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run."""
    command, config = parse_with_config(RunCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    out = command.out
    if out is None:
        if command.resume:
            raise InputError("--resume needs --out, the folder of the run to continue")
        out = _free_folder(Path("runs") / f"{Path(command.run.checkpoint).stem}-{command.run.backend}")
    with out_lock(out):
        if not command.resume and holds_files(out):
            raise InputError(f"{out}: holds files already; continue that run with --resume, or choose another --out")
        run(config, out, resume=command.resume, terminal=Console(stderr=True), console=Console(soft_wrap=True))


def run(config: Config, out: Path, *, resume: bool, terminal: Console, console: Console) -> dict[str, Any]:
    """Do everything and return the summary; `out` exists and is locked."""
    from backends.available import make_backend  # torch is slow to import, --help need not wait
    from backends.network.quantise import quantise
    from backends.network.storage import write_network
    from pipeline.maps.method import spatial_layers
    from pipeline.maps.sam import compile_kernel
    from pipeline.networks.checkpoint import check_fit, load_checkpoint
    from recordings.maps.reader import MapReader
    from recordings.raster.reader import RasterReader
    from recordings.raster.writer import RasterWriter

    from .drawing.figures import save_figures
    from .explain import explain_raster
    from .images.samples import choose_samples
    from .maps.localisation import localisation_table
    from .simulation import raster_header, record

    settings = config.run
    seconds: dict[str, float] = {}
    with _stage(seconds, "load"):
        checkpoint = load_checkpoint(settings.checkpoint, "snn")
        check_fit(checkpoint, config, settings.checkpoint)
        network = checkpoint.network if settings.precision == "float32" else quantise(checkpoint.network)
        if network.precision != settings.precision:
            raise InputError(
                f"checkpoint {settings.checkpoint!r} holds fixed point, which --precision float32 cannot undo"
            )
        backend = make_backend(settings.backend, settings.device, settings.lava_models, settings.lava_deadline)
        samples = choose_samples(settings.data, checkpoint, settings.samples, settings.seed, settings.download)
    if samples.skipped:
        console.print(f"skipped {samples.skipped:,} images of classes that the checkpoint does not know")
    if len(samples) < settings.samples and samples.table.label.max() >= 0:
        console.print(f"{samples.name} has {len(samples)} images of these classes, fewer than --samples")

    header = raster_header(network, backend, samples.name, settings.seed, json.dumps(resolved(config)))
    # A network with nothing to explain is refused before hours of simulation: dense layers driven by constant currents.
    spatial_layers({layer.name: layer.kind for layer in header.layers}, (), f"checkpoint {settings.checkpoint!r}")
    writer = RasterWriter(out, header, samples.table, resume=resume)
    if writer.dropped:
        console.print(f"{writer.dropped} damaged shards dropped; their samples are computed again")
    save_config(config, out / "config.toml")
    write_network(network, out / "network.safetensors")
    with progress_bar(terminal, transient=True) as progress:
        task = progress.add_task("preparing (the first time, kernels are compiled)", total=None)
        with _stage(seconds, "prepare"):
            if len(writer.remaining):
                backend.prepare(network)
            compile_kernel()
        progress.remove_task(task)
        task = progress.add_task(f"simulating on {backend.name}", total=len(samples))
        progress.advance(task, len(samples) - len(writer.remaining))
        seconds |= record(
            network,
            backend,
            samples,
            writer,
            seed=settings.seed,
            batch_size=settings.batch_size,
            progress=lambda done: progress.advance(task, done),
        )
        with RasterReader(writer.path) as raster:
            task = progress.add_task("explaining", total=raster.n_samples)
            with _stage(seconds, "explain"):
                explain_raster(
                    raster,
                    out / "sam.h5",
                    gamma=settings.gamma,
                    overwrite=True,
                    track_samples=lambda order: _advancing(order, lambda: progress.advance(task)),
                )
            with MapReader(out / "sam.h5") as maps:
                with _stage(seconds, "measure"):
                    localisation = localisation_table(raster, maps, samples.masks).to_dict("records")
                figures: Sequence[Path] = ()
                if settings.figures:
                    progress.add_task("drawing", total=None)
                    with _stage(seconds, "figures"):
                        shown = range(min(settings.figures, len(samples)))
                        names = checkpoint.class_names
                        subjects = [samples.subject(i, names, raster.predictions[i]) for i in shown]
                        figures = save_figures(maps, subjects, out / "figures", raster)
            summary = {
                "backend": backend.name,
                "device": backend.device,
                "precision": network.precision,
                "checkpoint": settings.checkpoint,
                "dataset": samples.name,
                "n_samples": raster.n_samples,
                "timesteps": raster.timesteps,
                "seed": settings.seed,
                "accuracy": _accuracy(samples.table.label, raster.predictions),
                "answers": _answers(samples.names, raster, checkpoint.class_names),
                "spike_rate": {layer.name: _spike_rate(raster.counts(layer), layer.neurons) for layer in raster.layers},
                "localisation": localisation,
                "raster_digest": raster.raster_digest,
                "network_sha256": network.sha256,
                "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            }
    (out / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _report(summary, out, figures, console)
    return summary


def _report(summary: dict[str, Any], out: Path, figures: Sequence[Path], console: Console) -> None:
    from pipeline.cli.tables import localisation_text, rates_text

    accuracy, count = summary["accuracy"], summary["n_samples"]
    console.print(
        f"{count} sample{'s' * (count > 1)} of {summary['dataset']}, {summary['timesteps']} steps on "
        f"{summary['backend']} ({summary['precision']})" + ("" if accuracy is None else f": accuracy {accuracy:.1%}"),
        highlight=False,
    )
    if accuracy is None:
        for answer in summary["answers"][:SHOWN_ANSWERS]:
            ranked = ", ".join(f"{name} {share:.0%}" for name, share in answer["classes"].items())
            console.print(f"  {answer['image']}: {ranked}", highlight=False, markup=False)
    console.print(rates_text(summary["spike_rate"]), highlight=False)
    if summary["localisation"]:
        console.print(localisation_text(summary["localisation"]))
    else:
        console.print("no box or mask is known of these images: whether maps find the object is not measured")
    console.print(f"raster_digest {summary['raster_digest']}", highlight=False)
    for path in (out / "raster.h5", out / "sam.h5", out / "summary.json"):
        console.print(str(path), highlight=False)
    if figures:
        console.print(f"pictures: {', '.join(str(path) for path in figures)}", highlight=False)


def _answers(images: Sequence[str], raster: RasterReader, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Per image, its likeliest classes and their softmax shares."""
    logits = raster.readout * (raster.header.readout_scale / raster.timesteps)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    ranked = np.argsort(-shares, axis=1, kind="stable")[:, :LIKELIEST]
    return [
        {
            "image": images[sample],
            "classes": {classes[label]: round(float(shares[sample, label]), 4) for label in row},
        }
        for sample, row in enumerate(ranked)
    ]


def _accuracy(labels: Any, predictions: Any) -> float | None:
    known = labels >= 0
    return float(np.mean(labels[known] == predictions[known])) if known.any() else None


def _spike_rate(counts: Any, neurons: int) -> float:
    return float(counts.sum(dtype=np.int64) / (counts.size * neurons))


def _free_folder(base: Path) -> Path:
    number = 1
    folder = base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _advancing(order: Sequence[int], advance: Any) -> Iterator[int]:
    for element in order:
        yield element
        advance()


@contextmanager
def _stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begun


if __name__ == "__main__":
    main()
