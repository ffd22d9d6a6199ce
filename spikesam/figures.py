"""Figures of research: maps over their images in a grid, and curves with intervals, from tables.

Maps: :func:`draw_maps` draws rows (:class:`Row`) of cells (:class:`Cell`). :func:`row_over_time` is
the row of one layer at the steps that :func:`stretches` or :func:`thinned` choose, under
:func:`headings`, of a sample with its names (:class:`Subject`). Cells are hatched that are bright
for zero padding alone: :func:`outside`, :func:`lit_border`, :func:`hatching`.

Curves: :func:`draw_curves` draws a table, a row per point, in panels, as :class:`CurveOptions` say.

Others: :func:`drawing` gives a canvas in inches with title and explanation, on which you draw with
matplotlib, in the colours and sizes of all pictures (:data:`PALETTE`, :data:`GREY`,
:data:`MARGIN`), with :func:`grid_lines`, :func:`reach` of intervals and :func:`text_width`.
:func:`told_apart` makes names of classes unique. Needs the extra `tables`.

Examples
--------
>>> from pathlib import Path
>>> import pandas as pd
>>> from spikesam.figures import draw_curves
>>> points = pd.DataFrame({"curve": "SAM", "x": [0, 1, 2], "mean": [0.2, 0.5, 0.6]})
>>> draw_curves(Path("curve.png"), "How certain?", "20 images", points, "step", "probability")
"""

from __future__ import annotations

from spikesam.common.extras import missing
from spikesam.common.text import told_apart
from spikesam.pipeline.drawing.canvas import (
    GREY,
    MARGIN,
    PALETTE,
    drawing,
    grid_lines,
    text_width,
)
from spikesam.pipeline.drawing.grid import Cell, Row, draw_maps
from spikesam.pipeline.drawing.padding import lit_border, outside
from spikesam.pipeline.drawing.samples import (
    hatching,
    headings,
    row_over_time,
    stretches,
    thinned,
)
from spikesam.pipeline.drawing.subject import Subject

try:
    from spikesam.pipeline.drawing.curves import CurveOptions, draw_curves, reach
except ImportError as error:
    raise ImportError(f"spikesam.figures {missing(error) or error}", name=error.name) from None

__all__ = [
    "GREY",
    "MARGIN",
    "PALETTE",
    "Cell",
    "CurveOptions",
    "Row",
    "Subject",
    "draw_curves",
    "draw_maps",
    "drawing",
    "grid_lines",
    "hatching",
    "headings",
    "lit_border",
    "outside",
    "reach",
    "row_over_time",
    "stretches",
    "text_width",
    "thinned",
    "told_apart",
]
