"""Small networks and images for end-to-end tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.networks.checkpoint import Checkpoint, load, save
from spikesam.pipeline.training.trainable import ReluNetwork, SpikingNetwork, export_network
from tests.layers import with_first

CLASSES = ("apple", "pear", "plum")
PREPARE = Preprocessing(16, 24, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SMALL = NetworkSection(layers=(4, "P", 6, "P4", "D8"), timesteps=8, leak=0.9)
CONFIG = """
[data]
source = "images"
height = 16
width = 24

[network]
layers = [4, "P", 6, "P4", "D8"]
timesteps = 8

[training]
epochs = 2
batch_size = 8
precision = "float32"

[conversion]
timesteps = 16
calibration = 8
"""
PAPER = '[paper]\ncheckpoint = "snn.safetensors"\nann = "ann.safetensors"\nimages = 6\nshown = 1\n'


def small_model(
    height: int = 16, width: int = 24, network: NetworkSection = SMALL, seed: int = 0
) -> SpikingNetwork:
    """An untrained network whose BNTT statistics are not the initial ones, so that every layer
    spikes.
    """
    torch.manual_seed(seed)
    model = SpikingNetwork(network, (3, height, width), len(CLASSES)).eval()
    for layer in model.layers:
        for norm in (
            layer.bntt[layer.depth - 1 :] if layer.bntt else ()
        ):  # earlier steps are never seen in training
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.05, 0.3)
    return model


def small_checkpoint(path: Path) -> Path:
    """A checkpoint file of :func:`small_model`."""
    names = tuple(name.upper() for name in CLASSES)
    save(Checkpoint(export_network(small_model()), PREPARE, CLASSES, names), path)
    return path


def constant_current_checkpoint(path: Path) -> Path:
    """A checkpoint file of the same network, whose first layer takes RGB as a constant current
    instead of spikes.
    """
    checkpoint = load(str(small_checkpoint(path)))
    network = checkpoint.network
    first = with_first(network.layers[0], weight=network.layers[0].inputs[0].weight[:, :3])
    layers = (first, *network.layers[1:])
    network = replace(network, input_shape=(3, 16, 24), layers=layers, encoder="constant-current")
    save(replace(checkpoint, network=network), path)
    return path


def class_folders(
    path: Path, per_class: int = 4, classes: tuple[str, ...] = CLASSES, size: int = 40
) -> Path:
    """Class folders of noisy images whose colour tells the class."""
    random = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.integers(0, 120, (size, size + 10, 3))
            pixels[..., label % 3] += 130
            Image.fromarray(pixels.astype(np.uint8)).save(path / name / f"{number}.png")
    return path


def run_words(folder: Path, per_class: int) -> list[str]:
    """A network and images of its classes in a folder, as words of `run`."""
    checkpoint, images = (
        small_checkpoint(folder / "small.safetensors"),
        class_folders(folder / "images", per_class),
    )
    return ["--checkpoint", str(checkpoint), "--data", str(images)]


def small_ann_model() -> ReluNetwork:
    """An untrained ANN of the layers of :func:`small_model`."""
    torch.manual_seed(0)
    return ReluNetwork(SMALL.layers, (3, 16, 24), len(CLASSES)).eval()


def small_ann(path: Path) -> Path:
    """A checkpoint file of :func:`small_ann_model`."""
    names = tuple(name.upper() for name in CLASSES)
    save(Checkpoint(export_network(small_ann_model()), PREPARE, CLASSES, names), path)
    return path


def small_workplace(folder: Path, per_class: int, size: int = 40) -> Path:
    """Put networks of both kinds, images of their classes and configurations into a folder in which
    commands run.
    """
    small_checkpoint(folder / "snn.safetensors")
    small_ann(folder / "ann.safetensors")
    class_folders(folder / "images", per_class, size=size)
    (folder / "small.toml").write_text(CONFIG)
    (folder / "paper.toml").write_text(CONFIG + PAPER)
    return folder
