"""Which ranges the K-th of N processes takes, and computing them while others compute theirs in the same folder."""

from __future__ import annotations

import re
from collections.abc import Callable

from recordings.errors import InputError
from recordings.lock import waiting_lock

from .compute import Work
from .files import RangeFiles


def share(text: str, ranges: int) -> range:
    """The ranges of the K-th of N processes, "K/N": consecutive ones, as many as the others' or one more.

    Parameters
    ----------
    text : such as "1/8"; the first is 1
    ranges : how many the run has

    Raises
    ------
    InputError : if the text is no such share
    """
    parts = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
        raise InputError(f"--range: got {text!r}, expected K/N, the K-th of N processes, such as 1/8")
    number, count = int(parts[1]), int(parts[2])
    return range((number - 1) * ranges // count, number * ranges // count)


def compute_shared(work: Work, numbers: range, advance: Callable[[int], None] = lambda samples: None) -> None:
    """Compute ranges one by one; each is locked meanwhile, so whoever comes second waits, and finds it finished."""
    for number in numbers:
        files = RangeFiles(work.out, work.plan, number)
        with waiting_lock(files.record):
            for _ in work.compute([number], advance):
                pass
