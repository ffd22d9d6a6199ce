"""The file formats for other programs, and the interface of their exporters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from spikesam.pipeline.interop.selection import Selection
from spikesam.recordings.errors import InputError
from spikesam.recordings.registry import Registry

Advance = Callable[[], object]


class Exporter(ABC):
    """Writes a selection of a recording as one file, or folder, of another format."""

    takes_maps: ClassVar[bool] = False

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    @property
    @abstractmethod
    def size(self) -> int:
        """Estimated bytes of the result."""

    @property
    @abstractmethod
    def most(self) -> int:
        """Upper limit of the bytes of the result."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of times that :meth:`write` calls `advance`."""

    @abstractmethod
    def write(self, path: Path, advance: Advance, overwrite: bool) -> None:
        """Write the file, which appears whole or not at all, in a folder that exists.

        Memory does not grow with the number of samples. With `overwrite`, it replaces what is there.
        """


@dataclass(frozen=True)
class Format:
    """A file format: its title, for people, and the module and class that writes it."""

    title: str
    exporter: str

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
            "NWB, for neuroscience: spike times by neuron, one trial per sample", "spikesam.pipeline.interop.nwb:Nwb"
        ),
        ".zarr": Format(
            "Zarr 3, which xarray opens: arrays by layer; of maps, too",
            "spikesam.pipeline.interop.zarr_store:ZarrStore",
        ),
        ".nir": Format("data of NIR, beside the graph: arrays by node", "spikesam.pipeline.interop.nir_data:NirData"),
    },
)


def format_of(path: Path) -> Format:
    """The format that a file's name stands for; refuses a name that stands for none."""
    if path.suffix not in FORMATS:
        *most, last = FORMATS
        raise InputError(
            f"{path}: got a name that ends in {path.suffix or 'nothing'!r}, expected {', '.join(most)} or {last}"
        )
    return FORMATS[path.suffix]


def missing(library: str, extra: str) -> InputError:
    """The error to raise where a library is not installed."""
    return InputError(
        f"this format needs the library {library}, which is not installed; pip install 'spikesam[{extra}]'"
    )
