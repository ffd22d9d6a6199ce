"""Fixtures for pictures, as those of tests/pipeline/drawing."""

from tests.pipeline.drawing.conftest import pictures, saved

__all__ = ["pictures", "saved"]
