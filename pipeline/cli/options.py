"""Options that no file of configuration has: their types and lines of help, and what their values
stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spikesam.common.arguments import Declared, options_of
from spikesam.common.errors import InputError
from spikesam.common.files import refuse_replacing
from spikesam.common.lock import out_lock
from spikesam.pipeline.cli.command_line import listing
from spikesam.pipeline.config.fields import option_field
from spikesam.recordings.files import RASTER

ConfigFile = Annotated[
    Path | None, Field(description="TOML file with the settings, or the name of a bundled one")
]
Figures = Annotated[
    Path | None, Field(description="new folder for pictures of the first samples (PNG)")
]
FiredBy = Annotated[
    str | None,
    Field(
        description=(
            "network that fired the spikes, by name or file; the one beside the raster if not given"
        )
    ),
]
Out = Annotated[Path, Field(description="folder for the results")]
Overwrite = Annotated[bool, Field(description="replace existing files")]


def refuse_replacing_inputs(out: Path, overwrite: bool, *read: Path | str | None) -> None:
    """Refuse a file in the place of something not given up, above all of what is read: paths, runs,
    or other names.
    """
    from spikesam.pipeline.networks.recorded import BESIDE  # slow to import, --help need not wait

    inputs = [Path(name) for name in read if name is not None]
    folders = [path if path.is_dir() else path.parent for path in inputs]
    refuse_replacing(
        out, overwrite, *inputs, *(folder / name for folder in folders for name in (RASTER, BESIDE))
    )


@contextmanager
def figures_folder(folder: Path | None, overwrite: bool) -> Iterator[None]:
    """Hold the folder for pictures, if any are wanted, from before the hours of work until they are
    drawn.
    """
    if folder is None:
        yield
        return
    if file := next(
        (path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None
    ):
        raise InputError(f"{folder}: {file} is a file, expected the name of a folder for --figures")
    if folder.exists() and not overwrite:
        raise InputError(
            f"{folder}: already exists; choose another --figures, or add to it with --overwrite"
        )
    with out_lock(folder):
        yield


def summary_of(docstring: str) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join(docstring.partition("\n\n")[0].split())


def methods_listed() -> dict[str, str]:
    """The list of the methods for the help, by what they explain."""
    from spikesam.pipeline.maps.method import offline_methods  # other commands need not wait

    methods_by_source: dict[str, dict[str, str]] = {}
    for name, method in offline_methods().items():
        methods_by_source.setdefault(method.source, {})[name] = summary_of(
            method.__doc__ or ""
        ).rstrip(".")
    return {source: listing(summaries) for source, summaries in methods_by_source.items()}


def method_options() -> dict[str, Any]:
    """The options of all methods as fields, whose help says which methods have them."""
    from spikesam.pipeline.maps.method import offline_methods

    declared, having = dict[str, Declared](), dict[str, list[str]]()
    for name, method in offline_methods().items():
        for option, has in options_of(method).items():
            declared[option] = has
            having.setdefault(option, []).append(name)
    return {
        option: option_field(has, f"; for {', '.join(having[option])}")
        for option, has in declared.items()
    }
