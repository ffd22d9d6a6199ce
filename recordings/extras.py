"""Packages that a plain installation lacks, and what installs them."""

from __future__ import annotations

EXTRAS = {  # package -> extra of this project
    "captum": "torch",
    "pandas": "tables",
    "torch": "torch",
    "lightning": "train",
    "snntorch": "train",
    "tensorboard": "train",
    "torchvision": "train",
}


def missing(error: BaseException) -> str | None:
    """What to do about an import that failed; None where it is no package of an extra."""
    package = (getattr(error, "name", None) or "").split(".")[0] if isinstance(error, ImportError) else ""
    if package not in EXTRAS:
        return None
    return f"needs {package}, which is not installed; pip install 'spikesam[{EXTRAS[package]}]'"
