"""The file of synaptic operations beside a recorded raster, counted while its model ran.

Safetensors with one tensor, `operations`, (N, M, 2, T) int64: additions and multiplications of M
modules at T steps of N samples; its metadata are bound to the raster by the digest of its spikes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open

from spikesam.common.disk import replacing, writing
from spikesam.common.errors import InputError, at
from spikesam.common.files import open_file, refuse_links
from spikesam.common.models import Many, parse_model
from spikesam.common.stamp import Stamp
from spikesam.common.text import printable
from spikesam.recordings.files import RASTER
from spikesam.recordings.raster.reader import RasterReader

NAME = "operations.safetensors"
TENSOR = "operations"
STAMP = Stamp("spikesam-operations", 1, "counted operations")
LARGEST_FILE, LARGEST_HEADER = 1 << 36, 1 << 22  # bytes
MOST_MODULES, LONGEST_MODULE = 1 << 13, 512
BLOCK = 1 << 24  # bytes that are hashed together
Counts = NDArray[np.int64]
Whole = Annotated[int, Field(ge=0, le=1 << 53)]


class CountedModule(BaseModel):
    """A module whose operations were counted.

    `dense` are those of a sample if no number and no weight were 0, `macs` those of one pass of
    them. `layer` is the first recorded layer that had not yet fired when it was called first, "" if
    there was none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=LONGEST_MODULE)]
    layer: Annotated[str, Field(max_length=64)]
    dense: Whole
    macs: Whole


class _About(BaseModel):
    model_config = ConfigDict(extra="forbid")

    raster_digest: str
    sha256: str
    modules: Annotated[Many[CountedModule], Field(max_length=MOST_MODULES)]


class OperationsSpool:
    """The operations of all batches in a file without a name, until their raster is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._samples = self._steps = 0
        self.modules: tuple[CountedModule, ...] = ()

    def add(self, modules: Sequence[CountedModule], counts: Counts) -> None:
        """Take those of the next samples, (B, M, 2, T)."""
        with writing(self._folder):
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115  until it is discarded
            content = np.ascontiguousarray(counts, "<i8").tobytes()
            self._file.write(content)
        self.modules, self._samples = tuple(modules), self._samples + len(counts)
        self._steps = counts.shape[-1]

    def write(self, raster: RasterReader) -> None:
        """Put them beside their raster."""
        assert raster.path is not None
        assert self._file is not None
        size = self._file.tell()
        self._file.seek(0)
        about = {
            **STAMP.attributes,
            "raster_digest": raster.raster_digest,
            "sha256": _digest(self.modules, self._file),
            "modules": [module.model_dump() for module in self.modules],
        }
        shape = self._samples, len(self.modules), 2, self._steps
        tensor = {"dtype": "I64", "shape": shape, "data_offsets": (0, size)}
        described = {"__metadata__": {"about": json.dumps(about)}, TENSOR: tensor}
        header = json.dumps(described).encode()
        header += b" " * (-len(header) % 8)
        self._file.seek(0)
        with replacing(raster.path.with_name(NAME)) as file:
            file.write(len(header).to_bytes(8, "little") + header)
            copyfileobj(self._file, file)

    def discard(self) -> None:
        """Nothing is left of it."""
        if self._file is not None:
            self._file.close()


class Operations:
    """The operations of a raster: by module, and sample by sample."""

    def __init__(self, path: Path, modules: Sequence[CountedModule], stored: Any) -> None:
        self.path, self.modules, self._stored = path, tuple(modules), stored

    def sample(self, number: int) -> Counts:
        """(M, 2, T): additions and multiplications of each module at each step."""
        counts: Counts = self._stored[number : number + 1][0]
        if counts.min(initial=0) < 0 or counts.max(initial=0) > 1 << 53:
            raise InputError(f"{self.path}: holds numbers outside of 0 … 2⁵³, expected counts")
        return counts


@contextmanager
def operations_beside(raster: RasterReader) -> Iterator[Operations | None]:
    """Those that were counted when a raster was recorded, beside a `raster.h5`; None if none were.

    Raises
    ------
    InputError : if the file is damaged, or of another raster
    """
    path = raster.path.with_name(NAME) if raster.path and raster.path.name == RASTER else None
    if path is None or not path.is_file():
        yield None
        return
    refuse_links(path.parent, [path.name])
    with ExitStack() as opened:
        with at(path):
            _check_size(path)
            try:
                operations = _checked(path, opened.enter_context(safe_open(path, "numpy")), raster)
            except (SafetensorError, OSError) as error:
                raise InputError(
                    f"not a readable safetensors file ({printable(error, 200)})"
                ) from None
        yield operations


def _checked(path: Path, file: Any, raster: RasterReader) -> Operations:
    about = parse_model(_About, (file.metadata() or {}).get("about", "{}").encode(), stamp=STAMP)
    if about.raster_digest not in raster.known_as:
        raise InputError(
            f"counts operations of another raster than {raster.path}, expected of its spikes; "
            "record again with operations=True, or remove it"
        )
    steps, layers = raster.timesteps, ("", *raster)
    expected = [raster.n_samples, len(about.modules), 2, steps]
    names = file.keys()
    stored = file.get_slice(TENSOR) if names == [TENSOR] else None
    if stored is None or stored.get_dtype() != "I64" or list(stored.get_shape()) != expected:
        raise InputError(f"expected one tensor {TENSOR!r}, I64, of shape {expected}")
    unknown = [module.layer for module in about.modules if module.layer not in layers]
    if unknown or len({module.name for module in about.modules}) < len(about.modules):
        raise InputError(f"names a layer that {raster.path} lacks, or a module twice")
    with open_file(path) as content:
        content.seek(8 + int.from_bytes(content.read(8), "little"))
        if _digest(about.modules, content) != about.sha256:
            raise InputError("was changed or damaged after it was written")
    return Operations(path, about.modules, stored)


def _digest(modules: Sequence[CountedModule], numbers: IO[bytes]) -> str:
    """SHA-256 of the descriptions of modules, as JSON, and of the numbers that follow."""
    descriptions = json.dumps([module.model_dump() for module in modules])
    digest = hashlib.sha256(descriptions.encode())
    while block := numbers.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _check_size(path: Path) -> None:
    """Refuse a file that is larger than any of its kind, before it is read."""
    with open_file(path) as file:
        header = int.from_bytes(file.read(8), "little")
    size = path.stat().st_size
    if size > LARGEST_FILE or min(header, size) > LARGEST_HEADER:
        raise InputError(
            f"got {size:,} bytes, of metadata {header:,}, expected at most "
            f"{LARGEST_FILE:,} and {LARGEST_HEADER:,}"
        )
