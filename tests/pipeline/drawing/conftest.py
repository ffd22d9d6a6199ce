"""Fixtures for pictures."""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spikesam.pipeline.drawing.canvas import Canvas


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """A warning of the plotting library (a missing glyph, an empty range) is a fault of the
    picture.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What an earlier test left open is of no picture, and may be collected at any time.
        warnings.simplefilter("default", ResourceWarning)
        yield


class Picture(NamedTuple):
    """A picture on a canvas: its left upper corner and its size in inches, and its pixels."""

    x: float
    y: float
    width: float
    height: float
    pixels: NDArray[np.floating[Any]]


Pictures = dict[Figure, list[Picture]]


def texts(figure: Figure) -> list[str]:
    """The texts of a whole page, in the order in which they were written."""
    return [text.get_text() for text in figure.axes[0].texts]


def assert_nothing_is_cut_off(figure: Figure) -> None:
    """Every text, label, legend and picture ends before the edge of the page."""
    figure.canvas.draw()
    page = figure.bbox
    for axes in figure.axes:
        for part in (axes, *axes.texts):
            extent = part.get_tightbbox() if part is axes else part.get_window_extent()
            assert (
                extent.x0 >= -1
                and extent.y0 >= -1
                and extent.x1 <= page.x1 + 1
                and extent.y1 <= page.y1 + 1
            ), part


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Pictures:
    """The pictures that lie below every figure, in the order in which they were put there, all
    within its page.
    """
    found: Pictures = {}
    put = Canvas.picture

    def keep(canvas: Canvas, *arguments: Any) -> None:
        picture = Picture(*arguments)
        assert picture.x >= 0 and picture.x + picture.width <= canvas.width, picture
        assert picture.y >= 0 and picture.y + picture.height <= canvas.height - canvas.above, (
            picture
        )
        found.setdefault(canvas.figure, []).append(picture)
        put(canvas, *arguments)

    monkeypatch.setattr(Canvas, "picture", keep)
    return found


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch, pictures: Pictures) -> list[Figure]:
    """Every figure that is saved, with all that is drawn on it."""
    figures: list[Figure] = []
    png = Canvas.png

    def keep(canvas: Canvas) -> bytes:
        figures.append(canvas.figure)
        return png(canvas)

    monkeypatch.setattr(Canvas, "png", keep)
    return figures
