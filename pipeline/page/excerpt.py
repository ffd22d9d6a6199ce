"""The part of a long run that fits in a page: its first samples; if not even one fits, its first steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Content = dict[str, Any]


@dataclass(frozen=True)
class Excerpt:
    """The part of a run that a page shows: contents of its first samples, and how many of the first steps they hold."""

    samples: list[Content]
    steps: int
    note: str | None  # what was left out, for people


def excerpt(content: Callable[[int, int], Content], samples: int, steps: int, limit: int) -> Excerpt:
    """As many of the first samples as fit into `limit` bytes; if not even one does, its first steps."""
    first = content(0, steps)
    size = _size(first)
    shown = steps if size <= limit else max(1, steps * limit // size)
    made = {0: first} if shown == steps else {}
    contents = list(_while_they_fit(lambda sample: made.pop(sample, None) or content(sample, shown), samples, limit))
    left_out = []
    if len(contents) < samples:
        left_out.append(f"the first {len(contents)} of {samples} samples")
    if shown < steps:
        left_out.append(f"the first {shown} of {steps} steps")
    if not left_out:
        return Excerpt(contents, shown, None)
    exact = " Maps look back alone: those of these steps are complete." if shown < steps else ""
    note = f"To stay below {limit / 1e6:.3g} MB, this page holds {' and '.join(left_out)}.{exact}"
    return Excerpt(contents, shown, f"{note} Rates and scores are means of all samples and steps.")


def _while_they_fit(content: Callable[[int], Content], samples: int, limit: int) -> Iterator[Content]:
    used = 0
    for sample in range(samples):
        made = content(sample)
        used += _size(made)
        if sample and used > limit:
            return
        yield made


def _size(content: Content) -> int:
    return len(json.dumps(content))
