"""A laboratory of small untrained networks and noisy images, in which every experiment runs in
seconds.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from paper.common.settings import PaperConfig, PaperSection
from paper.common.setup import Setup
from spikesam.pipeline.config import DataSection
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
