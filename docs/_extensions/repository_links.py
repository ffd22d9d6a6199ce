"""Links of the pages as they stand in the repository, made into links of the site.

Pages link to files of the repository, so that they can be read there, too. Some of these files are
pages of the site under another name; folders are not on the site, so only their names stay.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

PAGES = {
    "recordings/FORMAT.md": "/reference/raster-file.md",
    "checkpoints/README.md": "/reference/checkpoints.md",
    "CONTRIBUTING.md": "/contributing.md",
}
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def rewrite(text: str, page: Path, repository: Path) -> str:
    """The text of a page with links of the site."""

    def link(found: re.Match[str]) -> str:
        target = (page.parent / found["target"]).resolve()
        if target.is_dir():
            return found["text"]
        name = target.relative_to(repository).as_posix()
        return (
            f"[{found['text']}]({PAGES[name]}{found['anchor'] or ''})"
            if name in PAGES
            else found[0]
        )

    return LINK.sub(link, text)


def _read(app: Sphinx, document: str, source: list[str]) -> None:
    source[0] = rewrite(source[0], Path(app.env.doc2path(document)), Path(app.srcdir).parent)


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite each page when it is read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
