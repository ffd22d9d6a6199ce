"""Read a file of events, whatever its format."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.images.events.events import MOST, Events, check_count
from spikesam.pipeline.images.events.faery_files import FORMATS, read_with_faery
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.errors import InputError
from spikesam.recordings.files import read_file, similar_file

NMNIST, NMNIST_SENSOR = ".bin", (34, 34)
EVENT_BYTES = 5  # of N-MNIST
OVERFLOW_Y, OVERFLOW_US = 240, 1 << 13  # such an event is none: times after it are later by so much
SUFFIXES = frozenset({NMNIST, *FORMATS})


@checked_arguments
def read_events(path: str | PathLike[str], sensor: tuple[int, int] | None = None) -> Events:
    """The events of a recording: N-MNIST (.bin), AEDAT 4 (.aedat4), Prophesee EVT (.raw) or DAT (.dat), or .es.

    Times count in µs from the start of the recording: in N-MNIST from the file's own zero, elsewhere from the first
    event. faery reads all formats but N-MNIST: `pip install 'spikesam[events]'`. A file does not say how long it is,
    except .aedat4 where it ends with a table: one that was cut between two events reads as a shorter recording.

    Parameters
    ----------
    sensor : (H, W) in pixels, for .bin alone, which does not say it; 34×34, N-MNIST's, if not given

    Raises
    ------
    InputError : if the file is missing, empty, truncated, of no such format, holds no event, an event outside of the
        sensor, or times that go back
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: got the extension {suffix!r}, expected events in {', '.join(sorted(SUFFIXES))}")
    if sensor is not None and suffix != NMNIST:
        raise InputError(f"{path}: says its sensor's size itself; leave sensor out")
    try:
        if not path.stat().st_size:
            raise InputError(f"{path}: the file is empty (0 bytes), expected events")
        if suffix == NMNIST:
            return _parse_nmnist(read_file(path, MOST * EVENT_BYTES), sensor or NMNIST_SENSOR)
        return read_with_faery(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a recording of events{similar_file(path)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a recording of events") from None
    except InputError as error:
        raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from None


def _parse_nmnist(data: bytes, sensor: tuple[int, int]) -> Events:
    """N-MNIST and N-Caltech101: five bytes an event, x, y, a bit of polarity and 23 bits of time in µs, highest first.

    References
    ----------
    Orchard et al. 2015, Converting static image datasets to spiking neuromorphic datasets using saccades.
    """
    if len(data) % EVENT_BYTES:
        raise InputError(
            f"{len(data):,} bytes are no whole number of events of {EVENT_BYTES} bytes; "
            "the file is truncated, or not in the format of N-MNIST"
        )
    check_count(len(data) // EVENT_BYTES)
    columns: NDArray[np.int64] = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).T.astype(np.int64)
    x, y, high, middle, low = columns
    overflow = y == OVERFLOW_Y
    t = ((high & 127) << 16) + (middle << 8) + low + OVERFLOW_US * np.cumsum(overflow)
    kept = ~overflow
    return Events(t[kept], x[kept], y[kept], high[kept] >= 128, sensor)
