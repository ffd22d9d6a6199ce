"""Pictures of rasters, maps and networks, whose own modules know nothing of drawing.

The part that draws registers a function that imports it; nothing is imported before a picture is
asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_DRAWING: list[Callable[[], Any]] = []


def register_drawing(import_drawing: Callable[[], Any]) -> None:
    """Have `draw` call functions of the module that `import_drawing` gives."""
    _DRAWING[:] = [import_drawing]


def draw(function: str, *arguments: Any) -> Any:
    """Result of a function, by its name, of the module that draws."""
    return getattr(_DRAWING[0](), function)(*arguments)
