"""Commands that a release is made of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class ReleaseError(Exception):
    """The reason why there is no release."""


class CommandError(ReleaseError):
    """A command failed; `said` is the last line of what it said."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(f"{message}: {said}")
        self.said = said


def run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    """The output of a command that must succeed.

    Raises
    ------
    CommandError : with the last line of what it said
    ReleaseError : if the program is not here
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except FileNotFoundError:
        raise ReleaseError(f"{command[0]}: this program is needed, and is not here") from None
    if done.returncode:
        last = (done.stdout.strip() or "it said nothing").splitlines()[-1]
        words = " ".join(" ".join(map(str, command)).split())
        shown = words if len(words) <= 100 else f"{words[:97]}..."
        raise CommandError(f"{shown} ended with {done.returncode}", last)
    return done.stdout
