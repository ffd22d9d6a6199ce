"""How the user types this project's commands."""

from __future__ import annotations

import sys
from pathlib import Path


def spelled(text: str) -> str:
    """`text` with its commands as the user types them: ``spikesam run`` if that script runs, not ``python -m …``."""
    if Path(sys.argv[0]).stem != "spikesam":
        return text
    return text.replace("python -m pipeline.", "spikesam ").replace("python -m recordings.", "spikesam ")
