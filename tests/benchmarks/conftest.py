"""Fixtures for benchmarks."""

from __future__ import annotations

import pytest

from benchmarks import measurement


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of tests say nothing, so nothing need come to rest before."""
    monkeypatch.setattr(measurement, "PAUSE", 0.0)
