"""Fixtures shared by every test."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# What tests compute is small. More threads than one would mostly wait for each other, above all where tests run side by
# side. numpy, torch and numba read these once, so they are set before any of them is imported; commands inherit them.
for library in ("OMP", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# A shell starts a job in the background with SIGINT ignored, and child processes inherit this. Some tests send SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: where others compute too, time says nothing of a test. "suite" tries the same cases each time; "long"
# tries many new ones, and those first that failed before; it is for tests/campaign. "fuzz" tries
# four at a time, and shrinks none.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("long", deadline=None, derandomize=False, max_examples=1000, print_blob=True)
settings.register_profile("fuzz", settings.get_profile("long"), max_examples=4, phases=[Phase.reuse, Phase.generate])
settings.load_profile("suite")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of worked reference data and real images beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED} (reference data and real images), which is not here")
    return SHARED
