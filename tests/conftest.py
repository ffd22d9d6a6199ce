"""Fixtures shared by every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy machines", deadline=None)  # where others compute too, time says nothing of a test
settings.load_profile("busy machines")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of worked reference data and real images beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED} (reference data and real images), which is not here")
    return SHARED
