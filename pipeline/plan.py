"""python -m pipeline.plan: what a run will take, from a measured second of work."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.cli.command_line import Flat, parse_with_config
from pipeline.cli.errors import exit_codes
from pipeline.cli.options import ConfigFile
from pipeline.cli.tracker import Tracker
from recordings.console import PlainConsole
from recordings.disk import readable

from .config import RunSection, Section, load_config

if TYPE_CHECKING:
    from pipeline.ranges.prepare import Prepared

PROG = "python -m pipeline.plan"
DESCRIPTION = """\
Print the time, memory and disk that a run will take, before it starts. Takes the options of run, and changes nothing.

A second or more of the run is done and measured: its first samples are simulated, recorded, explained and thrown away.

examples:
  python -m pipeline.plan --checkpoint tiny-imagenet-10 --data tiny-imagenet-200.zip --samples 10000
  python -m pipeline.plan --samples 1000000 --keep maps --machines 64"""
ENOUGH = 1.0  # seconds of work


class PlanCommand(Section):
    """Options of the command."""

    run: Annotated[RunSection, Flat] = RunSection()
    config: ConfigFile = None
    machines: int = Field(1, ge=1, description="how many machines like this one share the work")


@dataclass(frozen=True)
class Measured:
    """A part of a run that was done.

    Parameters
    ----------
    samples : how many
    ready : seconds before the first one, which every process takes: loading and compiling
    seconds : for all samples
    raster, maps : bytes of their files; 0 where none is kept
    memory : bytes that the process held at most
    """

    samples: int
    ready: float
    seconds: float
    raster: int
    maps: int
    memory: int


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    begun = time.perf_counter()
    command, config = parse_with_config(PlanCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    from pipeline.ranges.prepare import compile_kernels, prepare  # torch is slow to import, --help need not wait

    tracker = Tracker(PlainConsole(stderr=True))
    with tracker.show("listing samples"):
        prepared = prepare(config)
    with tracker.show("preparing (the first time, kernels are compiled)"):
        compile_kernels(prepared)
    ready = time.perf_counter() - begun
    with tracker.show("measuring a second of work"):
        measured = measure(prepared, config.run.batch_size, ready)
    console = PlainConsole(soft_wrap=True)
    for line in outlook(measured, prepared, command.machines):
        console.print(line)


def measure(prepared: Prepared, batch_size: int, ready: float) -> Measured:
    """Do the first samples of a run in a temporary folder, twice as many until it takes a second, or all.

    Parameters
    ----------
    ready : seconds that getting ready took
    """
    from pipeline.ranges.compute import Work
    from pipeline.ranges.plan import RANGE

    whole, count = prepared.plan, min(RANGE, len(prepared.plan.samples))
    warm = False
    while True:
        every = whole.stepped == len(whole.samples)  # or else it is a few, which say nothing of the others
        plan = replace(whole, samples=whole.samples[:count], stepped=count * every, steps=whole.steps * every)
        with tempfile.TemporaryDirectory() as folder:
            out, begun = Path(folder), time.perf_counter()
            work = Work(plan, out, prepared.network, prepared.backend, prepared.chosen.read, batch_size)
            for _ in work.compute(range(len(plan.ranges))):
                pass
            seconds = time.perf_counter() - begun
            raster, maps = (_size(out / name) for name in ("raster.parts", "maps.parts"))
        if warm and (seconds >= ENOUGH or count == len(whole.samples)):
            return Measured(count, ready, seconds, raster, maps, _peak_memory())
        if warm:
            count = min(2 * count, len(whole.samples))
        warm = True  # the first time, libraries are still being loaded


def outlook(measured: Measured, prepared: Prepared, machines: int) -> list[str]:
    """What the whole run will take, line by line."""
    plan, n = prepared.plan, len(prepared.plan.samples)
    share = n / measured.samples
    seconds, raster, maps = measured.seconds * share, measured.raster * share, measured.maps * share
    kept = [f"raster.h5 {readable(raster)}"] * (raster > 0) + [f"sam.h5 {readable(maps)}"]
    shards = f"; while it is merged, {readable(raster + maps)} more" if n > measured.samples else ""
    where = f"{machines} machines like this" if machines > 1 else "this machine"
    return [
        f"{n:,} samples of {plan.header.dataset}, {plan.header.timesteps} steps on {prepared.backend.name}",
        f"measured  {measured.samples} samples in {measured.seconds:.1f} s, {measured.samples / measured.seconds:.3g} "
        f"a second; {measured.ready:.1f} s to get ready",
        f"time      {_duration(measured.ready + seconds / machines)} on {where}, and merging",
        f"memory    {readable(measured.memory)} a process",
        f"disk      {readable(raster + maps)}: {', '.join(kept)}{shards}",
    ]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.h5"))


def _peak_memory() -> int:
    """Bytes that this process held at most."""
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _duration(seconds: float) -> str:
    """Seconds as people say them: "42 s", "31 min", "5.2 h", "3.1 days"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


if __name__ == "__main__":
    main()
