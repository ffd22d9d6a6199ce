"""Outputs of executed cells: a page with an object that shows nothing of itself ends the build;
links to files of a cell's own folder, which the site has not, become their names.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# Of bounded length, since pages hold pictures as megabytes of text.
BARE = re.compile(r"&lt;Figure size [^&]{1,80}&gt;|[\w.]{1,80} object at 0x[0-9a-f]+")

OWN_FILE = re.compile(r'<a href="runs/[^"]{1,200}" target="_blank">([^<]{1,200})</a>')


def unlink_own_files(folder: Path) -> None:
    """Take the links to files under `runs/` from the pages of a folder."""
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        without_links = OWN_FILE.sub(r"\1", text)
        if without_links != text:
            page.write_text(without_links, encoding="utf-8")


def bare_outputs(folder: Path) -> list[str]:
    """What stands for an object in the pages of a folder: "jupyter.html: <Figure size 640x480 with
    1 Axes>".
    """
    pages = sorted(folder.rglob("*.html"))
    return [
        f"{page.name}: {found}"
        for page in pages
        for found in BARE.findall(page.read_text(encoding="utf-8"))
    ]


def _check(app: Sphinx, error: Exception | None) -> None:
    if not error:
        unlink_own_files(Path(app.outdir, "tutorials"))
    found = [] if error else bare_outputs(Path(app.outdir, "tutorials"))
    if found:
        raise ExtensionError(f"objects that show nothing of themselves: {', '.join(found)}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at the pages when all are written."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
