"""Small recordings of events, and files of them."""

from pathlib import Path

import numpy as np

from spikesam.pipeline.images.events.camera import EventCamera
from spikesam.pipeline.images.events.events import Events

SIDE, FRAMES = 12, 10  # pixels, frames
DIRECTIONS = ("left", "right")


def bar(direction: str, start: float) -> Events:
    """A bright upright bar that moves over a sensor of 12×12 pixels in 9 ms."""
    x = np.arange(SIDE)[None, :]
    place = start + np.arange(FRAMES)[:, None] * (0.5 if direction == "right" else -0.5)
    ink = np.clip(2 - np.abs(x - place), 0, 1)
    return EventCamera().record(
        np.repeat(0.2 + ink[:, None], SIDE, axis=1),
        np.arange(FRAMES) * 1000,
        np.random.default_rng(0),
    )


def bar_folders(path: Path, per_class: int) -> Path:
    """Class folders of bars that move left or right, in the format of N-MNIST."""
    random = np.random.default_rng(0)
    for name in DIRECTIONS:
        for number in range(per_class):
            nmnist_file(
                path / name / f"{number:02d}.bin", bar(name, random.uniform(4, 8)), (11, 11)
            )
    return path


def nmnist_file(path: Path, events: Events, corner: tuple[int, int] = (0, 0)) -> Path:
    """A file in the format of N-MNIST, the events moved by (x, y) pixels; its folder is made if it
    is missing.
    """
    rows = zip(
        events.t.tolist(),
        events.x.tolist(),
        events.y.tolist(),
        events.polarity.tolist(),
        strict=True,
    )
    data = [
        bytes([x + corner[0], y + corner[1]]) + (p << 23 | t).to_bytes(3, "big")
        for t, x, y, p in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(data))
    return path
