"""A laboratory of small untrained networks and noisy images, in which every experiment runs in seconds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pipeline.ann import ReluNetwork
from pipeline.ann_checkpoint import AnnCheckpoint, save_ann
from pipeline.config import DataSection
from pipeline.paper.lab import Lab
from pipeline.paper.settings import PaperConfig, PaperSection
from pipeline.preprocess import Preprocessing
from tests.pipeline.networks import CLASSES, SMALL, class_folders, small_checkpoint


def small_lab(path: Path, **settings: Any) -> Lab:
    """Nine images of three classes, a spiking network and its ANN twin; `settings` are those of `[paper]`."""
    path.mkdir(parents=True, exist_ok=True)
    data = path / "images"
    if not data.exists():
        class_folders(data, per_class=3)
        small_checkpoint(path / "snn.safetensors")
        small_ann(path / "ann.safetensors")
    section = PaperSection(
        **{"checkpoint": str(path / "snn.safetensors"), "ann": str(path / "ann.safetensors"), "shown": 2, **settings}
    )
    config = PaperConfig(data=DataSection(source=str(data), height=16, width=24), network=SMALL, paper=section)
    return Lab(config, path / "out", Console(file=io.StringIO(), width=200))


def small_ann(path: Path) -> Path:
    """A checkpoint file of an untrained ANN with the layers of the small spiking network."""
    torch.manual_seed(0)
    model = ReluNetwork(SMALL.layers, 3, 16, 24, len(CLASSES)).eval()
    preprocessing = Preprocessing(16, 24, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    save_ann(AnnCheckpoint(model, preprocessing, CLASSES, tuple(name.upper() for name in CLASSES)), path)
    return path
