"""The steps of which a file keeps maps, beside the sums that it always holds."""

from __future__ import annotations

import re

from spikesam.recordings.errors import InputError

PICTURED = 4  # samples of which a command draws pictures unless it is told otherwise
EXPECTED = '"pictured", "all", "none", or first:last:every, such as 0:100 or ::10'


def kept_steps(asked: str, timesteps: int, n_samples: int, pictured: int = PICTURED) -> tuple[tuple[int, ...], int]:
    """The steps to keep, ascending, and of how many first samples; () and 0 where nothing is kept.

    `asked` is "pictured" for all steps of the first `pictured` samples, "all", "none", or for all samples
    "first:last:every" as in Python, each part optional. An InputError if it means no step.
    """
    everything = tuple(range(timesteps))
    if asked == "pictured":
        samples = min(pictured, n_samples)
        return (everything, samples) if samples else ((), 0)
    if asked == "none":
        return (), 0
    if asked == "all":
        return everything, n_samples
    parts = re.fullmatch(r"(\d{0,9}):(\d{0,9})(?::(\d{0,9}))?", asked.strip(), re.ASCII)
    if not parts or (parts[3] and not int(parts[3])):
        raise InputError(f"steps: got {asked!r}, expected {EXPECTED}")
    first, last, every = (int(part) if part else None for part in parts.groups())
    steps = everything[first:last:every]
    if not steps:
        raise InputError(f"steps: {asked!r} means none of the {timesteps} steps, 0 to {timesteps - 1}")
    return steps, n_samples
