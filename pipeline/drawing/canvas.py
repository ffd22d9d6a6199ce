"""A sheet on which pictures, text and plots are placed in inches, and the colours of maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath
from numpy.typing import NDArray
from skimage.transform import resize

from pipeline.images.preprocessing import Box

HEAT = mpl.colors.ListedColormap(mpl.colormaps["inferno"](np.linspace(0.2, 1, 256)))  # black would look like shadow
BOX = "#35e0ff"
GREY = "0.35"
PALETTE = ("#1f5a99", "#c8553d", "#4f8a3c", "#8a5aa8", "#b08900", "#2f8f8f", "#6b6b6b", "#d67fb1", "#111111", "#7fb3e6")
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a class may be called "$"
}
TITLE: Any = {"fontsize": 12, "fontweight": "bold"}
SUBTITLE: Any = {"fontsize": 8.5, "color": GREY}
MARGIN = 0.2
DPI = 120


def overlay(
    image: NDArray[np.floating[Any]] | None, relative: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.float64]:
    """A map laid over its image: (H, W, 3) in 0 … 1.

    Parameters
    ----------
    image : (H, W, 3) in 0 … 1; None shows the map alone
    relative : (h, w) in 0 … 1, resized bilinearly
    size : (H, W)
    """
    heat = np.clip(resize(relative.astype(np.float64), size, order=1, mode="edge", anti_aliasing=False), 0, 1)
    colours: NDArray[np.float64] = HEAT(heat)[..., :3]
    if image is None:
        return colours
    alpha = 0.95 * heat[..., None]
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    return (1 - alpha) * (0.5 * grey + 0.2 * image + 0.05) + alpha * colours


class Canvas:
    """A figure on which things are placed in inches from the top left."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        self.width, self.height = width, height
        self.sheet = self.axes(0, 0, width, height)
        self.sheet.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        self.sheet.set_axis_off()

    def axes(self, x: float, y: float, width: float, height: float) -> Any:
        """Axes of their own, for a plot with scales."""
        place = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(place)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text whose lower left corner, unless `style` says otherwise, is at a point."""
        self.sheet.text(x, y, text, **style)

    def picture(self, x: float, y: float, width: float, height: float, pixels: NDArray[np.floating[Any]]) -> None:
        """(H, W, 3) pixels in 0 … 1, stretched to a rectangle."""
        extent = (x, x + width, y + height, y)
        self.sheet.imshow(np.clip(pixels, 0, 1), extent=extent, aspect="auto", interpolation="bilinear")

    def image(
        self, x: float, y: float, width: float, height: float, image: NDArray[np.floating[Any]] | None, box: Box | None
    ) -> None:
        """An image, where there is one, and the box around its object."""
        if image is None:
            return
        self.picture(x, y, width, height, image)
        if box is not None:
            rows, columns = image.shape[:2]
            x0, x1 = (x + side * width / columns for side in box[::2])
            y0, y1 = (y + side * height / rows for side in box[1::2])
            for colour, line in (("black", 3.0), (BOX, 1.5)):  # an outline that shows on any image
                frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=line)
                self.sheet.add_patch(frame)

    def colour_bar(self, x: float, y: float, height: float, over_image: bool) -> None:
        """The colours of :func:`overlay` from 0 to 1, over medium grey where they lie over images."""
        ramp = np.linspace(1, 0, 256, dtype=np.float32)[:, None]
        self.picture(x, y, 0.13, height, overlay(np.full((256, 1, 3), 0.5) if over_image else None, ramp, (256, 1)))
        for share, label, place in ((0, "max", "top"), (0.5, "half", "center"), (1, "0", "bottom")):
            self.text(x + 0.18, y + share * height, label, va=place, fontsize=8)


@contextmanager
def drawing(path: Path, title: str, subtitle: str, width: float, height: float) -> Iterator[Canvas]:
    """A canvas with a title and an explanation at its top, saved when the block ends.

    Parameters
    ----------
    width, height : inches; the canvas is wider where its title or subtitle needs it
    """
    with mpl.rc_context(STYLE):
        needed = max(text_width(title, **TITLE), text_width(subtitle, **SUBTITLE)) + 2 * MARGIN
        canvas = Canvas(max(width, needed), height)
        canvas.text(MARGIN, 0.3, title, **TITLE)
        canvas.text(MARGIN, 0.52, subtitle, **SUBTITLE)
        yield canvas
        canvas.figure.savefig(path, metadata={"Software": None})


def text_width(text: str, fontsize: float = 9, fontweight: str = "normal", **_: Any) -> float:
    """Inches that the widest line of a text takes."""
    font = FontProperties(size=fontsize, weight=fontweight)
    measure = TextToPath().get_text_width_height_descent
    return max((measure(line, font, False)[0] for line in text.splitlines()), default=0.0) / 72


def grid_lines(axes: Any, axis: str) -> None:
    """Pale lines behind a plot, at the ticks of one axis or of both."""
    axes.grid(axis=axis, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
