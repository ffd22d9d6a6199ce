"""python -m pipeline.run: encode → simulate → record → explain → pictures, from images or events to maps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console

from pipeline.cli.command_line import Flat, parse_with_config
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import ConfigFile
from pipeline.cli.tracker import Tracker
from recordings.console import PlainConsole
from recordings.disk import unused
from recordings.errors import InputError
from recordings.lock import out_lock
from recordings.program import spelled

from .config import Config, RunSection, Section, load_config

PROG, MERGE = "python -m pipeline.run", "python -m pipeline.merge"
DESCRIPTION = """Run a spiking network on images or events, record every spike, explain them with Spike Activation Maps.

examples:
  python -m pipeline.run --backend torch
  python -m pipeline.run --backend lava --checkpoint tiny-imagenet-10 --data my_cat.jpg --out runs/cat
  python -m pipeline.run --backend torch --config configs/tiny_imagenet_10.toml --data tiny-imagenet-200.zip
  python -m pipeline.run --backend event --checkpoint saccade-digits --data my_recording.aedat4

--out receives config.toml, network.safetensors, raster.h5, sam.h5, figures/, summary.json and report.html.

Stopped? The same command with --out and --resume continues; in fixed point even on another backend.

On several machines that share a folder, each computes some ranges of 16 samples:
  python -m pipeline.run --samples 50000 --out shared/big --dask tcp://scheduler:8786
  python -m pipeline.run --samples 50000 --out shared/big --range 3/64      the third of 64 processes
  python -m pipeline.merge shared/big                                       when all 64 are done"""


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
        None, description="compute on a dask cluster: tcp://HOST:PORT, or local:N for N processes on this machine"
    )


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run."""
    command, config = parse_with_config(RunCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    console, out = PlainConsole(soft_wrap=True), command.out
    if command.range is not None:
        if out is None or command.dask or command.resume:
            raise InputError("--range needs --out, the folder that all parts share, and neither --dask nor --resume")
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
    if not any((out / name).exists() for name in ("raster.h5", "raster.parts", "maps.parts", "sam.h5")):
        raise InputError(f"{out}: nothing is there to resume; leave out --resume to begin, or correct --out")


def run(config: Config, out: Path, *, cluster: str | None = None, console: Console) -> None:
    """Do everything, and print what was found; `out` is locked."""
    # numba is slow to import, --help need not wait
    from pipeline.finish import finish, finished_before, print_finished
    from pipeline.images.samples import ReadSamples
    from pipeline.ranges.cluster import Task, connected, distribute
    from pipeline.ranges.compute import Work
    from pipeline.ranges.prepare import begin, compile_kernels, prepare
    from pipeline.ranges.undo import undone_if_refused

    settings, tracker = config.run, Tracker()
    with tracker.time("load"), tracker.show("listing samples"):
        prepared = prepare(config)
    plan = prepared.plan
    if (found := finished_before(out, plan, settings)) is not None:
        print_finished(out, found, settings, console)
        return
    read: ReadSamples = prepared.chosen.read
    count, recorder = len(plan.samples), None
    with ExitStack() as held:
        with undone_if_refused(out):
            if cluster is not None:
                begin(out, prepared, config)
                where = (settings.backend, settings.device, settings.lava_models, settings.lava_deadline)
                task = Task(out.absolute(), plan, prepared.network, where, read, settings.batch_size)
                with (
                    tracker.show("connecting"),
                    connected(cluster) as client,
                    tracker.show("computing on the cluster", count) as advance,
                ):
                    distribute(client, task, advance)
            else:
                with tracker.time("load"), tracker.show("reading images", count) as advance:
                    # All of them, so that a broken image is found before anything starts.
                    samples = prepared.chosen.read(range(count), advance)
                tracker.notes += samples.notes(settings.samples)
                read = samples.part
                begin(out, prepared, config)
                work = Work(plan, out, prepared.network, prepared.backend, read, settings.batch_size, ahead=True)
                held.callback(work.close)
                with tracker.time("prepare"), tracker.show("preparing (the first time, kernels are compiled)"):
                    compile_kernels(prepared)
                with tracker.show(f"simulating on {prepared.backend.name}", count) as advance:
                    for _ in work.compute(range(len(plan.ranges)), advance):
                        pass
                tracker.notes += work.notes
                recorder = work.recorder
        finish(out, plan, prepared.network, settings, read, tracker, console, recorder)


def run_part(config: Config, out: Path, part: str, console: Console) -> None:
    """Compute the K-th of N parts of a run, beside others."""
    from pipeline.finish import finished_before, print_finished
    from pipeline.ranges.compute import Work
    from pipeline.ranges.prepare import begin, compile_kernels, prepare
    from pipeline.ranges.share import compute_shared, share

    tracker = Tracker()
    with tracker.show("listing samples"):
        prepared = prepare(config)
    plan = prepared.plan
    if (found := finished_before(out, plan, config.run)) is not None:
        print_finished(out, found, config.run, console)
        return
    numbers = share(part, len(plan.ranges))
    begin(out, prepared, config)
    work = Work(plan, out, prepared.network, prepared.backend, prepared.chosen.read, config.run.batch_size, alone=False)
    with tracker.show("preparing (the first time, kernels are compiled)"):
        compile_kernels(prepared)
    with tracker.show(f"part {part} on {prepared.backend.name}", sum(len(plan.ranges[n]) for n in numbers)) as advance:
        compute_shared(work, numbers, advance)
    about = f"ranges {numbers.start} to {numbers.stop - 1}" if numbers else "no range"
    console.print(f"{out}: {about} of {len(plan.ranges)} are finished; when all are, {spelled(MERGE)} {out}")


if __name__ == "__main__":
    main()
