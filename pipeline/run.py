"""spikesam run: encode → simulate → record → explain → pictures, from images or events to maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from rich.console import Console

from spikesam.pipeline.cli.command_line import Flat, parse_with_config
from spikesam.pipeline.cli.errors import exit_codes, interruption
from spikesam.pipeline.cli.options import ConfigFile, part_of
from spikesam.pipeline.cli.run_report import print_summary
from spikesam.pipeline.config import Config, RunSection, Section, load_config
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.disk import unused
from spikesam.recordings.errors import InputError
from spikesam.recordings.lock import out_lock
from spikesam.recordings.progress import Tracker

if TYPE_CHECKING:
    from spikesam.pipeline.engine.job import JobSpec
    from spikesam.pipeline.images.samples import DatasetSamples

PROG, MERGE = "spikesam run", "spikesam merge"
DESCRIPTION = """Run a spiking network on images or events, record every spike, explain them with Spike Activation Maps.

examples:
  spikesam run --backend torch
  spikesam run --backend lava --checkpoint tiny-imagenet-10 --data my_cat.jpg --out runs/cat
  spikesam run --backend torch --config tiny_imagenet_10 --data tiny-imagenet-200.zip
  spikesam run --backend event --checkpoint saccade-digits --data my_recording.aedat4

--out receives config.toml, network.safetensors, raster.h5, sam.h5, figures/, summary.json and report.html.

Stopped? The same command with --out and --resume continues; in fixed point even on another backend. A kill costs at
most 16 finished samples of each process, workers of --dask included, and those at hand.

