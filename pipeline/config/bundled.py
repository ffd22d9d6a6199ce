"""Where the files that come with the program are: configurations and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def bundled(folder: Literal["configs", "checkpoints"]) -> Path:
    """The folder: inside the package `pipeline` where a wheel was installed, beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
