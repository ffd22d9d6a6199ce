"""Compiled libraries that write what they stumble over to standard error by themselves: a refusal is one line."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
_one_at_a_time = threading.Lock()  # two that restore what the other one set would leave the process silent


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Nothing that the block writes to standard error, from whatever language, is seen."""
    with _one_at_a_time:
        try:
            kept = os.dup(STDERR)
        except OSError:  # closed: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, STDERR)
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            os.close(nowhere)
