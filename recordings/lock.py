"""One run per output directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import InputError

LOCK_NAME = ".lock"


def holds_files(directory: Path) -> bool:
    """Whether anything besides the lock lies in an existing directory."""
    return any(path.name != LOCK_NAME for path in directory.iterdir())


@contextmanager
def out_lock(directory: Path) -> Iterator[None]:
    """Hold `directory`, made if missing, for this process; the operating system lets go when the process ends.

    Raises
    ------
    InputError : at once, if another process holds it or it cannot be written
    """
    path = Path(directory) / LOCK_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{directory}: another run is writing here, expected one run per directory; "
            "wait for it or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{directory}: cannot be written ({error}); choose another --out") from error
    try:
        yield
    finally:
        lock.release()
