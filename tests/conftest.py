"""Fixtures shared by every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# What tests compute is small. More threads than one would mostly wait for each other, above all where tests run side by
# side. numpy, torch and numba read these once, so they are set before any of them is imported; commands inherit them.
for library in ("OMP", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

settings.register_profile("busy machines", deadline=None)  # where others compute too, time says nothing of a test
settings.load_profile("busy machines")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of worked reference data and real images beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED} (reference data and real images), which is not here")
    return SHARED
