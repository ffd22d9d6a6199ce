"""Directive `command-help`: what a command prints when it is asked for --help, and so what its
parser knows.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from spikesam.common.child import python
from spikesam.pipeline.cli.main import COMMANDS

COLUMNS = "80"
AS_INSTALLED = "sys.argv[0] = 'spikesam'; from spikesam.pipeline.cli.main import main; main()"


@cache
def help_of(*arguments: str) -> str:
    """The output of `spikesam ARGUMENTS --help`.

    Raises
    ------
    CalledProcessError : if the command fails
    """
    finished = subprocess.run(
        python(AS_INSTALLED, *arguments, "--help"),
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": COLUMNS},
    )
    return finished.stdout.rstrip()


class CommandHelp(Directive):
    """A section for each command, in the order in which `spikesam --help` lists them."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        return [_block(help_of()), *(_section(name) for name in COMMANDS)]


def _section(name: str) -> nodes.section:
    return nodes.section(
        "", nodes.title(text=f"spikesam {name}"), _block(help_of(name)), ids=[name], names=[name]
    )


def _block(text: str) -> nodes.container:
    return nodes.container(
        "", nodes.literal_block(text, text, language="text"), classes=["command-help"]
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
