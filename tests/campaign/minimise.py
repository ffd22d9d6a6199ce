"""Make a damaged file that fails smaller in its damage: delta debugging over the bytes that differ from the original.

Zeller & Hildebrandt, Simplifying and isolating failure-inducing input, IEEE TSE 28(2), 2002: drop halves, quarters
and so on of the changed bytes as long as the failure stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Patch = tuple[int, bytes]  # where, and what stands there instead


def patches(original: bytes, damaged: bytes) -> list[Patch]:
    """What turns one file into another of equal length: runs of changed bytes, each at most 16 long."""
    if len(original) != len(damaged):
        raise ValueError("files of different lengths have no patches")
    places = [at for at, (old, new) in enumerate(zip(original, damaged, strict=True)) if old != new]
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][1] and runs[-1][1] - runs[-1][0] < 16:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    return [(start, damaged[start:end]) for start, end in runs]


def patched(original: bytes, changes: Sequence[Patch]) -> bytes:
    """Apply patches."""
    result = bytearray(original)
    for at, new in changes:
        result[at : at + len(new)] = new
    return bytes(result)


def minimised(changes: list[Patch], fails: Callable[[list[Patch]], bool]) -> list[Patch]:
    """The fewest patches, each as short as possible, of which `fails` still holds; it must hold of `changes`."""
    parts = 2
    while len(changes) >= 2:
        size = -(-len(changes) // parts)
        for start in range(0, len(changes), size):
            rest = changes[:start] + changes[start + size :]
            if rest and fails(rest):
                changes, parts = rest, max(2, parts - 1)
                break
        else:
            if parts >= len(changes):
                break
            parts = min(len(changes), 2 * parts)
    for number, (at, new) in enumerate(changes):
        for begin, end in ((0, len(new) // 2), (len(new) // 2, len(new))):
            shorter = [*changes[:number], (at + begin, new[begin:end]), *changes[number + 1 :]]
            if 0 < end - begin < len(new) and fails(shorter):
                return minimised(shorter, fails)
    return changes
