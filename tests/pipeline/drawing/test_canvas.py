"""The sheet: text that is measured, wrapped and cut, and a title that always fits."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from spikesam.pipeline.drawing.canvas import SUBTITLE, TITLE, drawing, fitted, text_width, wrapped


@pytest.mark.parametrize("style", [TITLE, SUBTITLE])
def test_text_is_as_wide_as_it_is_drawn(tmp_path: Path, saved: list[Figure], style: dict[str, object]) -> None:
    text = "γ = 0.5 with $ and $, 40×40"
    with drawing(tmp_path / "text.png", "", "", 8, 2) as canvas:
        canvas.text(1, 1, text, **style)
        canvas.text(1, 1.5, f"{text}\nshort", **style)
    widths = [drawn.get_window_extent().width / canvas.figure.dpi for drawn in saved[0].axes[0].texts[-2:]]
    assert widths == pytest.approx([text_width(text, **style), text_width(f"{text}\nshort", **style)], rel=0.03)


OF_A_USER = {"savefig.dpi": 300, "savefig.bbox": "tight", "axes.grid": True, "figure.constrained_layout.use": True}


def test_a_picture_is_the_same_whatever_the_users_style(tmp_path: Path) -> None:
    for name, style in {"plain": {}, "of a user": OF_A_USER}.items():
        with mpl.rc_context(style), drawing(tmp_path / name, "Title", "subtitle", 6, 2) as canvas:
            canvas.axes(1, 1, 3, 1).plot([1, 2])
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "of a user").read_bytes()


def test_wrapped() -> None:
    assert wrapped("", 3) == []
    assert wrapped("one two three four", text_width("one two three")) == ["one two three", "four"]
    assert wrapped("one two", 0.01) == ["one", "two"]


def test_fitted() -> None:
    assert fitted("lion ✗\nis Egyptian cat", text_width("is Egyp…")) == "lion ✗\nis Egyp…"
    assert fitted("lion", 9) == "lion"
    assert fitted("lion", 0) == "…"


def test_title_and_subtitle_fit(tmp_path: Path, saved: list[Figure]) -> None:
    for title, subtitle, width in (("Short", "a long explanation " * 9, 4), ("A long title " * 9, "short", 4)):
        with drawing(tmp_path / "long.png", title, subtitle, width, 2) as canvas:
            canvas.text(1, 1, "content")
        figure = saved[-1]
        (*heading, content) = (text.get_window_extent() for text in figure.axes[0].texts)
        assert all(each.x0 > 0 and each.x1 < figure.bbox.width and each.y1 < figure.bbox.height for each in heading)
        assert all(lower.y1 < upper.y1 for upper, lower in zip(heading, [*heading[1:], content], strict=True))
        assert content.y0 == pytest.approx(figure.dpi, abs=5)  # 1 inch above the bottom, however many lines are on top
