"""What commands print on: every text is data, whoever named the classes and files in it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from .text import printable


class PlainConsole(Console):
    """A console that shows texts as they are: "[red]" and ":cat:" stay what they are, ESC becomes "?".

    Nothing is highlighted. To style a text, give :class:`rich.text.Text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, and every cell of a table, on its way to the screen."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)
