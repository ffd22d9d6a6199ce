"""From cases to results: tables on the terminal, JSON, and plots of cost against size."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common.environment import commit, machine, measure, versions
from benchmarks.common.measurement import CaseMaker, Options
from benchmarks.common.report import as_json, as_tables, draw_sweeps
from spikesam.commands import PlainConsole, shell_command, write_file


class Benchmark(NamedTuple):
    """A benchmark: its title in tables and plots, and what makes its cases."""

    title: str
    make_cases: CaseMaker


def noted_command(prog: str, argv: Sequence[str] | None) -> str:
    """The command line as it is noted beside results: without `--out`, since results are published
    and the folder for them is known to one machine alone.

    Parameters
    ----------
    prog : how the program is called
    argv : its arguments, which it understood; None: those of this process
    """
    words, arguments = prog.split(), iter(sys.argv[1:] if argv is None else argv)
    for argument in arguments:
        if argument == "--out":
            next(arguments)  # its folder
        elif not argument.startswith("--out="):
            words.append(argument)
    return shell_command(*words)


def measure_all(
    command: str,
    benchmarks: Mapping[str, Benchmark],
    options: Options,
    folder: Path,
    left_out: Sequence[str],
) -> None:
    """Measure benchmarks one after the other, print them, and write them into a folder.

    Parameters
    ----------
    command : the command line, as it is noted beside the results
    benchmarks : name -> benchmark
    options : how to measure
    folder : for benchmarks.json and the plots
    left_out : why some rows are missing, a line each
    """
    console, begun = PlainConsole(), time.perf_counter()
    for reason in left_out:
        console.print(f"left out: {reason}", soft_wrap=True)
    folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "command": command,
        "commit": commit(),
        "machine": machine(options.instructions),
        "versions": versions(),
        "options": options.model_dump(),
        "left_out": left_out,
        "rows": {},
    }
    about, vectors = result["machine"], ", ".join(result["machine"]["vectors"])
    origin = (
        f"{about['cpu']} ({vectors}), {about['cores']} cores, load {about['load']:.2f}; "
        f"{result['commit']}"
    )
    pictures = []
    for name, benchmark in benchmarks.items():
        rows = measure(name, benchmark.make_cases, options, folder)
        for table in as_tables(f"{name}: {benchmark.title}", rows):
            console.print(table)
        result["rows"][name] = [as_json(row) for row in rows]
        picture = folder / f"{name}.png"
        if draw_sweeps(picture, f"{name}: cost against size", origin, rows):
            pictures.append(picture)
    result["seconds"] = time.perf_counter() - begun
    path = folder / "benchmarks.json"
    write_file(path, (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())
    console.print(f"{origin}; {result['seconds']:.0f} s")
    for written in (path, *pictures):
        console.print(str(written), soft_wrap=True)
