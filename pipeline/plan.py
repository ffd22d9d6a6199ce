"""spikesam plan: what a run will take, from a measured second of work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from spikesam.pipeline.cli.command_line import Flat, parse_with_config
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.cli.options import ConfigFile
from spikesam.pipeline.config import RunSection, Section, load_config
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.progress import Tracker

PROG = "spikesam plan"
DESCRIPTION = """\
Print the time, memory and disk that a run will take, before it starts. Takes the options of run, and changes nothing.

A second or more of the run is done and measured: its first samples are simulated, recorded, explained and thrown away.

examples:
  spikesam plan --checkpoint tiny-imagenet-10 --data tiny-imagenet-200.zip --samples 10000
  spikesam plan --samples 1000000 --keep maps --machines 64"""


class PlanCommand(Section):
    """Options of the command."""

    run: Annotated[RunSection, Flat] = RunSection()
    config: ConfigFile = None
    machines: int = Field(1, ge=1, description="how many machines like this one share the work")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    begun = time.perf_counter()
    command, config = parse_with_config(PlanCommand, load_config, argv, prog=PROG, description=DESCRIPTION)
    from spikesam.pipeline.engine.compute import compile_kernels  # torch is slow to import, --help need not wait
    from spikesam.pipeline.engine.estimate import estimate, measure
    from spikesam.pipeline.engine.prepare import prepare

    tracker = Tracker(PlainConsole(stderr=True))
    with tracker.show("listing samples"):
        job = prepare(config).job
    with tracker.show("preparing (the first time, kernels are compiled)"):
        compile_kernels(job)
    ready = time.perf_counter() - begun
    with tracker.show("measuring a second of work"):
        measured = measure(job, ready)
    console = PlainConsole(soft_wrap=True)
    for line in estimate(measured, job, command.machines):
        console.print(line)


if __name__ == "__main__":
    main()
