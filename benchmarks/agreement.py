"""The suite `spikesam.conformance` through libraries: which values differ from NIR's equations, and
which reading of an equation gives them.

Each library reads the graphs as its documentation says, in a process of its own, with packages in
versions that it asks for. `benchmarks/readers/` has a file for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from shutil import which
from typing import Any

from benchmarks.common.measurement import Case, MeasuredRow, Options
from benchmarks.readers import libraries, runner
from spikesam import InputError
from spikesam.conformance import cases as graphs_of_suite

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 500  # that a library may take for all graphs
TINY = 3  # graphs
PARTS = " | "  # between the parts of a note


def cases(options: Options, scratch: Path) -> Iterator[Case]:
    """One for each library."""
    for library in libraries():
        yield Case(runner(library).NAME, partial(of_library, library, options, scratch))


def of_library(library: str, options: Options, scratch: Path) -> Iterator[MeasuredRow]:
    """Values in which a library differs, or why it has none; a row for each case of the suite."""
    about = runner(library)
    path = scratch / f"{library}.json"
    arguments = [library, str(path), *(["--first", str(TINY)] if options.tiny else [])]
    try:
        failure = failed_run(library, arguments, scratch) if installed(library) else "not installed"
    except subprocess.TimeoutExpired:
        failure = f"takes more than {SECONDS} s"
    if failure:
        for case in graphs_of_suite()[: TINY if options.tiny else None]:
            yield MeasuredRow(str(case), about.NAME, "not read", (1.0,), note=failure)
        return
    run = json.loads(path.read_text(encoding="utf-8"))
    way = f"{run['name']} {run['versions'][about.DISTRIBUTION]}"
    for result in run["results"]:
        yield row(way, result)


def row(way: str, result: dict[str, Any]) -> MeasuredRow:
    """The row of a result; its note has the first value that differs, the reading that gives what
    the library gives, and the equation, or the message.
    """
    if result["verdict"] == "not read":
        return MeasuredRow(result["case"], way, "not read", (1.0,), note=result["message"])
    note = ""
    if result["bits"]:
        reading = " and ".join(result["readings"])
        if reading and not result["nir_decides"]:
            reading += " (NIR leaves it open)"
        note = PARTS.join([result["first"], reading or "none that is known", result["equation"]])
    return MeasuredRow(result["case"], way, "values", (result["bits"],), at_most=0, note=note)


def installed(library: str) -> bool:
    """True if a library is in the environment of this project, or brings its own packages."""
    about = runner(library)
    if hasattr(about, "PACKAGES") or hasattr(about, "ENVIRONMENT"):
        return True
    try:
        metadata.version(about.DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return False
    return True


def failed_run(library: str, arguments: list[str], scratch: Path) -> str:
    """Run the suite in a process of its own; the last line of what it says if it fails, else
    nothing.
    """
    about = runner(library)
    paths = [str(ROOT)]
    command = [sys.executable]
    if packages := getattr(about, "PACKAGES", ()):
        paths.insert(0, str(folder_with(packages, scratch / f"packages-{library}")))
    elif packages := getattr(about, "ENVIRONMENT", ()):
        wanted = [part for package in packages for part in ("--with", package)]
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        options = ["--quiet", "--isolated", "--no-project", "--python", here]
        command = [uv(library), "run", *options, *wanted, "python"]
    done = subprocess.run(
        [*command, "-m", "benchmarks.readers", *arguments],
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return said[-1] if done.returncode else ""


def folder_with(packages: tuple[str, ...], folder: Path) -> Path:
    """A folder with packages, without what they depend on."""
    if not folder.exists():
        options = ["--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
        command = [uv(folder.name), "pip", "install", *options, *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["uv failed"])[-1]
            raise InputError(f"{' and '.join(packages)}: uv cannot install them: {reason}")
    return folder


def uv(library: str) -> str:
    """The program uv, which makes environments."""
    path = which("uv")
    if path is None:
        raise InputError(
            f"{library}: needs packages of its own, which uv installs, and there is no uv; "
            "install it: https://docs.astral.sh/uv"
        )
    return path
