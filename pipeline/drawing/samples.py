"""Maps of samples: one sample over time, or several beside each other.

Maps are shown relative to the largest value that their layer reaches at any step of that sample, so that steps of one
layer can be compared by eye, and layers cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .grid import Cell, Row, draw_maps
from .steps import active_steps, best_step, shared_steps
from .subject import Subject

Maps = Mapping[str, NDArray[np.float32]]  # layer -> (T, H, W) ≥ 0, in order of depth; T may differ

NO_DELAY: Mapping[str, int] = MappingProxyType({})
SCALE = "Each layer is relative to its largest value."
MOVING = "Below each map: the events that have just reached the layer."


def draw_over_time(
    path: Path, subject: Subject, maps: Maps, title: str, about: str = "", delays: Mapping[str, int] = NO_DELAY
) -> None:
    """One sample, its maps by layer (rows) and step (columns): Kim & Panda's Fig. 5 at a glance.

    Parameters
    ----------
    maps : not empty; steps that only deeper layers have are left blank, or left out where the image moves
    title, about : what the maps are, and a sentence on how they were made
    delays : layer -> after how many steps it gets what the network sees; 0 if not given
    """
    steps = active_steps(maps) if subject.frames is None else shared_steps(maps)
    rows = []
    for name, layer in maps.items():
        size = "×".join(map(str, layer.shape[1:])) if layer.any() else "all zero"
        unit, late = largest(layer), delays.get(name, 0)
        cells = [Cell(layer[step] / unit, subject.seen(step - late)) if step < len(layer) else Cell() for step in steps]
        rows.append(Row(f"{name}\n{size}", cells))
    columns = [f"t = {step}" for step in steps] if max(map(len, maps.values())) > 1 else []
    blank = "Blank: too late to change the answer." if min(map(len, maps.values())) <= steps[-1] else ""
    below = MOVING if subject.frames is not None else ""
    subtitle = " ".join(filter(None, [about, SCALE, below, blank]))
    title = title if subject.image is not None else f"{title}: {', '.join(subject.facts)}"
    draw_maps(path, title, subtitle, columns, rows, aside=None if subject.image is None else subject)


def draw_side_by_side(
    path: Path,
    subjects: Sequence[Subject],
    maps: Sequence[Maps],
    title: str,
    about: str,
    delays: Mapping[str, int] = NO_DELAY,
) -> None:
    """Several samples (columns): the image, then each layer's map at its best step (rows).

    Parameters
    ----------
    subjects : not empty
    maps : per subject, the same layers for each
    title, about : what the picture shows, and what the maps are
    delays : see :func:`draw_over_time`
    """
    over_time = max(map(len, maps[0].values())) > 1
    with_images = any(subject.image is not None for subject in subjects)
    rows = [Row("", [Cell(image=subject.image, box=subject.box) for subject in subjects])] if with_images else []
    for name in maps[0]:
        cells = []
        for subject, layers in zip(subjects, maps, strict=True):
            layer = layers[name]
            step = best_step(layer)
            tag = f"t = {step}" if over_time else ""
            seen = subject.seen(step - delays.get(name, 0))
            cells.append(Cell(layer[step] / largest(layer), seen, tag=tag))
        rows.append(Row(name, cells))
    chosen = "Each map is of the step where it varies most over the image." if over_time else ""
    captions = [subject.caption if with_images else "\n".join(subject.facts) for subject in subjects]
    below = MOVING if any(subject.frames is not None for subject in subjects) else ""
    subtitle = " ".join(filter(None, [f"{about}.", chosen, SCALE, below]))
    draw_maps(path, title, subtitle, captions, rows, colours=[subject.colour for subject in subjects])


def largest(maps: NDArray[np.float32]) -> np.float32:
    """The largest value at any step and pixel of (T, H, W) ≥ 0, by which maps are divided to be shown; never 0."""
    return max(maps.max(), np.finfo(np.float32).tiny)
