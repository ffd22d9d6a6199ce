"""Libraries that write what they stumble over to standard error by themselves: a refusal is one
line.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

STDERR = 2
_one_at_a_time = (
    threading.Lock()
)  # two that restore what the other one set would leave the process silent
_counting = threading.Lock()
_ignoring = ExitStack()  # holds the filters of before, while any thread is in `silent_warnings`
_threads = 0  # that are in there


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Nothing that the block writes to standard error, from whatever language, is seen."""
    with _one_at_a_time:
        try:
            original = os.dup(STDERR)
        except OSError:  # closed: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, STDERR)
            yield
        finally:
            os.dup2(original, STDERR)
            os.close(original)
            os.close(nowhere)


@contextmanager
def silent_warnings() -> Iterator[None]:
    """Python's warnings are not shown while the block runs, in however many threads at once."""
    global _threads
    with _counting:
        if not _threads:
            _ignoring.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _threads += 1
    try:
        yield
    finally:
        with _counting:
            _threads -= 1
            if not _threads:
                _ignoring.close()
