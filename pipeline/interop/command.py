"""Export a recording: choose samples and layers, say how large the file will be, write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from spikesam.pipeline.interop.exporter import Exporter, format_of
from spikesam.pipeline.interop.selection import select
from spikesam.recordings.disk import check_free, readable
from spikesam.recordings.errors import InputError
from spikesam.recordings.file_format import open_recording
from spikesam.recordings.lock import file_lock
from spikesam.recordings.maps.reader import MapReader

if TYPE_CHECKING:
    from rich.progress import Progress


def export_recording(
    source: Path,
    target: Path,
    samples: str | None,
    layers: Iterable[str],
    *,
    overwrite: bool,
    say: Callable[[str], object],
    progress: Progress,
) -> None:
    """Write samples and layers of a recording as the file that the name of `target` asks for.

    Parameters
    ----------
    samples, layers : see :func:`spikesam.pipeline.interop.selection.select`
    say : prints a line: first what will be written and how large it will be, at the end what was

    Raises
    ------
    InputError : if the recording lacks a sample or layer, or the target has no known format, exists, or cannot be
        written
    """
    target_format = format_of(target)
    _refuse_existing(source, target, overwrite)
    with open_recording(source) as recording:
        exporter = target_format.open(select(recording, samples, layers))
        if isinstance(recording, MapReader) and not exporter.takes_maps:
            raise InputError(f"{source}: is a file of maps, expected a raster for {target.suffix}; .zarr takes maps")
        say(f"{source} -> {target}: {_contents(exporter)}, about {readable(exporter.size)}")
        folder = next(parent for parent in target.absolute().parents if parent.is_dir())
        check_free(folder, exporter.most, advice="fewer-exported")
        with file_lock(target), progress:
            task = progress.add_task("exporting", total=exporter.steps)
            exporter.write(target, lambda: progress.advance(task), overwrite)
    say(f"{target}  {readable(_size(target))}")


def _contents(exporter: Exporter) -> str:
    chosen = exporter.selection
    count = len(chosen.samples)
    return f"{count} sample{'s' * (count > 1)}, {chosen.recording.timesteps} steps, layers {', '.join(chosen.names)}"


def _refuse_existing(source: Path, target: Path, overwrite: bool) -> None:
    """Refuse to replace the recording itself, a folder that is no Zarr store, or a file unless `overwrite` says so."""
    if not target.exists() and not target.is_symlink():
        return
    if target.suffix == ".zarr" and target.is_dir() and not target.is_symlink():
        if any(target.iterdir()) and not (target / "zarr.json").is_file():
            raise InputError(f"{target}: is a folder without zarr.json, expected a Zarr store; choose another name")
    elif not target.is_file() or target.suffix == ".zarr":
        found = "a directory" if target.is_dir() else "a file" if target.is_file() else "not a regular file"
        raise InputError(f"{target}: is {found}, which is not replaced; choose another name")
    if source.exists() and target.samefile(source):
        raise InputError(f"{target}: is the recording itself; choose another name")
    if not overwrite:
        raise InputError(f"{target}: already exists", "overwrite", out="name")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
