"""The console of all commands: every text is data, whoever named the classes and files in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from spikesam.common.text import printable


class PlainConsole(Console):
    """A console that shows texts as they are: "[red]" and ":cat:" stay what they are, ESC becomes
    "?".

    Nothing is highlighted. To style a text, give :class:`rich.text.Text`. All commands print on
    such a console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def on_broken_pipe(self) -> NoReturn:
        """Rich would end the process with exit code 1, which is an answer of `diff`."""
        raise  # the BrokenPipeError that is being handled

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """All that is printed, on its way to the screen: texts, paths, cells of tables, what a bar
        says.
        """
        for segment in super().render(renderable, options):
            lines = segment.text.split("\n")
            yield (
                segment
                if segment.control
                else segment._replace(text="\n".join(map(printable, lines)))
            )
