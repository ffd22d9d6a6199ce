"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import workplace as place
from .isolated import attempt


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `work`, in which commands run; see workplace.py."""
    base = tmp_path_factory.mktemp("workplace")
    attempt(place.build, base, seconds=600, memory=4 << 30)
    return base
