"""Numbers as people read them."""

from __future__ import annotations

import pytest

from spikesam.pipeline.cost.words import in_joules, in_short, unit_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (3e-13, "0.30 pJ"),
        (4.19e-9, "4.19 nJ"),
        (59.24e-6, "59.2 µJ"),
        (481e-6, "481 µJ"),
        (1.2, "1.20 J"),
        (float("nan"), "–"),
    ],
)
def test_joules(value: float, expected: str) -> None:
    assert in_joules(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (7, "7"), (7.25, "7.25"), (2048, "2.05 k"), (1e6, "1.00 M"), (65.2e6, "65.2 M")]
)
def test_counts(value: float, expected: str) -> None:
    assert in_short(value) == expected


def test_units() -> None:
    assert unit_of(59e-6) == (pytest.approx(1e-6), "µJ")
    assert unit_of(0) == (1, "J")
    assert unit_of(1e-20) == (pytest.approx(1e-12), "pJ")
