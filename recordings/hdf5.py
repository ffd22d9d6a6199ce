"""An HDF5 file of unknown origin: nothing in it is followed or read before it was checked.

Every link is looked at before it is opened (soft and external ones could lead to other files),
every dataset's storage before its size is asked for (virtual and external ones live elsewhere), and
its size, type and filters before its data.
"""

from __future__ import annotations

import errno
import io
import math
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import InputError
from spikesam.common.files import similar_file
from spikesam.common.stamp import Stamp, StampError
from spikesam.common.text import printable
from spikesam.recordings.chunks import CHECKSUM_BYTES, largest_stored
from spikesam.recordings.errors import OtherFormatError, RasterError
from spikesam.recordings.files import SIGNATURE, has_hdf5_signature
from spikesam.recordings.inspection import inspect
from spikesam.recordings.schema import MAPS_STAMP, MAX_TEXT, RASTER_STAMP, DatasetSpec

MAX_SHOWN = 300  # characters of a path or a finding in a message
MAX_ATTRIBUTES = 64  # of one object, where all are read
LACKING = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
}  # the system's, whatever the file is

_SCALARS: dict[str, type] = {"text": str, "int64": int, "float64": float, "bool": bool}
_LAYOUTS = {
    h5py.h5d.COMPACT: "compact",
    h5py.h5d.CONTIGUOUS: "contiguous",
    h5py.h5d.VIRTUAL: "virtual",
}
KINDS = {stamp.format: stamp.holds for stamp in (RASTER_STAMP, MAPS_STAMP)}
_LINKS = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}

FileSource = Path | str | bytes | io.BytesIO  # a file, by its name or in memory


