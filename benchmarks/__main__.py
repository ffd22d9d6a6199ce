"""python -m benchmarks NAME ...: time this project beside its peers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from benchmarks.common.environment import (
    all_benchmarks,
    commit,
    machine,
    measure,
    missing,
    versions,
)
from benchmarks.common.measurement import Options
from benchmarks.common.report import as_json, as_tables, draw_sweeps
from spikesam.common.console import PlainConsole
from spikesam.common.disk import write_file
from spikesam.common.text import shell_command
from spikesam.pipeline.cli.command_line import Flat, Positional, listing, parse_command, some_or_all
from spikesam.pipeline.cli.errors import exit_codes
from spikesam.pipeline.config import Section

PROG = "python -m benchmarks"
BENCHMARKS = all_benchmarks()
APART = "ablation", "leaderboard", "quick"  # of which simulate measures more, or which judge code
DESCRIPTION = """Time this project and its peers side by side: a table, JSON, and plots of cost against size.

{names}

examples:
  python -m benchmarks quick
  python -m benchmarks quick --instructions avx2
  python -m benchmarks simulate --repeats 9 --out runs/benchmarks
  python -m benchmarks road raster --repeats 1
  python -m benchmarks all --tiny

Medians of repeats, on a machine that should be idle otherwise; how busy it was is noted. Weights and inputs are random,
and layers fire as often as is said. Compiling is timed by itself.""".format(
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
    console, begun = PlainConsole(), time.perf_counter()
    left_out = missing(names)
    for reason in left_out:
        console.print(f"left out: {reason}", soft_wrap=True)
    command.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "command": shell_command(*PROG.split(), *(sys.argv[1:] if argv is None else argv)),
        "commit": commit(),
        "machine": machine(command.options.instructions),
        "versions": versions(),
        "options": command.options.model_dump(),
        "left_out": left_out,
        "rows": {},
    }
    about, vectors = result["machine"], ", ".join(result["machine"]["vectors"])
    origin = f"{about['cpu']} ({vectors}), {about['cores']} cores, load {about['load']:.2f}; {result['commit']}"
    pictures = []
    for name in names:
        rows = measure(name, command.options, command.out)
        for table in as_tables(f"{name}: {BENCHMARKS[name]}", rows):
            console.print(table)
        result["rows"][name] = [as_json(row) for row in rows]
        picture = command.out / f"{name}.png"
        if draw_sweeps(picture, f"{name}: cost against size", origin, rows):
            pictures.append(picture)
    result["seconds"] = time.perf_counter() - begun
    path = command.out / "benchmarks.json"
    write_file(path, (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())
    console.print(f"{origin}; {result['seconds']:.0f} s")
    for written in (path, *pictures):
        console.print(str(written), soft_wrap=True)


if __name__ == "__main__":
    main()
