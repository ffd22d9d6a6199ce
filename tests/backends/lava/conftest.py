"""A fixture that marks whatever one test starts."""

from __future__ import annotations

import secrets

import pytest

from tests.backends.lava.machine import Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    mark = secrets.token_hex(8)
    monkeypatch.setenv("SPIKESAM_TEST", mark)
    return Machine(mark)
