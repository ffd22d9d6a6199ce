"""Read a file of events: N-MNIST, or what faery decodes, an extra of this package.

faery passes over a part of an event without a word. So it is looked whether a file ends where an
event does. A file that was cut between two events reads as a shorter recording: no format but AEDAT
4 says how long it is, and that only where the camera had the time to write it at the end.
"""

from __future__ import annotations

import re
import struct
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.common.files import open_file, read_file, similar_file
from spikesam.common.text import printable
from spikesam.pipeline.images._quiet_libraries import silent_libraries
from spikesam.pipeline.images.events.events import MOST, Events, check_count
from spikesam.recordings.inspection import inspect

FORMATS = {
    ".aedat4": "AEDAT 4",
    ".raw": "Prophesee EVT",
    ".dat": "Prophesee DAT",
    ".es": "Event Stream",
}
PANIC = "PanicException"  # the type of what Rust raises, which cannot be imported
HEADER_LINE = 1 << 12  # bytes of a line that begins with %, at most
DAT_BYTES, EVT2_BYTES, EVT3_BYTES = 8, 4, 2  # of a word
EVT2 = re.compile(rb"^% (Version |evt |format EVT)2(\.0)?\b(?!\.)", re.IGNORECASE | re.MULTILINE)
ES_BYTES, ES_PAUSE = (
    5,
    127,
)  # of an event; µs of a byte that stands by itself, where events are of type 1
ES_HEADER, ES_TYPE = 20, 15  # bytes in front of the events, and which of them says their type
ES_PAUSES = {1: b"\xfe\xff", 2: b"\xfc\xfd\xfe\xff"}  # type -> bytes that stand by themselves
PIECE = 1 << 10  # bytes
TRUNCATED = "truncated, its last event is not whole"
NMNIST, NMNIST_SENSOR = ".bin", (34, 34)
EVENT_BYTES = 5  # of N-MNIST
OVERFLOW_Y, OVERFLOW_US = 240, 1 << 13  # such an event is none: times after it are later by so much
SUFFIXES = frozenset({NMNIST, *FORMATS})


