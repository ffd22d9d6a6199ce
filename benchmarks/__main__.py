"""python -m benchmarks NAME ...: time this project beside its peers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from benchmarks.common.environment import all_benchmarks, case_maker, missing
from benchmarks.common.measurement import Options
from benchmarks.common.results import Benchmark, measure_all, noted_command
from spikesam.commands import (
    Flat,
    Positional,
    exit_codes,
    listing,
    parse_command,
    some_or_all,
)
from spikesam.settings import Section

PROG = "python -m benchmarks"
BENCHMARKS = all_benchmarks()
APART = "leaderboard", "quick"  # of which simulate measures more
DESCRIPTION = """Time this project and its peers side by side: a table, JSON, and plots.

{names}

examples:
  python -m benchmarks quick
  python -m benchmarks quick --instructions avx2
  python -m benchmarks simulate --repeats 9 --out runs/benchmarks
  python -m benchmarks road raster --repeats 1
  python -m benchmarks all --tiny

Medians of repeats, on a machine that should be idle otherwise; how busy it was is noted. Weights
and inputs are random, and layers fire as often as is said. Compiling is timed by itself.""".format(
    names=listing({**BENCHMARKS, "all": f"every one of them but {' and '.join(APART)}"})
)


class BenchmarkCommand(Section):
    """Options of the command."""

    name: Positional[tuple[str, ...]] = Field(min_length=1, description="benchmarks, or all")
    options: Annotated[Options, Flat] = Options()
    out: Path = Field(Path("runs/benchmarks"), description="folder for benchmarks.json and plots")


@exit_codes
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure, report."""
    command = parse_command(BenchmarkCommand, argv, prog=PROG, description=DESCRIPTION)
    asked = some_or_all(command.name, BENCHMARKS)
    names = [name for name in asked if name not in APART or name in command.name]
    line = noted_command(PROG, argv)
    chosen = {name: Benchmark(BENCHMARKS[name], case_maker(name)) for name in names}
    measure_all(line, chosen, command.options, command.out, missing(names))


if __name__ == "__main__":
    main()
