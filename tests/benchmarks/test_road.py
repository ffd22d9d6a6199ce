"""From image files to maps: the files that are made, and the commands."""

from __future__ import annotations

import pytest

from benchmarks import road
from benchmarks.common.measurement import Options
from benchmarks.road import Command
from spikesam.pipeline.networks.checkpoint import load_checkpoint


def test_image_files_are_in_the_layout_of_tiny_imagenet(tmp_path):
    from spikesam.pipeline.images.datasets import open_dataset

    items = list(open_dataset(str(road.tiny_imagenet(tmp_path / "data", 12, 0)), "val"))
    assert [item.index for item in items] == list(range(12))
    assert [item.label for item in items] == [*range(10), 0, 1]
    assert {item.image.size for item in items} == {(64, 64)}
    for item in items:
        x0, y0, x1, y1 = item.box
        assert 0 <= x0 <= x1 - 16
        assert 0 <= y0 <= y1 - 16
        assert max(x1, y1) <= 64
    assert load_checkpoint(road.CHECKPOINT).classes == open_dataset(str(tmp_path / "data"), "val").classes


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"exit code 3: no such thing"):
        Command(("-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"), tmp_path / "new")()


def test_a_command_is_watched_with_its_children(tmp_path):
    held = "x = b'1' * (200 << 20); import time; time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    assert Command(("-c", parent), tmp_path / "new").peak() > 200 << 20


def test_image_files_are_timed_and_their_memory_is_measured(tmp_path):
    rows = list(road.image_files(road.Sizes(files=(1, 2)), Options(repeats=1), tmp_path))
    assert {row.way.split(":")[0].split(",")[0] for row in rows} == {road.NOW}
    peaks = [row for row in rows if row.unit == "MB"]
    assert [row.case for row in peaks] == [f"{road.CHECKPOINT}, {count} JPEG files" for count in (1, 2)]
    assert all(row.median > 50 for row in peaks)  # what Python and NumPy take
