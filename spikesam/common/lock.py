"""One run per output directory, one writer per file."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

from filelock import unlock_descriptor

from spikesam.common.disk import (
    NO_LINKS,
    NO_WAITING,
    WINDOWS,
    reason,
    remove_leftovers,
    try_lock,
)
from spikesam.common.errors import OTHER_OUT, InputError
from spikesam.common.files import open_file
from spikesam.common.text import printable

LOCK_NAME = ".lock"
SHARED = ".*.shared.lock"  # one for each process that shares a directory
TRIES, PAUSE = 10, 0.02  # who comes to share a directory holds it alone for a moment; seconds
LONGEST = 200  # bytes that are read of what a lock says
_HELD: set[tuple[Path, int]] = set()  # directories, with the threads of this process that hold them
_TURNS: WeakValueDictionary[str, threading.RLock] = WeakValueDictionary()  # of files
_ASKING_FOR_A_TURN = threading.Lock()


def holds_files(directory: Path) -> bool:
    """True if anything besides locks lies in an existing directory."""
    return any(
        not (path.name.startswith(".") and path.name.endswith(".lock"))
        for path in directory.iterdir()
    )


@contextmanager
def out_lock(directory: Path, advice: str = "", *, shared: bool = False) -> Iterator[None]:
    """Hold `directory`, made if missing, for this process; the operating system lets go when the
    process ends.

    Afterwards the lock is gone, and so are the directories that were made and are still empty: a
    refused command leaves nothing. What a killed process left of a file that it wrote there is
    removed. A thread that holds a directory may hold it again; others may, too, who say `shared`.
    An InputError at once if another process or thread holds it, it cannot be written, or it holds
    files and `advice` says what to do about that.
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
            if advice and holds_files(directory):
                raise InputError(f"{directory}: holds files already", advice)
            yield
        finally:
            _HELD.discard(held)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the name of a file that is being made, so that nobody works for long on a file that
    another makes.

    The lock, `.NAME.lock`, lies beside it; folders that are missing are made, and removed if
    nothing came to lie there. An InputError at once if another process or thread holds the name, or
    the folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    with _locked(
        path.parent, lambda _: (lock, _acquired(lock, TRIES)), partial(_file_refusal, path)
    ):
        yield


@contextmanager
def taking_turns(path: Path) -> Iterator[None]:
    """Have threads of this process that make one file wait for each other, which take seconds.

    Other processes are refused, see :func:`file_lock`: how long they take is not known.
    """
    with _ASKING_FOR_A_TURN:
        turn = _TURNS.setdefault(os.path.realpath(path), threading.RLock())
    with turn:
        yield


@contextmanager
def _locked(
    directory: Path,
    acquire: Callable[[Path], tuple[Path, int]],
    refusal: Callable[[Exception], InputError],
) -> Iterator[None]:
    """Hold what `acquire` gives, a file and its handle, in a directory, made if missing; `refusal`
    says why not.
    """
    new_folders = [path for path in (directory, *directory.parents) if not os.path.exists(path)]
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
        for path in new_folders:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()


def _alone(directory: Path) -> tuple[Path, int]:
    """Hold a directory that nobody shares."""
    lock = directory / LOCK_NAME
    handle = _acquired(lock, TRIES)
    try:
        for shared_lock in directory.glob(SHARED):
            _release(
                shared_lock, _acquired(shared_lock)
            )  # of a process that was killed, or BlockingIOError
    except BaseException:
        _release(lock, handle)
        raise
    return lock, handle


def _shared(directory: Path) -> tuple[Path, int]:
    """Hold a directory beside others who share it: hold it alone for a moment, make a lock of one's
    own, and remove those of processes that were killed.
    """
    lock, own_lock = directory / LOCK_NAME, directory / SHARED.replace("*", secrets.token_hex(8))
    handle = _acquired(lock, 10 * TRIES)  # others may come at the same time
    try:
        for shared_lock in directory.glob(SHARED):
            with suppress(OSError):  # its process works here, or it is another user's
                _release(shared_lock, _acquired(shared_lock))
        return own_lock, _acquired(own_lock)
    finally:
        _release(lock, handle)


def _acquired(path: Path, tries: int = 1) -> int:
    """Open and lock a file that says who holds it; BlockingIOError, which names it, if another
    process does.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_WAITING | NO_LINKS, 0o666)
        try:
            if try_lock(handle):
                if _is_there(path, handle):
                    with suppress(OSError):  # on a full disk it says nothing
                        os.ftruncate(handle, 0)
                        # The first byte says nothing: on Windows nobody else can read it while it
                        # is locked.
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
        # While it is held: who opened this file meanwhile finds that it has no name any more, and
        # makes another.
        if _is_there(path, handle):
            path.unlink()
    with suppress(OSError):
        unlock_descriptor(handle)  # a process that was forked meanwhile has it, too
    os.close(handle)
    if WINDOWS:
        with suppress(OSError):
            # Windows removes no open file: neither this one before, nor one that another has taken
            # now
            path.unlink()


def _is_there(path: Path, handle: int) -> bool:
    """True if an open file still has its name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _says(file: IO[bytes]) -> str:
    file.seek(1)
    return printable(file.read(LONGEST).decode(errors="replace")) or "another process"


def _out_refusal(directory: Path, error: Exception) -> InputError:
    if isinstance(error, BlockingIOError):
        holder = "another process"
        with suppress(OSError), open_file(Path(error.filename)) as file:
            holder = _says(file)
        return InputError(
            f"{directory}: another run is writing here, expected one run per directory ({holder})",
            "; wait for it or choose another {out}",
        )
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return InputError(
            f"{directory}: cannot be written, it is or lies below a file; choose a folder"
        )
    return InputError(f"{directory}: cannot be written ({error})", OTHER_OUT)


def _file_refusal(path: Path, error: Exception) -> InputError:
    if isinstance(error, BlockingIOError):
        text = (
            "another run is writing it, expected one at a time; wait for it or choose another name"
        )
        return InputError(f"{path}: {text}")
    return InputError(
        f"{path}: cannot be written ({reason(error)}); free space or choose another name"
    )
