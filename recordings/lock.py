"""One run per output directory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import InputError

LOCK_NAME = ".lock"
_HELD: set[tuple[Path, int]] = set()  # directories, with the threads of this process that hold them


def holds_files(directory: Path) -> bool:
    """Whether anything besides the lock lies in an existing directory."""
    return any(path.name != LOCK_NAME for path in directory.iterdir())


@contextmanager
def out_lock(directory: Path, advice: str | None = None) -> Iterator[None]:
    """Hold `directory`, made if missing, for this process; the operating system lets go when the process ends.

    Afterwards the lock is gone, and so are the directories that were made and are still empty: a refused command leaves
    nothing.

    A thread that holds a directory may hold it again.

    Parameters
    ----------
    advice : what to do about a directory that holds files already, which is then refused; None allows it

    Raises
    ------
    InputError : at once, if another process or thread holds it, it cannot be written, or it holds files
    """
    directory = Path(directory)
    held = (directory.absolute(), threading.get_ident())
    if held in _HELD:
        yield
        return
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    lock = FileLock(directory / LOCK_NAME, timeout=0)
    try:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{directory}: another run is writing here, expected one run per directory; "
                "wait for it or choose another --out"
            ) from None
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{directory}: cannot be written, it is or lies below a file; choose a folder") from None
        except (OSError, NotImplementedError) as error:
            raise InputError(f"{directory}: cannot be written ({error}); choose another --out") from error
        _HELD.add(held)
        try:
            if advice is not None and holds_files(directory):
                raise InputError(f"{directory}: holds files already; {advice}")
            yield
        finally:
            _HELD.discard(held)
            # While it is held: who opened this file meanwhile finds that it has no name any more, and makes another.
            (directory / LOCK_NAME).unlink(missing_ok=True)
            lock.release()
    finally:
        for path in made:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()
