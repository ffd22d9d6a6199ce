"""The page of a folder of results: each experiment's claims beside what was found, its figures and its notes."""

from __future__ import annotations

import math
from pathlib import Path

from recordings.text import printable

from ..study.result import LONGEST_NOTE
from .folder import Folder

HEADER = "| what | paper | ours | the same? | p | n |\n| --- | --- | --- | --- | --- | --- |\n"
ABOUT = """\
“The same?” is about the direction that the paper gives. Where the paper says nothing (–), it is about the sentence on
the left. p is that of no difference, from the 95 % interval, adjusted for the number of claims of the experiment (Holm
1979). From 0.05 on, no difference is seen. Claims without p are no such tests. “Even (0.5)” allows 0.05 either way.
"""


def experiments_page(path: Path) -> str:
    """The page of the results in a folder, in Markdown."""
    folder = Folder(path)
    images = {images: None for name in folder.experiments for images in folder.notes(name, "images")}
    title = f"# What the experiments found: {', '.join(map(printable, images))}\n"
    return "\n".join([title, ABOUT, *(_section(folder, name) for name in folder.experiments)])


def _section(folder: Folder, name: str) -> str:
    title = printable(folder.notes(name, "title")[0])
    rows = "".join(
        f"| {' | '.join(map(_cell, (claim.what, claim.paper, claim.ours, claim.same, _p(claim.p_holm), claim.n)))} |\n"
        for claim in folder.claims(name)
    )
    figures = [*folder.path.glob(f"{name}.png"), *sorted(folder.path.glob(f"{name}_[a-z]*.png"))]
    shown = "".join(f"\n![{title}]({path.name})\n" for path in figures)
    notes = "".join(f"\n{printable(note, LONGEST_NOTE)}\n" for note in folder.notes(name))
    return f"## {title}\n\n{HEADER}{rows}{shown}{notes}\n{_about(folder, name)}\n"


def _about(folder: Folder, name: str) -> str:
    """How the numbers were made."""
    if source := folder.notes(name, "source"):
        return printable(source[0], LONGEST_NOTE)
    command, seed, seconds, before = (
        printable(folder.notes(name, kind)[0], LONGEST_NOTE)
        for kind in ("command", "seed", "seconds", "seconds before")
    )
    return (
        f"`{command}`, seed {seed}: {seconds} s, and before that {before} s for networks, recordings and maps that it "
        "found made."
    )


def _cell(text: object) -> str:
    """A text as a cell of a Markdown table that is no HTML."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")


def _p(p: float) -> str:
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"
