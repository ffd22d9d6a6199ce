"""Checkpoints: a float32 network with its class names and image preparation, in one file that executes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backends.network.graph import Network
from backends.network.storage import read_format, read_network, write_network
from pipeline.bundled import bundled
from pipeline.config import Config
from pipeline.images.preprocessing import Preprocessing
from recordings.errors import InputError

from .plan import LayerPlan, outline, plan_layers

BUNDLED = bundled("checkpoints")
ANN_FORMAT = "relu-network"  # of the files that ann_checkpoint writes; kept here, where torch is not needed


@dataclass(frozen=True)
class Checkpoint:
    """A network and what is needed to use it on images.

    Parameters
    ----------
    network : Network, usually float32
    preprocessing : of the images it was trained on
    classes : identifiers, in the order of the readout
    class_names : the same for people
    """

    network: Network
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        planes, height, width = self.network.input_shape
        expected, what = (6, "ON and OFF planes of RGB") if self.network.encoder == "poisson" else (3, "RGB currents")
        if (planes, height, width) != (expected, self.preprocessing.height, self.preprocessing.width):
            raise InputError(
                f"checkpoint: the network's input is {planes}×{height}×{width}, but its images are prepared as {what}, "
                f"{expected}×{self.preprocessing.height}×{self.preprocessing.width}"
            )
        if not len(self.classes) == len(self.class_names) == self.network.classes:
            raise InputError(
                f"checkpoint: {len(self.classes)} classes with {len(self.class_names)} names, but the network has "
                f"{self.network.classes} outputs"
            )

    @property
    def plans(self) -> tuple[LayerPlan, ...]:
        """The network's layers, as a description of it would give them."""
        layers = self.network.layers
        return tuple(LayerPlan(layer.name, layer.kind, len(layer.weight), layer.pool) for layer in layers)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as safetensors."""
    about = {
        "preprocessing": asdict(checkpoint.preprocessing),
        "classes": checkpoint.classes,
        "class_names": checkpoint.class_names,
    }
    write_network(checkpoint.network, path, {"checkpoint": json.dumps(about)})


def load_checkpoint(name_or_path: str) -> Checkpoint:
    """Load a bundled checkpoint by name, or any by path.

    Raises
    ------
    InputError : if there is none, or the file is not a checkpoint
    """
    path = find_checkpoint(name_or_path)
    if read_format(path) == ANN_FORMAT:
        raise InputError(
            f"{path}: an ANN, which does not spike; convert it with python -m pipeline.convert {name_or_path}, or "
            "choose a spiking network"
        )
    network, metadata = read_network(path)
    if "checkpoint" not in metadata:
        raise InputError(
            f"{path}: a network without class names and image preparation; make a checkpoint with save_checkpoint()"
        )
    try:
        about = json.loads(metadata["checkpoint"])
        preprocessing = parse_preprocessing(about["preprocessing"])
        classes, names = tuple(map(str, about["classes"])), tuple(map(str, about["class_names"]))
        return Checkpoint(network, preprocessing, classes, names)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from None
        raise InputError(f"{path}: its checkpoint metadata is incomplete or malformed: {error!r}") from None


def find_checkpoint(name_or_path: str, ann: bool = False) -> Path:
    """The file of a bundled checkpoint, or `name_or_path` itself.

    Raises
    ------
    InputError : if there is neither; lists the bundled ANNs, or spiking networks
    """
    path = BUNDLED / f"{name_or_path}.safetensors"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.exists():
        bundled = ", ".join(bundled_names(ann))
        raise InputError(f"checkpoint {name_or_path!r}: neither a bundled one ({bundled}) nor a file")
    if path.is_dir():
        inside = path / "checkpoint.safetensors"
        hint = f"; did you mean {inside}?" if inside.is_file() else ", expected a checkpoint file"
        raise InputError(f"checkpoint {name_or_path!r}: is a folder{hint}")
    return path


def bundled_names(ann: bool = False) -> list[str]:
    """Names of the bundled spiking networks, or of the bundled ANNs, which end in "-ann"."""
    return sorted(file.stem for file in BUNDLED.glob("*.safetensors") if file.stem.endswith("-ann") == ann)


def parse_preprocessing(parts: dict[str, Any]) -> Preprocessing:
    """Image preparation from a file's metadata; raises what a malformed one leads to."""
    mean, std = tuple(map(float, parts["mean"])), tuple(map(float, parts["std"]))
    return Preprocessing(int(parts["height"]), int(parts["width"]), mean, std)


def check_fit(checkpoint: Checkpoint, config: Config, name: str) -> None:
    """Refuse a checkpoint that contradicts the sections of a configuration file that describe it.

    Raises
    ------
    InputError : naming the key, what the file says and what the checkpoint holds
    """
    network, prepare = checkpoint.network, checkpoint.preprocessing
    contradictions: dict[str, tuple[object, object]] = {}
    if "network" in config.model_fields_set:
        contradictions["network.layers"] = (outline(plan_layers(config.network.layers)), outline(checkpoint.plans))
        if config.network.neuron == "lif":  # how many steps a converted network takes is up to its conversion
            contradictions["network.timesteps"] = (config.network.timesteps, network.timesteps)
    if "data" in config.model_fields_set:
        size = (config.data.height, config.data.width)
        contradictions["data.height, data.width"] = (size, (prepare.height, prepare.width))
        contradictions["data.mean, data.std"] = ((config.data.mean, config.data.std), (prepare.mean, prepare.std))
        if config.data.classes is not None:
            contradictions["data.classes"] = (config.data.classes, checkpoint.classes)
    for key, (wanted, held) in contradictions.items():
        if wanted != held:
            raise InputError(
                f"checkpoint {name!r} does not fit the configuration: {key} is {wanted}, the checkpoint has {held}; "
                "choose the checkpoint or the configuration that belongs to it"
            )
