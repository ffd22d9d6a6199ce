"""Packages that a plain installation lacks, and what installs them."""

from __future__ import annotations

EXTRAS = {  # package -> extra of this project
    "pandas": "tables",
    "captum": "torch",
    "torch": "torch",
    "lightning": "train",
    "snntorch": "train",
    "tensorboard": "train",
    "torchvision": "train",
}
ORDER = ("tables", "torch", "train")  # each brings those before it
NEEDS = {  # public name, or command -> packages without which it is of no use
    **dict.fromkeys(("Diff", "Edit", "Energy", "diff", "edit", "energy", "measure"), ("pandas",)),
    **dict.fromkeys(("from_torch", "record", "to_torch"), ("torch",)),
    **dict.fromkeys(
        ("Comparison", "Conversion", "Monitor", "compare", "convert"), ("pandas", "torch")
    ),
    **dict.fromkeys(("MonitorCallback", "train"), ("lightning", "pandas", "torch")),
}


def missing(error: BaseException, name: str = "") -> str | None:
    """Advice about an import that failed for a public `name` or command; None where it is no
    package of an extra.
    """
    package = (
        (getattr(error, "name", None) or "").split(".")[0] if isinstance(error, ImportError) else ""
    )
    if package not in EXTRAS:
        return None
    extra = max((EXTRAS[each] for each in (package, *NEEDS.get(name, ()))), key=ORDER.index)
    return f"needs {package}, which is not installed; pip install 'spikesam[{extra}]'"
