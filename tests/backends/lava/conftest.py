"""Fixtures: one marks whatever a test starts."""

import secrets
import tempfile
from pathlib import Path

import pytest

from tests.backends.lava.machine import Machine


@pytest.fixture(autouse=True)
def _start_methods_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lava chooses how processes start when it is imported, which other tests may have done."""
    monkeypatch.setattr("multiprocessing.set_start_method", lambda method: None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    mark = secrets.token_hex(8)
    monkeypatch.setenv("SPIKESAM_TEST", mark)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what others leave in theirs is not this test's
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Machine(mark)
