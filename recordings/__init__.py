"""Spike rasters and maps on disk: their formats, writers and checked readers (see FORMAT.md)."""

from importlib import import_module
from typing import Any

from spikesam.recordings.foreign_settings import ignore_foreign_settings

ignore_foreign_settings()
# Module that draws what is read, `plot_raster`, `plot_maps` and `notebook_html`; told by whoever
# knows one.
plots = ""


def draw(function: str, *arguments: Any) -> Any:
    """What a function of the module that draws makes of what was read."""
    return getattr(import_module(plots), function)(*arguments)
