"""Which maps are kept step by step."""

from __future__ import annotations

import pytest

from spikesam.pipeline.maps.steps import kept_steps
from spikesam.recordings.errors import InputError


@pytest.mark.parametrize(
    ("asked", "steps", "stepped"),
    [
        ("pictured", (0, 1, 2, 3, 4), 4),
        ("all", (0, 1, 2, 3, 4), 7),
        ("none", (), 0),
        ("1:3", (1, 2), 7),
        (" :2 ", (0, 1), 7),
        ("3:", (3, 4), 7),
        (":", (0, 1, 2, 3, 4), 7),
        ("::2", (0, 2, 4), 7),
        ("1::3", (1, 4), 7),
        (":4:3", (0, 3), 7),
        ("0:999999999:999999999", (0,), 7),
    ],
)
def test_each_form(asked: str, steps: tuple[int, ...], stepped: int) -> None:
    assert kept_steps(asked, 5, 7) == (steps, stepped)


@pytest.mark.parametrize(("pictured", "expected"), [(0, ((), 0)), (1, ((0, 1), 1)), (3, ((0, 1), 3)), (9, ((0, 1), 3))])
def test_pictured_are_at_most_all_samples(pictured: int, expected: tuple[tuple[int, ...], int]) -> None:
    assert kept_steps("pictured", 2, 3, pictured) == expected


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "some",
        "ALL",
        "3",
        "-1:",
        ":-1",
        "::-1",
        "::0",
        "::00",
        "1:2:3:4",
        "1.5:",
        "a:b",
        "1 :2",
        "0:1,2:3",
        "١:",
        "1234567890:",
    ],
)
def test_what_means_nothing(asked: str) -> None:
    with pytest.raises(InputError, match='^steps: got .*, expected "pictured", "all", "none", or first:last:every'):
        kept_steps(asked, 5, 7)


@pytest.mark.parametrize("asked", ["5:", "2:2", "3:1", ":0", "999999999:"])
def test_what_means_no_step(asked: str) -> None:
    with pytest.raises(InputError, match=f"^steps: '{asked}' means none of the 5 steps, 0 to 4$"):
        kept_steps(asked, 5, 7)
