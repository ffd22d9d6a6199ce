"""A sheet on which pictures, text and plots are placed in inches, and the colours and sizes of all
pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from numpy.typing import NDArray
from PIL import Image

from spikesam.common.disk import write_file
from spikesam.common.text import LONGEST_NAME, printable

PALETTE = (
    "#1f5a99",
    "#c8553d",
    "#4f8a3c",
    "#8a5aa8",
    "#b08900",
    "#2f8f8f",
    "#6b6b6b",
    "#d67fb1",
    "#111111",
    "#7fb3e6",
)
GREY = "0.35"
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a class may be called "$"
}
TITLE: Any = {"fontsize": 12, "fontweight": "bold"}
SUBTITLE: Any = {"fontsize": 8.5, "color": GREY}
MARGIN, LINE, NARROWEST = (
    0.2,
    0.17,
    5.5,
)  # inches: left of the title, between lines of the subtitle, of a picture
DPI = 120
LONGEST_LINE = (
    240  # characters: a longer one loses its middle, before anything is measured or drawn
)


class ShownFigure(Figure):
    """A figure that a notebook shows, whether or not pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        canvas: Any = FigureCanvasAgg(self)
        file = BytesIO()
        canvas.print_png(file)
        return file.getvalue()


class Canvas:
    """A figure on which things are placed in inches, from the left and from `above` inches below
    the title's lines.
    """

    def __init__(self, width: float, height: float, above: float = 0) -> None:
        self.width, self.height, self.above = width, height + above, above
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI, facecolor="none")
        self._background = Image.new("RGB", self.figure.canvas.get_width_height(), "white")
        self.sheet = self.axes(0, -above, self.width, self.height)
        self.sheet.set(xlim=(0, width), ylim=(height, -above), autoscale_on=False)
        self.sheet.set_axis_off()

    def axes(self, x: float, y: float, width: float, height: float) -> Any:
        """Axes of their own, for a plot with scales."""
        bottom = self.height - self.above - y - height
        place = (x / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(place)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text whose lower left corner, unless `style` says otherwise, is at a point."""
        self.sheet.text(x, y, drawable(text), **style)

    def picture(
        self, x: float, y: float, width: float, height: float, pixels: NDArray[np.floating[Any]]
    ) -> None:
        """(H, W, 3) pixels in 0 … 1, stretched to a rectangle; below everything that is drawn.

        Pillow stretches hundreds of them in a tenth of the time that matplotlib takes.
        """
        left, right = (round(edge * DPI) for edge in (x, x + width))
        top, bottom = (round((edge + self.above) * DPI) for edge in (y, y + height))
        image = Image.fromarray(np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8))
        stretched = image.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        self._background.paste(stretched, (left, top))

    def png(self) -> bytes:
        """As PNG, without a channel for transparency: nothing here is transparent, and it takes a
        third.
        """
        canvas: Any = FigureCanvasAgg(self.figure)
        canvas.draw()
        drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
        self._background.paste(drawn, mask=drawn)
        self._background.save(file := BytesIO(), "PNG", compress_level=1, dpi=(DPI, DPI))
        return file.getvalue()


@contextmanager
def drawing(path: Path, title: str, subtitle: str, width: float, height: float) -> Iterator[Canvas]:
    """A canvas with a title and an explanation at its top, which may enlarge it; saved when the
    block ends.
    """
    title = printable(title, LONGEST_LINE)
    with style(), _any_letters():
        width = max(width, NARROWEST, text_width(title, **TITLE) + 2 * MARGIN)
        lines = wrapped(subtitle, width - 2 * MARGIN, **SUBTITLE)
        canvas = Canvas(width, height, above := LINE * max(len(lines) - 1, 0))
        canvas.text(MARGIN, 0.3 - above, title, **TITLE)
        for number, line in enumerate(lines):
            canvas.text(MARGIN, 0.52 - above + LINE * number, line, **SUBTITLE)
        yield canvas
        write_file(path, canvas.png())


@contextmanager
def style(**further: Any) -> Iterator[None]:
    """Draw in the style of all pictures, whatever the user's matplotlibrc says; its fonts stay:
    names may need them.
    """
    font_settings: Any = {
        name: value for name, value in mpl.rcParams.items() if name.startswith("font.")
    }
    with mpl.style.context(["default", {**font_settings, **STYLE, **further}]):
        yield


def drawable(text: str) -> str:
    """A text whose lines lose what cannot be drawn, and are cut where they are too long to be
    measured.
    """
    return "\n".join(printable(line, LONGEST_LINE) for line in text.split("\n"))


@contextmanager
def _any_letters() -> Iterator[None]:
    """Draw a box for a letter that the font lacks, and say nothing: a class may be called 猫."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def text_width(text: str, fontsize: float = 9, fontweight: str = "normal", **_: Any) -> float:
    """Inches that the widest line of a text takes."""
    font = FontProperties(size=fontsize, weight=fontweight)
    measure = TextToPath().get_text_width_height_descent
    with _any_letters():
        return (
            max(
                (measure(line, font, False)[0] for line in drawable(text).splitlines()), default=0.0
            )
            / 72
        )


def wrapped(text: str, inches: float, **style: Any) -> list[str]:
    """A text in lines that are no wider than so many inches, unless a word is."""
    lines: list[str] = []
    space, room = text_width("x x", **style) - text_width("xx", **style), 0.0
    for word in text.split():
        word = printable(word, LONGEST_NAME)
        width = text_width(
            word, **style
        )  # of each word once: of whole lines it would take longer than to draw them
        if lines and space + width <= room:
            lines[-1] = f"{lines[-1]} {word}"
            room -= space + width
        else:
            lines.append(word)
            room = inches - width
    return lines


def fitted(text: str, inches: float, **style: Any) -> str:
    """A text whose lines are cut where they are wider than so many inches."""
    lines = drawable(text).splitlines()
    for number, line in enumerate(lines):
        while len(line) > 1 and text_width(line, **style) > inches:
            line = lines[number] = line.rstrip("…")[:-1] + "…"
    return "\n".join(lines)


def shortened(name: str, max_length: int) -> str:
    """A layer's name in so many characters: it loses its middle, since numbers stand last."""
    return name if len(name) <= max_length else f"{name[: max_length - 5]}…{name[-4:]}"


def grid_lines(axes: Any, axis: str) -> None:
    """Pale lines behind a plot, at the ticks of one axis."""
    axes.grid(axis=axis, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def step_axis(axes: Any, steps: int) -> None:
    """An x axis of so many steps."""
    axes.set(xlabel="step t", xlim=(-0.5, steps - 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def legend_beside(axes: Any, *handles: Any, right: float = 1.02, **further: Any) -> None:
    """A legend at the right of a plot, as high as its top."""
    axes.legend(
        *handles,
        loc="upper left",
        bbox_to_anchor=(right, 1.03),
        frameon=False,
        borderaxespad=0,
        **further,
    )
