"""An earlier commit of this project, to be timed beside the present code in the same run."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEFORE = "e9e9fb6"  # the last commit before runs were made of ranges
PARTS = ("pipeline", "backends", "recordings", "spikesam", "configs", "checkpoints")


def missing_before() -> str:
    """Why the earlier commit cannot be timed; nothing if it can."""
    try:
        found = subprocess.run(["git", "cat-file", "-e", f"{BEFORE}^{{commit}}"], cwd=ROOT, capture_output=True)
    except OSError:
        return f"commit {BEFORE}: git is not installed"
    return (
        "" if found.returncode == 0 else f"commit {BEFORE}: not in this copy of the project; clone it with its history"
    )


def unpack_before(folder: Path) -> Path:
    """Put the code of the earlier commit into a folder, and return it."""
    archive = subprocess.run(["git", "archive", BEFORE, *PARTS], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder
