"""A bar on a terminal while long work runs, and the seconds that each of its stages took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from spikesam.common.console import PlainConsole
from spikesam.common.text import printable

Advance = Callable[[int], None]  # takes the number of items just done


def progress_bar(console: Console, transient: bool = False) -> Progress:
    """A bar on `console`; a transient one is for terminals only and gone at the end, others leave
    their last state.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=transient and not console.is_terminal,
    )


class Tracker:
    """Shows and times what is being done: `seconds` by stage, and `notes` for the user when the
    work is done.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or PlainConsole(stderr=True)
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []

    def say(self, text: str) -> None:
        """Print a line at once, above the bar."""
        self.console.print(text, soft_wrap=True)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes to a stage."""
        begun = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun

    @contextmanager
    def show(self, text: str, total: int | None = None) -> Iterator[Advance]:
        """A bar while the block runs; yields what is to be called with the number of items just
        done.
        """
        with progress_bar(self.console, transient=True) as bar:
            task = bar.add_task(printable(text), total=total)
            yield lambda done: bar.advance(task, done)
