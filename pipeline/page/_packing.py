"""Arrays and maps as text that a page can hold, bands of layers without places, and as many samples
as fit.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from spikesam.common.progress import Advance, Tracker
from spikesam.pipeline.maps.layers import has_places
from spikesam.recordings.raster.schema import LayerSpec

WAIT = 2  # seconds that people wait without a bar
LEVEL = 1  # a hundred times as fast as zlib's 9, for 5 % more bytes


def blob(content: NDArray[Any]) -> str:
    """The bytes of an array in C-order; the page's own `inflate` undoes it."""
    return base64.b64encode(
        isal_zlib.compress(np.ascontiguousarray(content).tobytes(), LEVEL)
    ).decode("ascii")


def heat_map(heat: NDArray[Any], signed: bool = False) -> dict[str, Any]:
    """A map (H, W) in 256 levels, enough for a picture: from 0 to the largest number, or with signs
    from its negative, 128 being 0.
    """
    largest = float(np.abs(heat).max())
    levels = (
        np.rint(heat * ((127 if signed else 255) / largest if largest > 0 else 0)) + 128 * signed
    )
    return {"shape": heat.shape, "most": largest, "levels": blob(levels.astype(np.uint8))}


def is_band(layer: LayerSpec) -> bool:
    """True of a layer without places, and of an input of one column, such as the channels of a
    sound.
    """
    return (
        layer.kind == "dense"
        or not has_places(layer.shape)
        or (layer.kind == "input" and layer.shape[2] == 1)
    )


def band_map(heat: NDArray[Any], steps: int, signed: bool = False) -> dict[str, Any]:
    """The first steps of (T, C, H, W) as a map (neurons, steps)."""
    return heat_map(heat.reshape(len(heat), -1)[:steps].T, signed)


Content = dict[str, Any]


@dataclass(frozen=True)
class Excerpt:
    """The part of a run that a page shows: contents of its first samples, and how many of the first
    steps they hold.
    """

    samples: list[Content]
    steps: int
    note: str | None  # what was left out, for people


def excerpt(
    content: Callable[[int, int], Content], samples: int, steps: int, limit: int
) -> Excerpt:
    """As many of the first samples as fit into `limit` bytes; if not even one does, its first
    steps.
    """
    begun = time.perf_counter()
    first = content(0, steps)
    size, seconds = _size(first), time.perf_counter() - begun
    shown = steps if size <= limit else max(1, steps * limit // size)
    by_step = {0: first} if shown == steps else {}
    others = min(samples, limit // size) - 1
    with ExitStack() as stack:
        advance: Advance | None = None
        if others * seconds > WAIT:
            advance = stack.enter_context(Tracker().show("samples of the page", others + 1))

        def advanced(sample: int) -> Content:
            sample_content = by_step.pop(sample, None) or content(sample, shown)
            if advance:
                advance(1)
            return sample_content

        contents = list(_while_they_fit(advanced, samples, limit))
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


def _while_they_fit(
    content: Callable[[int], Content], samples: int, limit: int
) -> Iterator[Content]:
    used = 0
    for sample in range(samples):
        sample_content = content(sample)
        used += _size(sample_content)
        if sample and used > limit:
            return
        yield sample_content


def _size(content: Content) -> int:
    return len(json.dumps(content))
