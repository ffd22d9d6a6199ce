"""Recordings for other programs: what is exported, the file formats, and the interface of their
exporters.
"""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spikesam.common.disk import check_free, readable
from spikesam.common.errors import OVERWRITE, InputError, did_you_mean
from spikesam.common.files import refuse_replacing
from spikesam.common.lock import file_lock
from spikesam.common.registry import Registry
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.recordings.file_format import open_recording
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from rich.progress import Progress

Advance = Callable[[], object]


@dataclass(frozen=True)
class Selection:
    """Some samples of an open recording, by position, and some layers, by name in order of
    depth.
    """

    recording: Any  # a raster or a file of maps
    samples: range
    names: tuple[str, ...]

    @property
    def layers(self) -> list[Any]:
        """The layers, in order of depth."""
        return [layer for layer in self.recording.layers if layer.name in self.names]

    @property
    def packed(self) -> int:
        """Bytes of the selected spikes, a bit each, or maps, before compression."""
        return self._packed(self.names, self.samples)

    @property
    def fraction(self) -> float:
        """The fraction of the recording's spikes or maps that are selected, 0 … 1."""
        return self.packed / self._packed([*self.recording], range(self.recording.n_samples))

    def _packed(self, names: Iterable[str], samples: range) -> int:
        groups = tuple(self.recording.layer(name).path("") for name in names)
        datasets = self.recording.header.datasets(self.recording.n_samples)
        return sum(
            math.prod(dataset.shape[1:])
            * dataset.dtype.itemsize
            * len(samples[: max(0, dataset.shape[0] - samples.start)])
            for dataset in datasets
            if dataset.digests and dataset.path.startswith(groups)
        )


def select(
    recording: RasterReader | MapReader, samples: str | None, layers: Iterable[str]
) -> Selection:
    """Choose samples, "8" for the first 8, "8:16", "8:" and ":16", and layers by name or number;
    all if not given.
    """
    names = {recording.layer(layer).name for layer in layers} or set(recording)
    return Selection(
        recording,
        _positions(samples, recording),
        tuple(name for name in recording if name in names),
    )


def _positions(text: str | None, recording: RasterReader | MapReader) -> range:
    count = recording.n_samples
    if text is None:
        return range(count)
    bounds = re.fullmatch(r"(?:(\d*):)?(\d*)", text.strip(), re.ASCII)
    expected = "how many, such as 8, or positions from : to, such as 8:16"
    if bounds and text.strip():
        first, last = int(bounds[1] or 0), int(bounds[2] or count)
        if first < last <= count:
            return range(first, last)
        expected = f"at least one of the {count} samples of {recording.file_name}"
    raise InputError(f"got {text!r}, expected {expected}", argument="samples")


class Exporter(ABC):
    """Writes a selection of a recording as one file, or folder, of another format."""

    takes_maps: ClassVar[bool] = False
    size: int  # estimated bytes of the result
    most: int  # upper limit of these
    steps: int  # number of times that `write` calls `advance`

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    @abstractmethod
    def write(self, path: Path, advance: Advance, overwrite: bool) -> None:
        """Write the file, which appears whole or not at all, in a folder that exists; memory stays
        flat.
        """


@dataclass(frozen=True)
class Format:
    """A file format: its title, for people, and the module and class that writes it.

    Of a format that is a folder, `marker` is a file that each of them has.
    """

    title: str
    exporter: str
    marker: str = ""

    def open(self, selection: Selection) -> Exporter:
        """The exporter of a selection; refuses one whose library is not installed."""
        module, _, name = self.exporter.partition(":")
        exporter: Exporter = getattr(import_module(module), name)(selection)
        return exporter


FORMATS: Registry[Format] = Registry(
    "formats",
    "a Format",
    lambda thing: isinstance(thing, Format),
    {
        ".nwb": Format(
            "NWB, for neuroscience: spike times by neuron, one trial per sample",
            "spikesam.pipeline.interop._nwb:Nwb",
        ),
        ".zarr": Format(
            "Zarr 3, which xarray opens: arrays by layer; of maps, too",
            "spikesam.pipeline.interop._zarr_store:ZarrStore",
            "zarr.json",
        ),
        ".nir": Format(
            "data of NIR, beside the graph: arrays by node",
            "spikesam.pipeline.interop._nir_data:NirData",
        ),
        ".vectors": Format(
            "golden vectors for hardware: a folder with integers and spikes, as NPZ and for C",
            "spikesam.pipeline.interop.vectors.vectors:GoldenVectors",
            "vectors.npz",
        ),
    },
)


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of a name, such as "vectors", or that a file's name stands for; refuses what
    stands for none.
    """
    *first_formats, last = FORMATS
    if name is not None:
        if f".{name}" not in FORMATS:
            names = [suffix.removeprefix(".") for suffix in FORMATS]
            raise InputError(
                f"got {printable(repr(name), LONGEST_NAME)}, expected one of {', '.join(names)}"
                f"{did_you_mean(name, names)}",
                argument="format",
            )
        return FORMATS[f".{name}"]
    if path.suffix not in FORMATS:
        raise InputError(
            f"{path}: got a name that ends in {path.suffix or 'nothing'!r}, expected "
            f"{', '.join(first_formats)} or {last}",
            "; or give {format}",
        )
    return FORMATS[path.suffix]


def not_installed(library: str, extra: str) -> InputError:
    """The error to raise where a library is not installed."""
    return InputError(
        f"this format needs the library {library}, which is not installed; pip install "
        f"'spikesam[{extra}]'"
    )


def export_recording(
    source: Path,
    target: Path,
    samples: str | None,
    layers: Iterable[str],
    *,
    named_format: str | None = None,
    overwrite: bool,
    say: Callable[[str], object],
    progress: Progress,
) -> None:
    """Write samples and layers, see `select`, in the format of the name `target`, or in
    `named_format`; `say` prints what, and how large.
    """
    target_format = format_of(target, named_format)
    _refuse_target(source, target, target_format, overwrite)
    with open_recording(source) as recording:
        exporter = target_format.open(select(recording, samples, layers))
        if isinstance(recording, MapReader) and not exporter.takes_maps:
            raise InputError(f"{source}: is a file of maps, expected a raster; .zarr takes maps")
        chosen, count = exporter.selection, len(exporter.selection.samples)
        contents = (
            f"{count} sample{'s' * (count > 1)}, {recording.timesteps} steps, layers "
            f"{', '.join(chosen.names)}"
        )
        say(f"{source} -> {target}: {contents}, about {readable(exporter.size)}")
        folder = next(parent for parent in target.absolute().parents if parent.is_dir())
        check_free(
            folder,
            exporter.most,
            "; free space, choose another disk, or fewer {samples} or {layers}",
        )
        with file_lock(target), progress:
            task = progress.add_task("exporting", total=exporter.steps)
            exporter.write(target, lambda: progress.advance(task), overwrite)
    say(f"{target}  {readable(_size(target))}")


def _refuse_target(source: Path, target: Path, target_format: Format, overwrite: bool) -> None:
    """Refuse a target that must not be replaced: above all the recording itself, and a folder that
    is none of the format.
    """
    marker = target_format.marker
    if not marker:
        refuse_replacing(target, overwrite, source, out="name")
    elif os.path.lexists(target):
        replaceable = target.is_dir() and ((target / marker).is_file() or not any(target.iterdir()))
        if target.is_symlink() or not replaceable:
            raise InputError(
                f"{target}: is no folder with {marker}, expected one that such an export wrote; "
                "choose another name"
            )
        if not overwrite:
            raise InputError(f"{target}: already exists", OVERWRITE, out="name")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
