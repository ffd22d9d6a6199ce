"""One run per output directory, one writer per file."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import IO

from filelock import unlock_descriptor

from spikesam.recordings.disk import NO_LINKS, NO_WAITING, WINDOWS, reason, remove_leftovers, try_lock
from spikesam.recordings.errors import Advice, InputError
from spikesam.recordings.files import open_file
from spikesam.recordings.text import printable

LOCK_NAME = ".lock"
SHARED = ".*.shared.lock"  # one for each process that shares a directory
BEAT = 5.0  # seconds between the signs of life of a process that holds a lease
TRIES, PAUSE = 10, 0.02  # who comes to share a directory holds it alone for a moment; seconds
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
    hold it again; others may, too, who say `shared`. An InputError at once if another process or thread holds it, it
    cannot be written, or it holds files and `advice` says what to do about that.
    """
    directory = Path(directory)
    held = (directory.absolute(), threading.get_ident())
    if held in _HELD:
        yield
        return
    with _locked(directory, _shared if shared else _alone, partial(_out_refusal, directory)):
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
    An InputError at once if another process or thread holds the name, or the folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    with _locked(path.parent, lambda _: (lock, _acquired(lock, TRIES)), partial(_file_refusal, path)):
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
    directory: Path, acquire: Callable[[Path], tuple[Path, int]], refusal: Callable[[Exception], InputError]
) -> Iterator[None]:
    """Hold what `acquire` gives, a file and its handle, in a directory, made if missing; `refusal` says why not."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock, handle = acquire(directory)
        except OSError as error:
            raise refusal(error) from error
        try:
            yield
        finally:
            _release(lock, handle)
    finally:
        for path in made:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()


def _alone(directory: Path) -> tuple[Path, int]:
    """Hold a directory that nobody shares."""
    lock = directory / LOCK_NAME
    handle = _acquired(lock, TRIES)
    try:
        for other in directory.glob(SHARED):
            _release(other, _acquired(other))  # of a process that was killed, or BlockingIOError
    except BaseException:
        _release(lock, handle)
        raise
    return lock, handle


def _shared(directory: Path) -> tuple[Path, int]:
    """Hold a directory beside others who share it: hold it alone for a moment, and make a lock of one's own."""
    lock, own = directory / LOCK_NAME, directory / SHARED.replace("*", secrets.token_hex(8))
    handle = _acquired(lock, 10 * TRIES)  # others may come at the same time
    try:
        return own, _acquired(own)
    finally:
        _release(lock, handle)


def _acquired(path: Path, tries: int = 1) -> int:
    """Open and lock a file that says who holds it; BlockingIOError, which names it, if another process does."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_WAITING | NO_LINKS, 0o666)
        try:
            if try_lock(handle):
                if _is_there(path, handle):
                    with suppress(OSError):  # on a full disk it says nothing
                        os.ftruncate(handle, 0)
                        # The first byte says nothing: on Windows nobody else can read it while it is locked.
                        os.write(handle, f" pid {os.getpid()} on {socket.gethostname()}".encode())
                    return handle
            elif (tries := tries - 1) <= 0:
                raise BlockingIOError(errno.EAGAIN, "held by another process", str(path))
            else:
                time.sleep(PAUSE)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _release(path: Path, handle: int) -> None:
    """Let go; the file is removed, unless another process took it."""
    with suppress(OSError):
        # While it is held: who opened this file meanwhile finds that it has no name any more, and makes another.
        if _is_there(path, handle):
            path.unlink()
    with suppress(OSError):
        unlock_descriptor(handle)  # a process that was forked meanwhile has it, too
    os.close(handle)
    if WINDOWS:
        with suppress(OSError):
            path.unlink()  # Windows removes no open file: neither this one before, nor one that another has taken now


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
                    with suppress(OSError):  # writing the first byte again sets the time on any system
                        os.lseek(handle, 0, os.SEEK_SET)
                        os.write(handle, b" ")


@lru_cache(maxsize=1)
def signs_of_life(process: int) -> _Beats:
    """Those of this process: one that was forked has none of the threads of the first one."""
    return _Beats()


def _seen(lock: Path) -> HeldError:
    """Who holds a lease, and for how long it has been silent by the clock of the disk, which all machines share."""
    with suppress(FileNotFoundError), lock.open("rb") as file, tempfile.TemporaryFile(dir=lock.parent) as now:
        silent = os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
        return HeldError(_says(file), silent)
    return HeldError("a process that has just ended", 0.0)


def _says(file: IO[bytes]) -> str:
    file.seek(1)
    return printable(file.read(LONGEST).decode(errors="replace")) or "another process"


def _out_refusal(directory: Path, error: Exception) -> InputError:
    if isinstance(error, BlockingIOError):
        holder = "another process"
        with suppress(OSError), open_file(Path(error.filename)) as file:
            holder = _says(file)
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
