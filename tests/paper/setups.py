"""A laboratory of small untrained networks and noisy images, in which every experiment runs in
seconds.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from paper.common.images import ImageSet
from paper.common.settings import PaperConfig, PaperSection
from paper.common.setup import Setup
from spikesam import Preprocessing
from spikesam.settings import DataSection
from tests.pipeline.small_networks import SMALL, class_folders, small_ann, small_checkpoint


def small_setup(path: Path, sections: Mapping[str, Any] | None = None, **settings: Any) -> Setup:
    """Nine images of three classes, a spiking network and its ANN twin; `settings` are those of
    `[paper]`.
    """
    (path / "out").mkdir(parents=True, exist_ok=True)
    data = path / "images"
    if not data.exists():
        class_folders(data, per_class=3)
        small_checkpoint(path / "snn.safetensors")
        small_ann(path / "ann.safetensors")
    section = PaperSection(
        **{
            "checkpoint": str(path / "snn.safetensors"),
            "ann": str(path / "ann.safetensors"),
            "shown": 2,
            "rules": (),
            **settings,
        }
    )
    known = {
        "data": DataSection(source=str(data), height=16, width=24),
        "network": SMALL,
        "paper": section,
    }
    return Setup(
        PaperConfig(**known | dict(sections or {})),
        path / "out",
        Console(file=io.StringIO(), width=200),
    )


def image_set(
    count: int = 6, height: int = 8, width: int = 12, classes: int = 3, masks: bool = True
) -> ImageSet:
    """Noise; with `masks` each image has one of 3×3 pixels."""
    random = np.random.default_rng(0)
    masks_of_images: list[NDArray[np.bool_] | None] = []
    for _ in range(count):
        mask = np.zeros((height, width), np.bool_)
        mask[2:5, random.integers(width - 3) :][:, :3] = True
        masks_of_images.append(mask if masks else None)
    return ImageSet(
        "toys",
        random.standard_normal((count, 3, height, width)).astype(np.float32),
        np.arange(count) % classes,
        100 + np.arange(count),
        tuple(masks_of_images),
        Preprocessing(height, width, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)),
    )
