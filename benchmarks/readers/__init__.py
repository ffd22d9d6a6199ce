"""Runners of the suite `spikesam.conformance`, a file for each library that NIR can be run with.

A file has `run(graph, spikes)`, as :func:`spikesam.conformance.check` takes it, which uses the
library's public API alone and imports it when it is called. Its constants:

* `NAME`, as tables have it, and `DISTRIBUTION`, whose version is noted;
* `PACKAGES` that it needs beside this project's environment, in versions of its own, without what
  these depend on; or
* `ENVIRONMENT`, packages of an environment without this project's, made by `uv run`.

A library with neither is in the environment of this project, or is left out.

`python -m benchmarks.readers LIBRARY FILE` runs the suite, `LIBRARY` the name of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast


class Runner(Protocol):
    """A file of this package; `PACKAGES` and `ENVIRONMENT` may be missing."""

    NAME: str
    DISTRIBUTION: str
    run: Callable[[Any, Any], Any]


def libraries() -> list[str]:
    """Names of the files of runners."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted(file.stem for file in files)


def runner(library: str) -> Runner:
    """The runner of a library, whose packages it does not import."""
    return cast("Runner", import_module(f"benchmarks.readers.{library}"))
