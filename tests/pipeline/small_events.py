"""Small recordings of events, and files of them."""

from pathlib import Path
from typing import Any

import h5py
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


TIMES = [[0.5, 0.25, 1.0], [0.125]]


UNITS = [[699, 3, 0], [7]]


def spoken_words(path: Path, **changes: Any) -> Path:
    """A file in the format of SHD; `changes` replace datasets,
    or leave them out if they are None.
    """
    number = {"spikes/times": h5py.vlen_dtype("float32"), "spikes/units": h5py.vlen_dtype("uint16")}
    given = {"spikes/times": TIMES, "spikes/units": UNITS, "labels": np.array([1, 0], "u2")}
    given |= {"extra/keys": np.array([b"zero", b"eins"])} | changes
    with h5py.File(path, "w") as file:
        for name, content in given.items():
            if content is None:
                continue
            if name in number and isinstance(content, list):
                dataset = file.create_dataset(name, (len(content),), number[name], chunks=True)
                for position, values in enumerate(content):
                    dataset[position] = np.array(values, h5py.check_vlen_dtype(number[name]))
            else:
                file[name] = content
    return path
