"""Maps of samples: one sample over time, or several beside each other. Sums over the steps that
matter come first.

A sum is shown relative to its own largest value. Maps of steps are shown relative to the largest
value that their layer reaches in that sample: steps of one layer can be compared by eye, layers
cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.drawing.grid import Cell, Row, draw_maps
from spikesam.pipeline.drawing.padding import Outside, lit_border
from spikesam.pipeline.drawing.subject import Subject

MOST_STEPS, SHARP = 8, 8
TINY = np.finfo(np.float32).tiny
LONG = 8 * MOST_STEPS  # steps: from here on, one in eight or fewer would be shown

Maps = Mapping[str, NDArray[np.float32]]  # layer -> (T, H, W) ≥ 0, in order of depth; T may differ

NO_DELAY: Mapping[str, int] = MappingProxyType({})
NOT_PADDED: Outside = MappingProxyType({})
SUM = "all steps"
SUMMED = "summed over the steps that can still change the answer"
SCALE = "Each map is relative to its largest value."
SCALES = "Sums are relative to their own largest value, steps to their layer's."
HATCHED = (
    "Hatched: cells that see more than a third zero padding, and are brighter than the others."
)
BANDS = (
    "Without places: neurons from top to bottom, steps from left to right, with the sums of both."
)
MOMENTS = "Moments: what the maps of each layer sum to, a row for each, steps from left to right."
MOVING = "Below each map of a step: the events that have just reached the layer."


def draw_over_time(
    path: Path,
    subject: Subject,
    maps: Maps,
    title: str,
    caption: str = "",
    delays: Mapping[str, int] = NO_DELAY,
    padded: Outside = NOT_PADDED,
) -> None:
    """One sample, its maps by layer (rows): their sum, then by step (columns): Kim & Panda's Fig. 5
    at a glance.

    Long recordings are shown in eight stretches of steps. `delays` are the steps until the input
    reaches a layer; `padded` says which of its cells see much zero padding.
    """
    over_time = max(map(len, maps.values())) > 1
    shown = (
        stretches(maps) if subject.frames is None else [range(t, t + 1) for t in common_steps(maps)]
    )
    rows = []
    for name, layer in maps.items():
        sides = f"{layer.shape[1]} rows" if _is_band(layer) else "×".join(map(str, layer.shape[1:]))
        size = sides if layer.any() else "all zero"
        of_layer = row_over_time(
            f"{name}\n{size}", layer, shown, subject, delays.get(name, 0), padded.get(name)
        )
        rows.append(of_layer if over_time else Row(of_layer.label, of_layer.cells[:1]))
    with_steps = over_time and not all(map(_is_band, maps.values()))
    if with_steps:
        rows.append(Row("moments", [replace(_moments(maps), columns=1 + len(shown))]))
    columns = headings(shown) if with_steps else []
    first = f"First: {SUMMED}." if with_steps else ""
    first += " Then: summed over the steps named." if with_steps and len(shown[0]) > 1 else ""
    bands = BANDS if any(map(_is_band, maps.values())) else ""
    moments = MOMENTS if with_steps else ""
    blank = (
        "Blank: too late to change the answer."
        if min(map(len, maps.values())) <= shown[-1].start
        else ""
    )
    moving = MOVING if subject.frames is not None else ""
    subtitle = _sentences(
        caption,
        first,
        SCALES if with_steps else SCALE,
        bands,
        moments,
        moving,
        blank,
        hatching(rows),
    )
    title = title if subject.image is not None else f"{title}: {', '.join(subject.facts)}"
    aside = None if subject.image is None else subject
    draw_maps(path, title, subtitle, columns, rows, apart=1 if with_steps else 0, aside=aside)


def row_over_time(
    label: str,
    layer: NDArray[np.float32],
    shown: Sequence[range],
    subject: Subject,
    delay: int = 0,
    padded: NDArray[np.bool_] | None = None,
) -> Row:
    """The sum of a layer's maps (T, H, W), and then its maps at some steps or stretches; pale
    beyond the last step.
    """
    total = _summed(layer, subject, padded)
    if _is_band(layer):
        return Row(label, [replace(total, columns=1 + len(shown))])
    parts = [layer[t.start : t.stop].sum(axis=0) if t.start < len(layer) else None for t in shown]
    existing_parts = [part for part in parts if part is not None]
    unit = largest(layer if not existing_parts or len(shown[0]) == 1 else np.stack(existing_parts))
    cells = [
        Cell()
        if part is None
        else Cell(
            part / unit, subject.seen(t.start - delay), hatched=lit_border(part, total.hatched)
        )
        for t, part in zip(shown, parts, strict=True)
    ]
    return Row(label, [total, *cells])


def headings(shown: Sequence[range]) -> list[str]:
    """The headings of the cells of :func:`row_over_time`."""
    return [
        SUM,
        *(f"t = {t.start}" if len(t) == 1 else f"t = {t.start} … {t.stop - 1}" for t in shown),
    ]


def draw_side_by_side(
    path: Path,
    subjects: Sequence[Subject],
    maps: Sequence[Maps],
    title: str,
    caption: str,
    delays: Mapping[str, int] = NO_DELAY,
    padded: Outside = NOT_PADDED,
) -> None:
    """Several samples (columns): image, summed map by layer (rows), and where images move the map
    at the best step.
    """
    over_time = max(map(len, maps[0].values())) > 1
    moving = over_time and any(subject.frames is not None for subject in subjects)
    with_images = any(subject.image is not None for subject in subjects)
    captions = [
        subject.caption if with_images else "\n".join(subject.facts) for subject in subjects
    ]
    rows = (
        [Row("", [Cell(image=subject.image, box=subject.box) for subject in subjects])]
        if with_images
        else []
    )
    samples_with_maps = list(zip(subjects, maps, strict=True))
    for name in maps[0]:
        cells = [
            _summed(layers[name], subject, padded.get(name))
            for subject, layers in samples_with_maps
        ]
        rows.append(Row(name, cells))
    for name in [name for name, layer in maps[0].items() if moving and not _is_band(layer)]:
        best = [
            _at_best(layers[name], subject, delays.get(name, 0))
            for subject, layers in samples_with_maps
        ]
        rows.append(Row(f"{name}\none step", best))
    chosen = "One step: where the map varies most over the image." if moving else ""
    below = MOVING if moving else ""
    caption = f"{caption}, {SUMMED}." if over_time else f"{caption}."
    colours = [subject.colour for subject in subjects]
    if len(subjects) == 1:
        names = [row.label for row in rows[with_images:]]
        colours = [*colours[:with_images], *("black" for _ in names)]
        rows = [Row("" if with_images else captions[0], [row.cells[0] for row in rows])]
        captions = [*captions[:with_images], *names]
    subtitle = _sentences(caption, chosen, SCALE, below, hatching(rows))
    draw_maps(path, title, subtitle, captions, rows, colours=colours)


def _is_band(layer: NDArray[np.float32]) -> bool:
    """True of maps (T, H, W) whose rows are neurons of their own: they are shown over time."""
    return layer.shape[2] == 1 and len(layer) > 1


def _summed(layer: NDArray[np.float32], subject: Subject, padded: NDArray[np.bool_] | None) -> Cell:
    if _is_band(layer):
        return Cell(layer[:, :, 0].T / largest(layer), curves=True)
    total = layer.sum(axis=0)
    return Cell(total / largest(total), subject.image, hatched=lit_border(total, padded))


def _moments(maps: Maps) -> Cell:
    """The sums of the maps of each step, a row for each layer, relative to its largest; with sharp
    edges.
    """
    strips = np.zeros((len(maps), max(map(len, maps.values()))), np.float32)
    for strip, layer in zip(strips, maps.values(), strict=True):
        strip[: len(layer)] = layer.sum(axis=(1, 2))
    return Cell(
        np.kron(
            strips / np.maximum(strips.max(axis=1, keepdims=True), TINY), np.ones((SHARP, SHARP))
        )
    )


def _at_best(layer: NDArray[np.float32], subject: Subject, delay: int) -> Cell:
    """The step whose map has the largest variance over pixels, or the largest value if it has
    one.
    """
    contrast = [
        step_map.var() if step_map.size > 1 else step_map.sum() for step_map in layer
    ]  # one by one: var makes copies
    step = int(np.argmax(contrast))
    return Cell(layer[step] / largest(layer[step]), subject.seen(step - delay), tag=f"t = {step}")


def hatching(rows: Sequence[Row]) -> str:
    """A sentence that explains hatched cells, if there are some."""
    return (
        HATCHED
        if any(cell and cell.hatched is not None for row in rows for cell in row.cells)
        else ""
    )


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def largest(maps: NDArray[np.float32]) -> np.float32:
    """The largest value of maps ≥ 0, by which they are divided to be shown; never 0."""
    return max(maps.max(), TINY)


def thinned(steps: int, max_steps: int = MOST_STEPS, first: int = 0) -> list[int]:
    """At most `max_steps` steps, evenly spaced from `first` to the last of `steps`."""
    return sorted(
        {int(step) for step in np.linspace(min(first, steps - 1), steps - 1, max_steps).round()}
    )


def active_steps(maps: Maps) -> list[int]:
    """At most eight steps, from the first to the last at which a map shows something; the last step
    if none does.
    """
    active = [
        step for layer in maps.values() for step in np.flatnonzero(layer.any(axis=(1, 2))).tolist()
    ]
    last = max(len(layer) for layer in maps.values()) - 1
    return thinned(max(active, default=last) + 1, first=min(active, default=last))


def common_steps(maps: Maps) -> list[int]:
    """At most eight steps at which every layer has a map, from the first at which each of them has
    shown something.
    """
    steps = min(len(layer) for layer in maps.values())
    begun = [int(layer.any(axis=(1, 2)).argmax()) for layer in maps.values()]
    return thinned(steps, first=max(begun))


def stretches(maps: Maps) -> list[range]:
    """At most eight steps as :func:`active_steps` chooses them; or of a long time eight stretches
    that fill it.
    """
    chosen = active_steps(maps)
    first, end = chosen[0], chosen[-1] + 1
    if end - first < LONG:
        return [range(step, step + 1) for step in chosen]
    edges = np.linspace(first, end, MOST_STEPS + 1).round().astype(int).tolist()
    return [range(start, stop) for start, stop in pairwise(edges)]
