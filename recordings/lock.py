"""One run per output directory, one writer per file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from .disk import reason, remove_leftovers
from .errors import Advice, InputError

LOCK_NAME = ".lock"
_HELD: set[tuple[Path, int]] = set()  # directories, with the threads of this process that hold them


def holds_files(directory: Path) -> bool:
    """Whether anything besides locks lies in an existing directory."""
    return any(not (path.name.startswith(".") and path.name.endswith(".lock")) for path in directory.iterdir())


@contextmanager
def out_lock(directory: Path, advice: Advice | None = None) -> Iterator[None]:
    """Hold `directory`, made if missing, for this process; the operating system lets go when the process ends.

    Afterwards the lock is gone, and so are the directories that were made and are still empty: a refused command leaves
    nothing. What a killed process left of a file that it wrote there is removed. A thread that holds a directory may
    hold it again.

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
    with _locked(directory, LOCK_NAME, partial(_out_refusal, directory)):
        _HELD.add(held)
        try:
            remove_leftovers(directory)
            if advice is not None and holds_files(directory):
                raise InputError(f"{directory}: holds files already", advice)
            yield
        finally:
            _HELD.discard(held)


@contextmanager
def file_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the name of a file that is being made, so that nobody works for long on a file that another makes.

    The lock, `.NAME.lock`, lies beside it; folders that are missing are made, and removed if nothing came to lie there.

    Raises
    ------
    InputError : if the folder cannot be written; at once, unless `wait`, if another process or thread holds the name
    """
    with _locked(path.parent, f".{path.name}.lock", partial(_file_refusal, path), timeout=-1 if wait else 0):
        yield


@contextmanager
def _locked(
    directory: Path, name: str, refusal: Callable[[Exception], InputError], timeout: float = 0
) -> Iterator[None]:
    """Hold the file `name` in a directory, made if missing; `refusal` says why that cannot be."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    lock = FileLock(directory / name, timeout=timeout)
    try:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (Timeout, OSError, NotImplementedError) as error:
            raise refusal(error) from error
        try:
            yield
        finally:
            # While it is held: who opened this file meanwhile finds that it has no name any more, and makes another.
            (directory / name).unlink(missing_ok=True)
            lock.release()
    finally:
        for path in made:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()


def _out_refusal(directory: Path, error: Exception) -> InputError:
    if isinstance(error, Timeout):
        return InputError(f"{directory}: another run is writing here, expected one run per directory", "wait")
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return InputError(f"{directory}: cannot be written, it is or lies below a file; choose a folder")
    return InputError(f"{directory}: cannot be written ({error})", "other-out")


def _file_refusal(path: Path, error: Exception) -> InputError:
    if isinstance(error, Timeout):
        text = "another run is writing it, expected one at a time; wait for it or choose another name"
        return InputError(f"{path}: {text}")
    return InputError(f"{path}: cannot be written ({reason(error)}); free space or choose another name")