On several machines that share a folder, each computes some ranges of 16 samples:
  spikesam run --samples 50000 --out shared/big --dask tcp://scheduler:8786
  spikesam run --samples 50000 --out shared/big --range 3/64      the third of 64 processes
  spikesam merge shared/big                                       when all 64 are done"""


class RunCommand(Section):
    """Options of the command."""

    run: Annotated[RunSection, Flat] = RunSection()
    config: ConfigFile = None
    out: Path | None = Field(None, description="folder for the results; by default a new one under runs/")
    resume: bool = Field(False, description="continue the run in --out")
    range: str | None = Field(
        None, description="K/N: compute the K-th of N parts of the run in --out, beside others; then merge"
    )
    dask: str | None = Field(
        None,
        description="compute on a dask cluster: tls://HOST:PORT, tcp://HOST:PORT (not protected), or local:N for N "
        "processes on this machine",
    )


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, compute, and print what was found."""
    command, config = parse_with_config(RunCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    console, out = PlainConsole(soft_wrap=True), command.out
    if command.range is not None:
        if out is None or command.dask or command.resume:
            raise InputError("--range needs --out, the folder that all parts share, and neither --dask nor --resume")
        with out_lock(out, shared=True):
            run_part(config, out, command.range, console)
        return
    if command.resume:
        _expect_begun(out)
    if out is None:
        out = unused(Path("runs") / f"{Path(command.run.checkpoint).stem}-{command.run.backend}")
    with out_lock(out, None if command.resume else "continue"):
        run(config, out, cluster=command.dask, console=console)


def _expect_begun(out: Path | None) -> None:
    """Refuse to resume what never began."""
    if out is None:
        raise InputError("--resume needs --out, the folder of the run to continue")
    if not any((out / name).exists() for name in ("raster.h5", "raster.parts", "sam.h5")):
        raise InputError(f"{out}: nothing is there to resume; leave out --resume to begin, or correct --out")


def run(config: Config, out: Path, *, cluster: str | None = None, console: Console) -> None:
    """Compute all of it, and print what was found; `out` is locked."""
    from spikesam.pipeline.engine.compute_folder import compute_all, compute_on_cluster  # numba is slow to import
    from spikesam.pipeline.engine.first_run import on_torch_at_first
    from spikesam.pipeline.engine.folder import begin, undone_if_refused
    from spikesam.pipeline.engine.prepare import prepare, read_all, with_contents
    from spikesam.pipeline.engine.range_file import PARTS
    from spikesam.pipeline.page.results import write_results

    settings, tracker = config.run, Tracker()
    with tracker.time("load"), tracker.show("listing samples"):
        prepared = prepare(config)
    if not prepared.job.spec.keep.spikes and _was_finished(out, prepared.job.spec, settings, console):
        return
    read: Callable[[range], DatasetSamples] = prepared.read
    with undone_if_refused(out), _counting_if_interrupted(out, len(prepared.job.spec.samples), "--resume"):
        if cluster is not None:
            from spikesam.pipeline.engine.cluster import connected

            job = begin(out, with_contents(prepared, out, tracker), config)
            with tracker.show("connecting"), connected(cluster, out / PARTS, tracker.say) as client:
                totals = compute_on_cluster(out, job, client, tracker)
        else:
            samples, job = read_all(prepared, tracker)
            tracker.notes += samples.notes(settings.samples) + list(filter(None, [samples.clipped(job.network)]))
            job, read = begin(out, on_torch_at_first(job, tracker.say), config), samples.part
            samples.refuse_changed(job.spec.contents)
            totals = compute_all(out, job, tracker)
    summary, figures = write_results(out, totals, job.network, settings, read, tracker)
    print_summary(summary, out, figures, tracker.notes, console)


def run_part(config: Config, out: Path, part: str, console: Console) -> None:
    """Compute the K-th of N parts of a run, beside others."""
    from spikesam.pipeline.engine.compute import compile_kernels
    from spikesam.pipeline.engine.compute_folder import compute_ranges
    from spikesam.pipeline.engine.folder import begin
    from spikesam.pipeline.engine.prepare import prepare, with_contents

    tracker = Tracker()
    with tracker.show("listing samples"):
        prepared = prepare(config)
    if _was_finished(out, prepared.job.spec, config.run, console):
        return
    ranges = prepared.job.spec.ranges
    numbers = part_of(part, len(ranges))
    job = begin(out, with_contents(prepared, out, tracker), config)
    with _counting_if_interrupted(out, len(job.spec.samples), "the same command"):
        with tracker.show("preparing (the first time, kernels are compiled)"):
            compile_kernels(job)
        with tracker.show(f"part {part} on {job.backend.name}", sum(len(ranges[n]) for n in numbers)) as advance:
            compute_ranges(out, job, numbers, advance)
    about = f"ranges {numbers.start} to {numbers.stop - 1}" if numbers else "no range"
    console.print(f"{out}: {about} of {len(ranges)} are finished; when all are, {MERGE} {out}")


@contextmanager
def _counting_if_interrupted(out: Path, count: int, then: str) -> Iterator[None]:
    """Let Ctrl-C say how many samples are kept, and what goes on from there."""
    from spikesam.pipeline.engine.compute_folder import samples_kept

    try:
        yield
    except BaseException as error:
        if interruption(error) is None:
            raise
        kept = f"{samples_kept(out)} of {count} samples are kept in {out}"
        raise KeyboardInterrupt(f"{kept}, and {then} goes on from there") from None


def _was_finished(out: Path, spec: JobSpec, settings: RunSection, console: Console) -> bool:
    """Print the results of a run that was finished before, if that is so."""
    from spikesam.pipeline.engine.finished import finished_before

    if (found := finished_before(out, spec, settings)) is None:
        return False
    pictures = sorted((out / "figures").glob("*.png"))
    notes = [f"{out}: was finished before; nothing is computed again"]
    drawn, asked = sum(path.name != "overview.png" for path in pictures), min(settings.figures, found.n_samples)
    if drawn < asked and not spec.keep.spikes:
        notes.append(
            f"{drawn} of {asked} pictures are there: more need the spikes, which were dropped; use another --out"
        )
    print_summary(found, out, pictures, notes, console)
    return True


if __name__ == "__main__":
    main()
