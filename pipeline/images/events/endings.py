"""Whether a file of events ends where an event does; faery passes over a part of one without a word.

A file that was cut between two events reads as a shorter recording: no format but AEDAT 4 says how long it is, and that
only where the camera had the time to write it at the end.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.errors import InputError
from spikesam.recordings.files import open_file

HEADER_LINE = 1 << 12  # bytes of a line that begins with %, at most
DAT_BYTES, EVT2_BYTES, EVT3_BYTES = 8, 4, 2  # of a word
EVT2 = re.compile(rb"^% (Version |evt |format EVT)2(\.0)?\b(?!\.)", re.IGNORECASE | re.MULTILINE)
ES_BYTES, ES_PAUSE = 5, 127  # of an event; µs of a byte that stands by itself, where events are of type 1
ES_HEADER, ES_TYPE = 20, 15  # bytes in front of the events, and which of them says their type
ES_PAUSES = {1: b"\xfe\xff", 2: b"\xfc\xfd\xfe\xff"}  # type -> bytes that stand by themselves
PIECE = 1 << 10  # bytes
TRUNCATED = "truncated, its last event is not whole"


def check_words(path: Path, kind: str) -> None:
    """Refuse a .raw or .dat file of the format `kind` that ends within a word, or has no header.

    faery would take all bytes for events.
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
    """Refuse an .es or .aedat4 file that ends within an event or packet; `t` are the times that faery found, in µs."""
    with open_file(path) as file:
        whole = _event_stream(file, path, t) if path.suffix.lower() == ".es" else _aedat(file, path)
    if not whole:
        raise InputError(f"{path}: {TRUNCATED}")


def _event_stream(file: IO[bytes], path: Path, t: NDArray[Any]) -> bool:
    kind = file.read(ES_HEADER)[ES_TYPE]
    pauses = ES_PAUSES[kind]
    if kind == 1:  # where the last event ends can be worked out, unless pauses of no length lie in between
        end = ES_HEADER + ES_BYTES * len(t) + int((np.diff(t.astype(np.int64), prepend=0) // ES_PAUSE).sum())
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
    """Without a table at the end, whose place faery knows to be the end of the packets, they end with the file."""
    (length,) = struct.unpack("<14xI", file.read(18))
    if _table(file.read(length)) >= 0:
        return True
    while packet := file.read(8):
        if len(packet) < 8:
            return False
        file.seek(struct.unpack("<4xI", packet)[0], 1)
    return file.tell() == path.stat().st_size


def _table(header: bytes) -> int:
    """Where the table of packets begins, -1 if there is none: the second field of a table of FlatBuffers."""
    (root,) = struct.unpack_from("<I", header)
    fields = root - struct.unpack_from("<i", header, root)[0]
    (size,) = struct.unpack_from("<H", header, fields)
    place = struct.unpack_from("<H", header, fields + 6)[0] if size > 6 else 0
    return int(struct.unpack_from("<q", header, root + place)[0]) if place else -1
