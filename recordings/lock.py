"""One run per output directory, one writer per file."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache, partial
from pathlib import Path

from spikesam.recordings.disk import reason, remove_leftovers
from spikesam.recordings.errors import Advice, InputError
from spikesam.recordings.files import open_file
from spikesam.recordings.text import printable

LOCK_NAME = ".lock"
BEAT = 5.0  # seconds between the signs of life of a process that holds a lease
TRIES, PAUSE = 10, 0.02  # who lets go of a shared lock holds it alone for a moment; seconds
LONGEST = 200  # bytes that are read of what a lock says
_HELD: set[tuple[Path, int]] = set()  # directories, with the threads of this process that hold them


class HeldError(Exception):
    """Another process holds a lease.

    Parameters
    ----------
    holder : "pid N on HOST"
    silent : seconds since its last sign of life
    """

    def __init__(self, holder: str, silent: float) -> None:
        super().__init__(holder, silent)
        self.holder, self.silent = holder, silent


def holds_files(directory: Path) -> bool:
    """Whether anything besides locks lies in an existing directory."""
    return any(not (path.name.startswith(".") and path.name.endswith(".lock")) for path in directory.iterdir())


@contextmanager
def out_lock(directory: Path, advice: Advice | None = None, *, shared: bool = False) -> Iterator[None]:
    """Hold `directory`, made if missing, for this process; the operating system lets go when the process ends.

    Afterwards the lock is gone, and so are the directories that were made and are still empty: a refused command leaves
    nothing. What a killed process left of a file that it wrote there is removed. A thread that holds a directory may
    hold it again.

    Parameters
    ----------
    advice : what to do about a directory that holds files already, which is then refused; None allows it
    shared : others may hold it, too, who say so

    Raises
    ------
    InputError : at once, if another process or thread holds it, it cannot be written, or it holds files
    """
    directory = Path(directory)
    held = (directory.absolute(), threading.get_ident())
    if held in _HELD:
        yield
        return
    with _locked(directory, LOCK_NAME, partial(_out_refusal, directory), shared):
        _HELD.add(held)
        try:
            remove_leftovers(directory)
            if advice is not None and holds_files(directory):
                raise InputError(f"{directory}: holds files already", advice)
            yield
        finally:
            _HELD.discard(held)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the name of a file that is being made, so that nobody works for long on a file that another makes.

    The lock, `.NAME.lock`, lies beside it; folders that are missing are made, and removed if nothing came to lie there.

    Raises
    ------
    InputError : at once, if another process or thread holds the name, or the folder cannot be written
    """
    with _locked(path.parent, f".{path.name}.lock", partial(_file_refusal, path)):
        yield


@contextmanager
def lease(path: Path, patience: float) -> Iterator[str]:
    """Hold the name of a file, in a folder that is there, against whoever is alive.

    A process that holds a lease gives signs of life. One that has given none for long is stopped, or its machine is
    away; its lease is then taken from it. It does not notice: what it writes when it wakes up must do no harm.

    Parameters
    ----------
    patience : seconds without a sign of life; some times :data:`BEAT`

    Yields
    ------
    from whom the lease was taken, "pid N on HOST"; "" if from nobody

    Raises
    ------
    HeldError : at once, if another process or thread holds the name
    InputError : if the folder is gone, or cannot be written
    """
    lock, given_up, beats = path.with_name(f".{path.name}.lock"), "", signs_of_life(os.getpid())
    try:
        try:
            handle = _acquired(lock)
        except BlockingIOError:
            if (held := _seen(lock)).silent < patience:
                raise held from None
            lock.unlink(missing_ok=True)
            handle, given_up = _acquired(lock), held.holder
    except BlockingIOError:  # another process was faster to take it
        raise _seen(lock) from None
    except FileNotFoundError:
        raise InputError(f"{path.parent}: is gone; the run was merged or removed meanwhile") from None
    except OSError as error:
        raise _file_refusal(path, error) from error
    try:
        with beats.of(handle):
            yield given_up
    finally:
        _release(lock, handle)


@contextmanager
def _locked(
    directory: Path, name: str, refusal: Callable[[Exception], InputError], shared: bool = False
) -> Iterator[None]:
    """Hold the file `name` in a directory, made if missing; `refusal` says why that cannot be."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handle = _acquired(directory / name, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, TRIES)
        except OSError as error:
            raise refusal(error) from error
        try:
            yield
        finally:
            _release(directory / name, handle)
    finally:
        for path in made:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()


def _acquired(path: Path, kind: int = fcntl.LOCK_EX, tries: int = 1) -> int:
    """Open and lock a file that says who holds it; BlockingIOError if another holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            if _is_there(path, handle):
                with suppress(OSError):  # on a full disk it says nothing
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return handle
        except BlockingIOError:
            if (tries := tries - 1) <= 0:
                os.close(handle)
                raise
            time.sleep(PAUSE)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _release(path: Path, handle: int) -> None:
    """Let go; the file is removed, unless others share it, or took it."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # While it is held: who opened this file meanwhile finds that it has no name any more, and makes another.
        if _is_there(path, handle):
            path.unlink()
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)  # a process that was forked meanwhile has it, too
    os.close(handle)


def _is_there(path: Path, handle: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


class _Beats:
    """The signs of life of all leases of a process, from one thread.

    It is started with the first of them: where memory has run out, Python can wait for a new thread forever.
    """

    def __init__(self) -> None:
        self._handles, self._at_them = set[int](), threading.Lock()
        threading.Thread(target=self._beat, daemon=True).start()

    @contextmanager
    def of(self, handle: int) -> Iterator[None]:
        """Give them for an open lock."""
        with self._at_them:
            self._handles.add(handle)
        try:
            yield
        finally:
            # Ctrl-C can leave this to the very end, where the other thread runs no more, and may hold this lock.
            with nullcontext() if sys.is_finalizing() else self._at_them:
                self._handles.discard(handle)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._at_them:  # a handle that was closed could be another file's
                for handle in self._handles:
                    with suppress(OSError):
                        os.utime(handle)


@lru_cache(maxsize=1)
def signs_of_life(process: int) -> _Beats:
    """Those of this process: one that was forked has none of the threads of the first one."""
    return _Beats()


def _seen(lock: Path) -> HeldError:
    """Who holds a lease, and for how long it has been silent by the clock of the disk, which all machines share."""
    with suppress(FileNotFoundError), lock.open("rb") as file, tempfile.TemporaryFile(dir=lock.parent) as now:
        silent = os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
        return HeldError(_says(file.read(LONGEST)), silent)
    return HeldError("a process that has just ended", 0.0)


def _says(content: bytes) -> str:
    return printable(content.decode(errors="replace")) or "another process"


def _out_refusal(directory: Path, error: Exception) -> InputError:
    if isinstance(error, BlockingIOError):
        holder = "another process"
        with suppress(OSError), open_file(directory / LOCK_NAME) as file:
            holder = _says(file.read(LONGEST))
        return InputError(
            f"{directory}: another run is writing here, expected one run per directory ({holder})", "wait"
        )
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return InputError(f"{directory}: cannot be written, it is or lies below a file; choose a folder")
    return InputError(f"{directory}: cannot be written ({error})", "other-out")


def _file_refusal(path: Path, error: Exception) -> InputError:
    if isinstance(error, BlockingIOError):
        text = "another run is writing it, expected one at a time; wait for it or choose another name"
        return InputError(f"{path}: {text}")
    return InputError(f"{path}: cannot be written ({reason(error)}); free space or choose another name")
