"""Where the files that come with the program are: configurations and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def bundled(folder: Literal["configs", "checkpoints"]) -> Path:
    """The folder: inside this package where a wheel was installed, beside it in a clone."""
    package = Path(__file__).resolve().parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
