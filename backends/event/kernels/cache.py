"""Numba's cache on disk, in places alone where nobody else could put code.

Numba loads its files with pickle, which executes what they say. It takes the first folder that can
be written: that of NUMBA_CACHE_DIR, `__pycache__` beside the source, the user's cache folder. Here
a folder must also be private, and so must each file. They are written for this user alone, whatever
the umask, and end with their SHA-256: a loss of power can leave a file that is cut or zeroed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from numba import njit

from spikesam.backends.event.kernels.private_numba import caching, processor
from spikesam.common.files import is_private
from spikesam.common.warning import warn

DIGEST = 32  # bytes of a SHA-256
MOMENT, LONGEST = (
    5.0,
    300.0,
)  # seconds of compiling that nobody needs to be told of, and that others wait
COMPILING = "spikesam compiles kernels for this machine and keeps them: this takes some ten seconds"


def cached(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True, **options)`; without a cache, and with a warning, where no private
    folder is found.
    """

    def compile_cached(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        try:
            dispatcher._cache = cache = _PrivateCache(function)
        except RuntimeError:  # numba's word for "no folder"
            _warn()
        else:
            dispatcher.compile = cache.finishing(dispatcher.compile)
        return dispatcher

    return compile_cached


def cache_folder(dispatcher: Any) -> Path | None:
    """The folder that keeps the code of a function; None where no private folder is found."""
    cache = dispatcher._cache
    return Path(cache._cache_path) if isinstance(cache, _PrivateCache) else None


def is_cached(dispatcher: Any, kind: str) -> bool:
    """True if code for this processor is kept, of arguments that have numbers of that kind, such as
    "int8".
    """
    index = dispatcher._cache._cache_file._load_index()
    return any(
        made_for == processor() and kind in str(arguments) for arguments, made_for, _ in index
    )


@lru_cache(maxsize=1)
def _warn() -> None:
    warn(
        "no folder for compiled kernels that you alone can write, so they are compiled anew each "
        "time; "
        "set NUMBA_CACHE_DIR to such a folder",
    )


def _private(locator: type[Any]) -> type[Any]:
    """One of numba's ways to find a folder, which passes over those that are not private."""

    class Private(locator):
        def ensure_cache_path(self) -> None:
            # The path without links, which others may redirect, is what is checked and what is
            # used.
            place = Path(os.path.realpath(self.get_cache_path()))
            for folder in (*reversed(place.parents), place):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir(mode=0o755)
            if not is_private(place):
                raise PermissionError(f"{place}: others can write it")
            self._cache_path = str(place)
            super().ensure_cache_path()

    return Private


class _PrivateFiles(caching.IndexDataCacheFile):
    """The files of one function; one that is damaged, or that somebody else could have written,
    counts as missing.
    """

    def _load_index(self) -> Any:
        if not _intact(self._index_path):
            return {}
        try:
            return super()._load_index()
        except (ImportError, AttributeError):  # of a release whose modules had other names
            return {}

    def _load_data(self, name: str) -> Any:
        if not _intact(self._data_path(name)):
            raise FileNotFoundError(name)  # numba then compiles, and replaces the file
        return super()._load_data(name)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[IO[bytes]]:
        handle, temporary = tempfile.mkstemp(
            prefix=os.path.basename(filepath), dir=self._cache_path
        )
        try:
            with os.fdopen(handle, "wb") as file:
                content = io.BytesIO()
                yield content
                file.write(
                    content.getvalue() + _digest(content.getvalue())
                )  # pickle ends before the digest
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, filepath)
        except BaseException:
            os.unlink(temporary)
            raise


def _intact(path: str) -> bool:
    try:
        content = Path(path).read_bytes() if is_private(path) else b""
    except OSError:
        return False
    return content[-DIGEST:] == _digest(content[:-DIGEST])


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [  # noqa: RUF012  (as numba spells it)
        _private(caching.UserProvidedCacheLocator),
        _private(caching.InTreeCacheLocator),
        _private(caching.UserWideCacheLocator),
    ]


class _PrivateCache(caching.FunctionCache):
    """The cache of one function. Of processes that need it at the same time, one compiles, and the
    others wait.

    What takes more than a moment is said, once, wherever the process runs.
    """

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _PrivateFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )
        self._lock_path = os.path.join(self._cache_path, f".{self._impl.filename_base}.lock")
        self._compiles_in = (
            0  # the process that has found nothing and compiles; a fork of it has a lock of its own
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        compiled_code = super().load_overload(sig, target_context)
        if compiled_code is None and self._compiles_in != os.getpid():
            self._compiles_in = os.getpid()
            self._notice = threading.Timer(MOMENT, _say, [COMPILING])
            self._lock = FileLock(self._lock_path, mode=0o600, thread_local=False)
            if not self._locked(MOMENT):
                _say("spikesam waits for another process, which compiles kernels for this machine")
                self._locked(LONGEST)
            compiled_code = super().load_overload(sig, target_context)
            if compiled_code is None:
                self._notice.daemon = True
                self._notice.start()
        return compiled_code

    def finishing(self, compile_: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The function that compiles, which lets others go on, whether it succeeds or fails."""

        def finished(sig: Any) -> Any:
            try:
                return compile_(sig)
            finally:
                if self._compiles_in == os.getpid():
                    self._notice.cancel()
                    self._lock.release()
                    self._compiles_in = 0

        return finished

    def _locked(self, seconds: float) -> bool:
        """Wait for whoever compiles; False if that took longer. Where nothing can be locked, each
        compiles.
        """
        try:
            self._lock.acquire(seconds)
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            pass
        return True


@lru_cache
def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