class CheckedFile:
    """A file opened for reading, by name or content; a RasterError if it is not as expected, a
    `noun` such as "raster".

    `expected` is the longer description of what was expected. `opener` opens such a file in a
    process of its own first, see `inspect`; None if this process wrote the file. `file_name` is its
    name in messages: its path, or that it is in memory.
    """

    def __init__(self, source: FileSource, noun: str, expected: str, opener: str | None) -> None:
        content = source.getvalue() if isinstance(source, io.BytesIO) else source
        if not isinstance(content, (bytes, str, os.PathLike)):
            raise RasterError(
                f"{noun}: got {type(content).__name__}, expected the path of {expected}"
            )
        self.path = None if isinstance(content, bytes) else Path(content)
        self.source = content if isinstance(content, bytes) else Path(content).absolute()
        self.file_name = f"{noun} in memory" if self.path is None else str(self.path)
        if self.path is not None and not os.path.isfile(self.path):
            obstacle = (
                "a directory"
                if os.path.isdir(self.path)
                else "not a file"
                if os.path.exists(self.path)
                else "no such file"
            )
            raise RasterError(
                f"{self.file_name}: {obstacle}, expected {expected}{similar_file(self.path)}"
            )
        try:
            self.size = len(content) if isinstance(content, bytes) else Path(content).stat().st_size
            # nor does the kernel declare a size of what it makes up as it is read, perhaps for ever
            if not self.size:
                raise RasterError(
                    f"{self.file_name}: cannot be read as HDF5 (0 bytes), expected {expected}; "
                    "is it truncated?"
                )
            if opener is not None:
                inspect(
                    content if isinstance(content, bytes) else Path(content), opener, self.file_name
                )
            self.file = h5py.File(
                io.BytesIO(content) if isinstance(content, bytes) else content, "r"
            )
            self.root = h5py.h5g.open(self.file.id, b"/")
            self._chunks: list[tuple[str, NDArray[np.uint64]]] = []
            self._bytes = 0
        except RasterError:
            raise
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in LACKING:
                raise RasterError(
                    f"{self.file_name}: cannot be opened here ({_one_line(error)}), expected room "
                    "for open files and a process; raise the limits (ulimit)"
                ) from error
            if isinstance(content, bytes):
                begins = content.startswith(SIGNATURE)
            else:
                begins = has_hdf5_signature(Path(content)) or not os.access(content, os.R_OK)
            if not begins:
                raise RasterError(f"{self.file_name}: is not HDF5, expected {expected}") from error
            raise RasterError(
                f"{self.file_name}: cannot be read as HDF5 ({_one_line(error)}), expected "
                f"{expected}; is it truncated?"
            ) from error

    def fail(self, path: str, got: str, expected: str) -> RasterError:
        """The error to raise of what lies at a path in the file."""
        shown = (text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…" for text in (path, got))
        return RasterError(
            f"{self.file_name}: {printable(': '.join(shown))}, expected {printable(expected)}"
        )

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Name file and path in the complaints of the schema, and turn what h5py raises over
        damaged content into a RasterError.
        """
        try:
            yield
        except RasterError:
            raise
        except InputError as error:
            raise RasterError(f"{self.file_name}: {path}: {error}") from error
        except (
            OSError,
            RuntimeError,
            KeyError,
            ValueError,
            TypeError,
            OverflowError,
            MemoryError,
        ) as error:
            if not self.file:
                raise RasterError(
                    f"{self.file_name}: is closed; open it again, or read it inside its with block"
                ) from None
            raise self.fail(path, f"unreadable ({_one_line(error)})", "intact data") from error

    def expect_finished(self, stamp: Stamp) -> None:
        """Refuse another format or version, of which nothing else is read, and a file that was not
        finished.
        """
        try:
            stamp.check(lambda name: self._root(name, str if name == "format" else int))
        except StampError as error:
            other, expected = KINDS.get(error.value), KINDS.get(stamp.format)
            if other and expected:
                raise OtherFormatError(
                    f"{self.file_name}: is {other}, expected {expected}"
                ) from None
            raise self.fail(f"/@{error.attribute}", repr(error.value), error.expected) from None
        if not self._root("complete", bool):
            raise self.fail("/@complete", "False", "True")

    def _root(self, name: str, kind: type) -> Any:
        return self.attributes(self.root, {name: kind})[name]

    def children(self, group: h5py.h5g.GroupID, limit: int) -> list[str]:
        """Names in a group, in order, once each was seen to be a hard link."""
        with self.reading(_path(group)):
            if (count := group.get_num_objs()) > limit:
                raise self.fail(_path(group), f"{count:,} entries", f"at most {limit}")
            links: list[tuple[bytes, int]] = []
            group.links.iterate(
                lambda name, info: links.append((bytes(name), int(info.type))), info=True
            )
            for name, kind in links:
                if kind != h5py.h5l.TYPE_HARD:
                    raise self.fail(
                        _path(group, name.decode("utf-8", "replace")),
                        _LINKS.get(kind, "a user-defined link"),
                        "a hard link to data in this file",
                    )
            return sorted(name.decode("utf-8", "replace") for name, _ in links)

    def expect_children(self, group: h5py.h5g.GroupID, expected: set[str]) -> None:
        """Refuse a group that does not hold exactly these names."""
        names = set(self.children(group, 64))
        if names != expected:
            name = min(names ^ expected)
            finding = "missing" if name in expected else "an unknown path"
            raise self.fail(
                _path(group, name), finding, f"{_path(group)} to hold {', '.join(sorted(expected))}"
            )

    def group(self, parent: h5py.h5g.GroupID, name: str) -> h5py.h5g.GroupID:
        """Open a child whose link was checked."""
        path = _path(parent, name)
        with self.reading(path):
            opened = h5py.h5o.open(parent, name.encode())
            if not isinstance(opened, h5py.h5g.GroupID):
                raise self.fail(path, "not a group", "a group")
            return opened

    def attributes(
        self,
        owner: Any,
        expected: Mapping[str, type],
        optional: Mapping[str, type] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Read attributes, and `optional` ones that are there: str, int, float, bool, or tuple for
        three integers.
        """
        values = {}
        for name, kind in {**expected, **optional}.items():
            path = f"{_path(owner)}@{name}"
            with self.reading(path):
                if not h5py.h5a.exists(owner, name.encode()):
                    if name in optional:
                        continue
                    raise self.fail(path, "missing", f"an attribute of type {kind.__name__}")
                values[name] = self._attribute(h5py.h5a.open(owner, name.encode()), kind)
        return values

    def scalars(
        self, owner: Any, wanted: Callable[[str], bool]
    ) -> dict[str, str | int | float | bool]:
        """Read all attributes of names that are `wanted`, ascending, whose types the file says
        itself.
        """
        values, path = dict[str, str | int | float | bool](), _path(owner)
        with self.reading(path):
            if (count := h5py.h5a.get_num_attrs(owner)) > MAX_ATTRIBUTES:
                raise self.fail(path, f"{count:,} attributes", f"at most {MAX_ATTRIBUTES}")
            names = list[bytes]()
            h5py.h5a.iterate(owner, names.append)
            for name in sorted(name.decode("utf-8") for name in names):
                if wanted(name):
                    attribute = h5py.h5a.open(owner, name.encode())
                    text = isinstance(attribute.get_type(), h5py.h5t.TypeStringID)
                    dtype = "text" if text else str(attribute.dtype)
                    if (kind := _SCALARS.get(dtype)) is None:
                        raise self.fail(f"{path}@{name}", dtype, f"one of {', '.join(_SCALARS)}")
                    values[name] = self._attribute(attribute, kind)
        return values

    def _attribute(self, attribute: h5py.h5a.AttrID, kind: type) -> Any:
        path = f"{_path(attribute)}@{attribute.name.decode('utf-8', 'replace')}"
        shape, type_id = attribute.shape, attribute.get_type()
        if attribute.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            raise self.fail(path, "empty", "a value")
        text = isinstance(type_id, h5py.h5t.TypeStringID)
        dtype = "text" if text else str(attribute.dtype)
        expected = {kind: name for name, kind in _SCALARS.items()}.get(kind, "int64")
        if shape != ((3,) if kind is tuple else ()) or dtype != expected:
            raise self.fail(
                path,
                f"{dtype} of shape {shape}",
                f"{'three' if kind is tuple else 'one'} {expected}",
            )
        if text and not type_id.is_variable_str() and type_id.get_size() > MAX_TEXT:
            raise self.fail(path, f"{type_id.get_size():,} bytes of text", f"at most {MAX_TEXT:,}")
        array = np.empty(shape, attribute.dtype)
        attribute.read(array)
        if kind is tuple:
            return tuple(int(number) for number in array)
        value = array[()]
        if text:
            string = value if isinstance(value, str) else bytes(value).decode("utf-8")
            if len(string) > MAX_TEXT:
                raise self.fail(path, f"{len(string):,} characters", f"at most {MAX_TEXT:,}")
            return string
        return kind(value)

    def open_dataset(self, parent: h5py.h5g.GroupID, name: str) -> h5py.h5d.DatasetID:
        """Open a child whose link was checked, and refuse storage other than chunks in this
        file.
        """
        opened = self.data(parent, name)
        with self.reading(_path(opened)):
            if (layout := opened.get_create_plist().get_layout()) != h5py.h5d.CHUNKED:
                storage = f"{_LAYOUTS.get(layout, 'unknown')} storage"
                raise self.fail(_path(opened), storage, "chunks in this file")
            return opened

    def data(
        self, parent: h5py.h5g.GroupID, name: str, other_kind: str = "not a dataset"
    ) -> h5py.h5d.DatasetID:
        """Open a child whose link was checked; an error says `other_kind` of what is no dataset."""
        path = _path(parent, name)
        with self.reading(path):
            opened = h5py.h5o.open(parent, name.encode())
            if not isinstance(opened, h5py.h5d.DatasetID):
                raise self.fail(path, other_kind, "a dataset")
            self.refuse_elsewhere(opened)
            return opened

    def refuse_elsewhere(self, dataset: h5py.h5d.DatasetID) -> None:
        """Refuse a dataset whose data lie in other files."""
        plist = dataset.get_create_plist()
        virtual = plist.get_layout() == h5py.h5d.VIRTUAL
        if virtual or plist.get_external_count():
            storage = f"{'virtual' if virtual else 'external'} storage"
            raise self.fail(_path(dataset), storage, "data in this file")

    def count_bytes(self, dataset: h5py.h5d.DatasetID, limit: int) -> None:
        """Refuse a dataset with which those that were counted take more than so many bytes, once
        they are unpacked.
        """
        self._bytes += math.prod(dataset.shape) * dataset.dtype.itemsize
        if self._bytes > limit:
            raise self.fail(
                _path(dataset), f"arrays of more than {limit:,} bytes", "at most so many"
            )

    def check_dataset(self, opened: h5py.h5d.DatasetID, dataset: DatasetSpec) -> None:
        """Compare dtype, shape, chunks, filters and the place of every stored chunk with what the
        format says.
        """
        with self.reading(dataset.path):
            plist = opened.get_create_plist()
            filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
            codes = {h5py.h5z.FILTER_DEFLATE: "deflate", h5py.h5z.FILTER_FLETCHER32: "fletcher32"}
            for property_name, got, expected in (
                ("dtype", opened.dtype, dataset.dtype),
                ("shape", opened.shape, dataset.shape),
                ("chunks", plist.get_chunk(), dataset.chunks),
                (
                    "filters",
                    " + ".join(codes.get(code, f"filter {code}") for code in filters) or "none",
                    "deflate + fletcher32" if dataset.digests else "fletcher32",
                ),
            ):
                if got != expected:
                    raise self.fail(
                        dataset.path, f"{property_name} {got}", f"{property_name} {expected}"
                    )
            self._check_chunks(opened, dataset)

    def _check_chunks(self, opened: h5py.h5d.DatasetID, dataset: DatasetSpec) -> None:
        expected = int(
            np.prod(
                [-(-side // step) for side, step in zip(dataset.shape, dataset.chunks, strict=True)]
            )
        )
        if (count := opened.get_num_chunks()) != expected:
            raise self.fail(dataset.path, f"{count:,} stored chunks", f"{expected:,}")
        size = int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
        largest = largest_stored(size) if dataset.digests else size + CHECKSUM_BYTES
        end = self.size
        places = array("Q")

        def check(info: h5py.h5d.StoreInfo) -> None:
            if (
                info.filter_mask
                or not CHECKSUM_BYTES < info.size <= largest
                or info.byte_offset + info.size > end
            ):
                raise self.fail(
                    dataset.path,
                    f"chunk {info.chunk_offset} of {info.size:,} bytes at {info.byte_offset:,}, "
                    f"filter mask {info.filter_mask}",
                    f"{CHECKSUM_BYTES} to {largest:,} bytes within the file, every filter applied",
                )
            places.extend((info.byte_offset, info.size))

        opened.chunk_iter(check)
        self._chunks.append((dataset.path, np.frombuffer(places, np.uint64).reshape(-1, 2)))

    def refuse_overlaps(self) -> None:
        """Refuse a file in which two chunks, of whichever datasets, share bytes: a small one could
        hold any amount.
        """
        begins, sizes = np.concatenate([places for _, places in self._chunks]).T
        order = np.argsort(begins)
        ends = (begins + sizes)[order]
        if (wrong := np.flatnonzero(ends[:-1] > begins[order][1:])).size:
            owners = np.cumsum([len(places) for _, places in self._chunks])
            first, second = (
                self._chunks[np.searchsorted(owners, chunk, "right")][0]
                for chunk in order[wrong[0] :][:2]
            )
            raise self.fail(
                first, f"a chunk shares bytes with one of {second}", "chunks apart from each other"
            )


def _path(thing: Any, child: str = "") -> str:
    """The path by which a group or dataset was opened, or its child's; of an attribute, its
    owner's.
    """
    path = h5py.h5i.get_name(thing).decode("utf-8", "replace")
    return f"{path.rstrip('/')}/{child}" if child else path


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
