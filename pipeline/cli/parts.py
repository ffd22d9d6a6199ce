"""The part of a run that one of several processes computes, as people write it: "3/64"."""

from __future__ import annotations

import re

from recordings.errors import InputError


def part_of(text: str, ranges: int) -> range:
    """The ranges of the K-th of N processes, "K/N": consecutive ones, as many as the others' or one more.

    Parameters
    ----------
    text : such as "1/8"; the first is 1
    ranges : how many the run has

    Raises
    ------
    InputError : if the text is no such part
    """
    parts = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
        raise InputError(f"--range: got {text!r}, expected K/N, the K-th of N processes, such as 1/8")
    number, count = int(parts[1]), int(parts[2])
    return range((number - 1) * ranges // count, number * ranges // count)
