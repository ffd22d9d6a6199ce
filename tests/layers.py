"""Layers that are changed for a test."""

from dataclasses import replace
from typing import Any

from spikesam.backends.network import Layer


def with_first(layer: Layer, **changes: Any) -> Layer:
    """A layer whose first input has other numbers."""
    first, *more = layer.inputs
    return replace(layer, inputs=(replace(first, **changes), *more))
