"""python -m pipeline.run: encode → simulate → record → explain → pictures, from images or events to maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console

from pipeline.cli.command_line import Flat, parse_with_config
from pipeline.cli.errors import exit_codes, message
from pipeline.cli.options import ConfigFile
from pipeline.cli.tracker import Tracker
from recordings.console import PlainConsole
from recordings.disk import unused
from recordings.errors import InputError
from recordings.lock import out_lock

from .config import Config, RunSection, Section, load_config

PROG = "python -m pipeline.run"
DESCRIPTION = """Run a spiking network on images or events, record every spike, explain them with Spike Activation Maps.

examples:
  python -m pipeline.run --backend torch
  python -m pipeline.run --backend lava --checkpoint tiny-imagenet-10 --data my_cat.jpg --out runs/cat
  python -m pipeline.run --backend torch --config configs/tiny_imagenet_10.toml --data tiny-imagenet-200.zip
  python -m pipeline.run --backend event --checkpoint saccade-digits --data my_recording.aedat4

--out receives config.toml, network.safetensors, raster.h5, sam.h5, figures/, summary.json and report.html.

Stopped? The same command with --out and --resume continues; in fixed point even on another backend."""


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
    if command.resume:
        _expect_begun(out)
    if out is None:
        out = unused(Path("runs") / f"{Path(command.run.checkpoint).stem}-{command.run.backend}")
    with out_lock(out, None if command.resume else "continue that run with --resume, or choose another --out"):
        run(config, out, resume=command.resume, console=PlainConsole(soft_wrap=True))


def _expect_begun(out: Path | None) -> None:
    """Refuse to resume what never began."""
    if out is None:
        raise InputError("--resume needs --out, the folder of the run to continue")
    if not any((out / name).exists() for name in ("raster.h5", "raster.parts")):
        raise InputError(f"{out}: nothing is there to resume; leave out --resume to begin, or correct --out")


def run(config: Config, out: Path, *, resume: bool, console: Console) -> None:
    """Do everything, and print what was found; `out` is locked."""
    from backends.available import make_backend  # torch is slow to import, --help need not wait
    from pipeline.networks.checkpoint import check_fit, load_checkpoint

    from .cli.run_report import print_summary
    from .drawing.figures import save_figures
    from .drawing.subject import subjects_of
    from .images.samples import choose_samples
    from .maps.explanation import explain
    from .maps.localisation import localisation_scores
    from .maps.method import spatial_layers
    from .maps.steps import kept_steps
    from .measures.tables import summary_of_shares
    from .report.sources import Run, grad_cams
    from .report.write import write_page
    from .simulation import in_precision, simulate
    from .summary import summarise

    settings, tracker, figures = config.run, Tracker(), list[Path]()
    with tracker.time("load"), tracker.show("reading images") as advance:
        checkpoint = load_checkpoint(settings.checkpoint, "snn")
        check_fit(checkpoint, config, settings.checkpoint)
        # What cannot be explained is refused before hours of simulation.
        kept_steps(settings.steps, checkpoint.network.timesteps, settings.samples)
        spatial_layers(checkpoint.network.raster_kinds, (), f"checkpoint {settings.checkpoint!r}")
        classes = checkpoint.class_names
        backend = make_backend(settings.backend, settings.device, settings.lava_models, settings.lava_deadline)
        samples = choose_samples(
            settings.data, checkpoint, settings.samples, settings.seed, settings.download, advance=advance
        )
    shared = settings.model_dump(include={"precision", "seed", "batch_size"})
    raster = simulate(
        checkpoint, samples, out=out, backend=backend, resume=resume, config=config, tracker=tracker, **shared
    )
    with (
        _keeping(out / "raster.h5", raster.n_samples),
        raster,
        explain(
            raster,
            out / "sam.h5",
            gamma=settings.gamma,
            steps=settings.steps,
            pictured=settings.figures,
            overwrite=True,
            tracker=tracker,
        ) as maps,
    ):
        with tracker.time("measure"), tracker.show("measuring"):
            scores = localisation_scores(raster, maps, samples.masks)
        if settings.figures:
            with tracker.time("figures"), tracker.show("drawing"):
                subjects = subjects_of(samples, raster.predictions[: settings.figures], classes)
                figures = save_figures(maps, subjects, out / "figures", raster, checkpoint.network)
        summary = summarise(
            raster, summary_of_shares(scores), tracker.seconds, samples.names, classes, settings.checkpoint
        )
        summary.write(out / "summary.json")
        if settings.report:
            with tracker.show("writing the page"), ExitStack() as held:
                network = in_precision(checkpoint.network, settings.precision)
                about = (settings.gamma, settings.checkpoint, summary.answers, samples, network, scores)
                write_page([Run(out.name, raster, *about, tuple(grad_cams(out, raster, held)))], out / "report.html")
        _expect_files(out, ("raster.h5", "sam.h5", "summary.json"))
    print_summary(summary, out, figures, [*tracker.notes, *samples.notes(settings.samples)], console)


@contextmanager
def _keeping(raster: Path, n_samples: int) -> Iterator[None]:
    """Say of a failure after the simulation that nothing has to be simulated again, where that is true."""
    try:
        yield
    except (InputError, OSError) as error:
        if not raster.is_file():
            raise
        kept = f"the spikes of all {n_samples} samples are kept in {raster}, and --resume goes on from there"
        raise InputError(f"{message(error).removeprefix('error: ')}; {kept}") from error


def _expect_files(out: Path, names: Sequence[str]) -> None:
    """Refuse to call a run finished whose results somebody removed meanwhile."""
    if missing := [name for name in names if not (out / name).is_file()]:
        raise InputError(f"{out}: {', '.join(missing)} vanished while the run went on; did something else remove it?")


if __name__ == "__main__":
    main()
