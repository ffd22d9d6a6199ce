"""python -m scripts.ablation: put special paths of the kernels beside their plain forms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from benchmarks.common.environment import missing_spikingjelly
from benchmarks.common.measurement import Options
from benchmarks.common.results import Benchmark, measure_all, noted_command
from scripts.ablation.comparison import cases
from spikesam.pipeline.cli.command_line import Flat, parse_command
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.config import Section

PROG = "python -m scripts.ablation"
DESCRIPTION = """Measure each special path beside its plain form: a path that gains nothing may go.

examples:
  python -m scripts.ablation
  python -m scripts.ablation --paths "narrow neurons" --repeats 5

Run it in the checkout's root, on a machine that does little else."""


class AblationCommand(Section):
    """Options of the command."""

    paths: tuple[str, ...] = Field(
        (), description="special paths that are measured; all if none is named"
    )
    options: Annotated[Options, Flat] = Options()
    out: Path = Field(Path("runs/ablation"), description="folder for benchmarks.json")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, report."""
    command = parse_command(AblationCommand, argv, prog=PROG, description=DESCRIPTION)
    ablation = Benchmark("special paths beside plain forms", partial(cases, command.paths))
    line = noted_command(PROG, argv)
    left_out = [reason] if (reason := missing_spikingjelly()) else []
    measure_all(line, {"ablation": ablation}, command.options, command.out, left_out)


if __name__ == "__main__":
    main()