@checked_arguments
def read_events(path: str | PathLike[str], sensor: tuple[int, int] | None = None) -> Events:
    """The events of a recording: N-MNIST (.bin), AEDAT 4 (.aedat4), Prophesee EVT (.raw) or DAT
    (.dat), or .es.

    Times count in µs from the start of the recording: in N-MNIST from the file's own zero,
    elsewhere from the first event. faery reads all formats but N-MNIST: `pip install
    'spikesam[events]'`. A file does not say how long it is, except .aedat4 where it ends with a
    table: one that was cut between two events reads as a shorter recording.

    Parameters
    ----------
    path : the file, whose extension says its format
    sensor : (H, W) in pixels, for .bin alone, which does not say it; 34×34, N-MNIST's, if not given

    Raises
    ------
    InputError : if the file is missing, empty, truncated, of no such format, holds no event, an
        event outside of the sensor, or times that go back
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: got the extension {suffix!r}, expected events in "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    if sensor is not None and suffix != NMNIST:
        raise InputError(f"{path}: says its sensor's size itself; leave sensor out")
    try:
        if not path.stat().st_size:
            raise InputError(f"{path}: the file is empty (0 bytes), expected events")
        if suffix == NMNIST:
            return _parse_nmnist(read_file(path, MOST * EVENT_BYTES), sensor or NMNIST_SENSOR)
        return _decoded(path)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; give a recording of events{similar_file(path)}"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a recording of events"
        ) from None
    except InputError as error:
        raise (
            error if str(error).startswith(str(path)) else InputError(f"{path}: {error}")
        ) from None


def _parse_nmnist(data: bytes, sensor: tuple[int, int]) -> Events:
    """N-MNIST (Orchard et al. 2015), five bytes an event: x, y, a bit of polarity, 23 of time in
    µs, big-endian.
    """
    if len(data) % EVENT_BYTES:
        raise InputError(
            f"{len(data):,} bytes are no whole number of events of {EVENT_BYTES} bytes; "
            "the file is truncated, or not in the format of N-MNIST"
        )
    check_count(len(data) // EVENT_BYTES)
    columns: NDArray[np.int64] = (
        np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).T.astype(np.int64)
    )
    x, y, high, middle, low = columns
    overflow = y == OVERFLOW_Y
    t = ((high & 127) << 16) + (middle << 8) + low + OVERFLOW_US * np.cumsum(overflow)
    is_event = ~overflow
    return Events(t[is_event], x[is_event], y[is_event], high[is_event] >= 128, sensor)


def _decoded(path: Path) -> Events:
    """The events of a file, in a process of its own first: damage can end faery, which is Rust, or
    take all memory.
    """
    if find_spec("faery") is None:
        raise InputError(
            f"{path}: {FORMATS[path.suffix.lower()]} is read by the package faery, which is not "
            "installed; pip install 'spikesam[events]'"
        )
    inspect(path, f"{__name__}:{check_event_file.__name__}", str(path))
    events, sensor = decode_events(path)
    t = events["t"].astype(np.int64)
    return Events(t - t[:1], events["x"], events["y"], events["on"], sensor)


def check_event_file(path: Path) -> None:
    """Read a file for the errors that it may raise."""
    suffix = path.suffix.lower()
    if suffix in (".raw", ".dat"):
        check_words(path, FORMATS[suffix])
    events, _ = decode_events(path)
    if suffix in (".es", ".aedat4"):
        check_end(path, events["t"])


def decode_events(path: Path) -> tuple[NDArray[Any], tuple[int, int]]:
    """The events of a file as faery has them, and (H, W) of its sensor."""
    import faery

    try:
        packets, count = [], 0
        with silent_libraries():
            stream = faery.events_stream_from_file(path)
            width, height = stream.dimensions()
            for packet in stream:
                check_count(count := count + len(packet))
                packets.append(packet)
        if not packets:
            raise InputError(f"{path}: events: got none, expected at least one event")
        return np.concatenate(packets), (height, width)
    except (InputError, MemoryError):
        raise
    except BaseException as error:  # faery raises whatever a broken file makes it stumble over
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        format_name = FORMATS[path.suffix.lower()]
        raise InputError(
            f"{path}: not in the format {format_name}, or truncated ({printable(error, 120)})"
        ) from None


def check_words(path: Path, kind: str) -> None:
    """Refuse a .raw or .dat file that ends within a word or has no header: faery would take all
    bytes for events.
    """
    header = b""
    with open_file(path) as file:
        while (begin := file.read(2)) == b"% ":
            header += begin + file.readline(HEADER_LINE)
    if not header:
        raise InputError(f"{path}: not in the format {kind}, which begins with a header (%)")
    size = path.stat().st_size - len(header)
    if path.suffix.lower() == ".dat":
        cut = (size - 2) % DAT_BYTES  # behind two bytes that say what events are
    else:
        cut = size % (EVT2_BYTES if EVT2.search(header) else EVT3_BYTES)
    if cut:
        raise InputError(f"{path}: {TRUNCATED}")


def check_end(path: Path, t: NDArray[Any]) -> None:
    """Refuse an .es or .aedat4 file that ends within an event or packet; `t` are the times that
    faery found, in µs.
    """
    with open_file(path) as file:
        complete = (
            _event_stream(file, path, t) if path.suffix.lower() == ".es" else _aedat(file, path)
        )
    if not complete:
        raise InputError(f"{path}: {TRUNCATED}")


def _event_stream(file: IO[bytes], path: Path, t: NDArray[Any]) -> bool:
    kind = file.read(ES_HEADER)[ES_TYPE]
    pauses = ES_PAUSES[kind]
    if (
        kind == 1
    ):  # where the last event ends can be worked out, unless pauses of no length lie in between
        end = (
            ES_HEADER
            + ES_BYTES * len(t)
            + int((np.diff(t.astype(np.int64), prepend=0) // ES_PAUSE).sum())
        )
        file.seek(end)
        if not file.read().strip(pauses):
            return end <= path.stat().st_size
        file.seek(ES_HEADER)
    place = 0  # of what comes next, in a piece
    while piece := file.read(PIECE):
        while place < len(piece):
            if piece[place] < pauses[0]:
                place += ES_BYTES
            else:
                place = len(piece) - len(piece[place:].lstrip(pauses))
        place -= len(piece)
    return place == 0


def _aedat(file: IO[bytes], path: Path) -> bool:
    """Without a table at the end, whose place faery knows to be the end of the packets, they end
    with the file.
    """
    (length,) = struct.unpack("<14xI", file.read(18))
    if _table(file.read(length)) >= 0:
        return True
    while packet := file.read(8):
        if len(packet) < 8:
            return False
        file.seek(struct.unpack("<4xI", packet)[0], 1)
    return file.tell() == path.stat().st_size


def _table(header: bytes) -> int:
    """The position at which the table of packets begins, -1 if there is none: the second field of a
    table of FlatBuffers.
    """
    (root,) = struct.unpack_from("<I", header)
    fields = root - struct.unpack_from("<i", header, root)[0]
    (size,) = struct.unpack_from("<H", header, fields)
    place = struct.unpack_from("<H", header, fields + 6)[0] if size > 6 else 0
    return int(struct.unpack_from("<q", header, root + place)[0]) if place else -1
