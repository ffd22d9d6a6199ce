"""Write the page of one run, or of two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

from spikesam.pipeline.page.content import kinds_of, run_content
from spikesam.pipeline.page.render import render
from spikesam.pipeline.page.shown_run import ShownRun, open_run
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.disk import write_file
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import open_file

LIMIT = 8_000_000  # bytes of the samples of all runs
MOST_RUNS = 2
GENERATOR, HEAD = b'<meta name="generator" content="spikesam">', 2000  # bytes from the beginning of a page


@checked_arguments
def report(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str] | None = None,
    *,
    limit: int = LIMIT,
    overwrite: bool = False,
) -> Path:
    """One HTML file that shows a run, or two side by side, computes their maps itself, and asks no server for anything.

    Parameters
    ----------
    runs : the folder of a run or a raster file; or two of them
    out : the file; if not given, `report.html` in the folder of the first run, or `x.html` beside `x.h5`, in place of
        an earlier page there
    limit : bytes that the samples may take; of long runs the page holds the first samples, and says so
    overwrite : replace an existing file

    Returns
    -------
    the file

    Raises
    ------
    InputError : if there is no raster, it is damaged, or the file exists or cannot be written

    Examples
    --------
    >>> import numpy as np
    >>> import spikesam
    >>> path = spikesam.write_raster("c.h5", {"conv1": np.ones((1, 2, 1, 2, 2), bool)}, overwrite=True)
    >>> spikesam.report(path).name
    'c.html'
    """
    paths = [Path(runs)] if isinstance(runs, (str, PathLike)) else [Path(run) for run in runs]
    target = Path(out) if out is not None else _beside(paths[0]) if paths else Path()
    if not 1 <= len(paths) <= MOST_RUNS:
        raise InputError(f"runs: got {len(paths)}, expected one or two")
    if limit < 1:
        raise InputError(f"limit: got {limit}, expected a number of bytes ≥ 1")
    overwrite = overwrite or (out is None and _is_page(target))
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already", "overwrite")
    with ExitStack() as resources:
        return write_page([open_run(path, resources) for path in paths], target, limit, overwrite)


def _beside(run: Path) -> Path:
    return run / "report.html" if run.is_dir() else run.with_suffix(".html")


def _is_page(path: Path) -> bool:
    """Whether a file was written by :func:`write_page`: it can be made again, so it may be replaced."""
    if not path.is_file():
        return False
    with open_file(path) as file:
        return GENERATOR in file.read(HEAD)


def write_page(runs: Sequence[ShownRun], target: Path, limit: int = LIMIT, overwrite: bool = True) -> Path:
    """Write the page of runs that are open; see :func:`report`."""
    contents = [run_content(run, limit // len(runs)) for run in runs]
    try:
        page = render(title_of(runs), {"kinds": kinds_of(runs), "runs": contents})
        write_file(target, page.encode(), overwrite=overwrite)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})", "other-out") from None
    return target


def title_of(runs: Sequence[ShownRun]) -> str:
    """The title of the page, such as "Where the network cluttered-digits looks: 8 samples of cluttered-digits/val"."""
    names = [run.network_name or f"of {run.name}" for run in runs]
    data = " and ".join(dict.fromkeys(run.raster.header.dataset for run in runs if run.raster.header.dataset))
    of_data = f" of {data}" if data else ""
    if len(runs) == 2:
        return f"Where the networks {names[0]} and {names[1]} look: samples{of_data}"
    count = runs[0].raster.n_samples
    return f"Where the network {names[0]} looks: {count} sample{'s' * (count > 1)}{of_data}"
