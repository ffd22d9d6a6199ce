"""Running the cases of a benchmark, in processes other than the one that reports."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

from benchmarks.environment import UP_TO
from benchmarks.measurement import Case, Options, Row
from spikesam.recordings.child import isolated_spawning
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.progress import progress_bar


def measure(name: str, options: Options, folder: Path) -> list[Row]:
    """All rows of a benchmark; files that are made on the way lie under `folder`, and are removed."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        progress_bar(PlainConsole(stderr=True), transient=True) as progress,
    ):
        cases: list[Case] = list(importlib.import_module(f".{name}", __package__).cases(options, Path(scratch)))
        task = progress.add_task(name, total=len(cases))
        shared = groupby(enumerate(cases), key=lambda item: (item[1].environment, item[1].alone and item[0]))
        for (environment, _), group in shared:
            with new_process({**UP_TO.get(options.instructions, {}), **environment}) as process:
                for _, case in group:
                    progress.update(task, description=f"{name}: {case.name}")
                    rows += process.submit(rows_of, case).result()
                    progress.advance(task)
    return rows


def rows_of(case: Case) -> list[Row]:
    """Measure a case; what the other process does."""
    return list(case.rows())


@contextmanager
def new_process(environment: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """A process that starts afresh with these variables set; work is submitted to it."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with isolated_spawning(), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            yield process
    finally:
        os.environ.clear()
        os.environ.update(before)
