"""The view of an object in a notebook: the lines that `print` writes, tables as tables, and a
picture.
"""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from spikesam.common.errors import InputError


class Shown:
    """A result that says what it is in parts, lines of text or tables of pandas: `print` shows
    them, notebooks, too.
    """

    def _parts(self) -> Iterable[Any]:
        raise NotImplementedError

    def _picture(self) -> bytes:
        """PNG; an InputError where nothing can be drawn."""
        raise InputError(f"{type(self).__name__} has no picture")

    def __str__(self) -> str:
        """The report."""
        return "\n".join(
            part if isinstance(part, str) else part.to_string(index=False) for part in self._parts()
        )

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        return html(self._parts(), self._picture)


def html(parts: Iterable[Any], picture: Callable[[], bytes]) -> str:
    """Texts, tables of pandas, and below them a PNG, where one can be drawn; all text is
    escaped.
    """
    blocks, lines = [], []
    for part in parts:
        if isinstance(part, str):
            lines.append(part)
            continue
        blocks += [_text(lines), part.to_html(index=False, border=0)]
        lines = []
    blocks.append(_text(lines))
    with suppress(InputError):
        blocks.append(
            '<img alt="" style="max-width: 100%" '
            f'src="data:image/png;base64,{b64encode(picture()).decode()}">'
        )
    return f'<div style="overflow-x: auto">{"".join(blocks)}</div>'


def _text(lines: list[str]) -> str:
    text = "\n".join(lines).strip("\n")
    return (
        f'<pre style="font-family: monospace; line-height: 1.3">{escape(text)}</pre>'
        if text
        else ""
    )


def png_of(draw: Callable[[Path], object]) -> bytes:
    """The PNG that a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        draw(path)
        return path.read_bytes()
