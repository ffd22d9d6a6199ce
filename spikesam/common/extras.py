"""Packages that a plain installation lacks, and what installs them."""

from __future__ import annotations

from collections.abc import Mapping

EXTRAS = {  # package -> extra of this project
    "anywidget": "notebook",
    "pandas": "tables",
    "sanafe": "chip",
    "captum": "torch",
    "torch": "torch",
    "lightning": "train",
    "snntorch": "train",
    "tensorboard": "train",
    "torchvision": "train",
}
# The last one that is needed is named: it brings those before it, of those that anything needs.
ORDER = ("notebook", "tables", "chip", "torch", "train")
NEEDS = dict[
    str, tuple[str, ...]
]()  # public name, or command -> packages that it cannot do without


def register_needs(needs: Mapping[str, tuple[str, ...]]) -> None:
    """Say which packages public names and commands cannot do without."""
    NEEDS.update(needs)


def missing(error: BaseException, name: str = "") -> str | None:
    """Advice about an import that failed for a public `name` or command; None where it is no
    package of an extra.
    """
    package = (
        (getattr(error, "name", None) or "").split(".")[0] if isinstance(error, ImportError) else ""
    )
    if package not in EXTRAS:
        return None
    packages = (package, *NEEDS.get(name, ()))
    extra = max((EXTRAS[needed] for needed in packages), key=ORDER.index)
    return f"needs {package}, which is not installed; pip install 'spikesam[{extra}]'"
