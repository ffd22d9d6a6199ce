"""Docstrings as this project writes them, made into what Sphinx's napoleon reads.

In numpydoc, what follows `name :` is a type, and what is indented below is the description. Here
the types stand in the
signature, and `name : what it is` goes on in indented lines. So the name gets a line of its own. An
indented paragraph is an equation.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

FIELDS = ("Parameters", "Attributes", "Raises", "Yields")
ENTRY = re.compile(r"(?P<name>\S[^:]*?) : (?P<text>.+)")
UNDERLINE = re.compile(r"-{3,}\s*")


def rewrite(lines: list[str]) -> list[str]:
    """The lines of a docstring, with each description below its name, and equations as they were
    typed.
    """
    done: list[str] = []
    section, literal = "", False
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        indented = line.startswith("    ")
        if UNDERLINE.fullmatch(following) and line and not indented:
            section = line.strip()
            if (
                section == "Returns"
            ):  # what follows is a sentence, which napoleon would take for a type
                done += ["", "", ":returns:"]
                continue
        if section == "Returns" and line and not UNDERLINE.fullmatch(line):
            line = f"    {line}"
        elif section == "Returns" and line:
            continue
        elif section in FIELDS and (entry := ENTRY.fullmatch(line)):
            done.append(entry["name"])
            line = f"    {entry['text']}"
        elif not section and indented and not literal and done and not done[-1]:
            if not done[-2:][0].endswith("::"):  # the text may announce the block by itself
                done += ["::", ""]
            literal = True
        elif line and not indented:
            literal = False
        done.append(line)
    return done


def _process(
    app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]
) -> None:
    lines[:] = rewrite(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite docstrings before napoleon sees them."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
