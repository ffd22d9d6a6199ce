"""Sizes as people read them."""

from spikesam.recordings.disk import readable


def test_sizes_are_written_as_people_read_them() -> None:
    assert [readable(size) for size in (0, 999, 1000, 1_540_000, 2e9, 3e15)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "1.5 MB",
        "2.0 GB",
        "3000.0 TB",
    ]
