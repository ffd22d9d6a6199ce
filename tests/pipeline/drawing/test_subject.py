"""What is said of a sample, whatever is known of it, and without a plotting library."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spikesam.pipeline.drawing.subject import RIGHT, WRONG, Subject


@pytest.mark.parametrize(
    ("classes", "right", "caption", "facts", "colour"),
    [
        (("lion", "lion"), True, "lion ✓", "photo 3, predicted lion, is lion", RIGHT),
        (("lion", "cat"), False, "lion ✗\nis cat", "photo 3, predicted lion, is cat", WRONG),
        (("crane", "crane"), False, "crane ✗\nis crane", "photo 3, predicted crane, is crane", WRONG),
        (("lion", None), None, "predicted\nlion", "photo 3, predicted lion", "black"),
        ((None, "cat"), None, "is cat", "photo 3, is cat", "black"),
        ((None, None), None, "photo 3", "photo 3", "black"),
    ],
)
def test_words(
    classes: tuple[str | None, str | None], right: bool | None, caption: str, facts: str, colour: str
) -> None:
    subject = Subject("photo 3", *classes, right=right)
    assert (subject.caption, ", ".join(subject.facts), subject.colour) == (caption, facts, colour)


def test_what_is_seen_at_a_step() -> None:
    image = np.zeros((2, 2, 3))
    assert Subject("photo").seen(3) is None
    assert Subject("photo", image=image).seen(3) is image
    moving = Subject("film", image=image, frames=np.arange(3)[:, None, None, None] * np.ones((3, 2, 2, 3)))
    assert [moving.seen(step).max() for step in (-1, 0, 2, 5)] == [0, 0, 2, 2]


def test_no_plotting_library_is_imported() -> None:
    script = "import sys, spikesam.pipeline.drawing.subject; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
