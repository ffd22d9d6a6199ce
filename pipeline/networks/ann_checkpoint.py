"""ANN checkpoints: a ReLU network with its class names and image preparation, in one file that executes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from backends.network.storage import FORMAT, read_tensors, write_tensors
from pipeline.images.preprocessing import Preprocessing
from recordings.errors import InputError

from .ann import ReluNetwork
from .checkpoint import ANN_FORMAT, Checkpoint, find_checkpoint, parse_preprocessing
from .plan import count_inputs, outline, plan_layers


@dataclass(frozen=True)
class AnnCheckpoint:
    """An ANN and what is needed to use it on images.

    Parameters
    ----------
    model : in evaluation mode
    preprocessing : of the images it was trained on
    classes : identifiers, in the order of the readout
    class_names : the same for people
    """

    model: ReluNetwork
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        shape, prepare = self.model.input_shape, self.preprocessing
        if shape != (3, prepare.height, prepare.width):
            raise InputError(
                f"ANN checkpoint: the network's input is {'×'.join(map(str, shape))}, but its images are prepared as "
                f"3×{prepare.height}×{prepare.width}"
            )
        outputs = self.model.readout.out_features
        if not len(self.classes) == len(self.class_names) == outputs:
            raise InputError(
                f"ANN checkpoint: {len(self.classes)} classes with {len(self.class_names)} names, but the network has "
                f"{outputs} outputs"
            )

    @property
    def sha256(self) -> str:
        """Identity of the layers and every weight."""
        digest = hashlib.sha256(json.dumps([self.model.description, self.model.input_shape]).encode())
        for _, weight in sorted(_arrays(self.model).items()):
            digest.update(weight.astype("<f4").tobytes())
        return digest.hexdigest()


def save_ann(checkpoint: AnnCheckpoint, path: Path) -> None:
    """Write an ANN checkpoint as safetensors."""
    about = {
        "layers": checkpoint.model.description,
        "preprocessing": asdict(checkpoint.preprocessing),
        "classes": checkpoint.classes,
        "class_names": checkpoint.class_names,
    }
    write_tensors(_arrays(checkpoint.model), path, {"format": ANN_FORMAT, "checkpoint": json.dumps(about)})


def load_ann(name_or_path: str) -> AnnCheckpoint:
    """Load a bundled ANN by name ("cluttered-digits-ann"), or any by path; its model is in evaluation mode.

    Raises
    ------
    InputError : if there is none, or the file is not an ANN checkpoint
    """
    path = find_checkpoint(name_or_path, ann=True)
    tensors, metadata = read_tensors(path)
    if metadata.get("format") == FORMAT:
        raise InputError(
            f'{path}: a spiking network, expected an ANN; train one with network.neuron = "relu", or take a bundled one'
        )
    if metadata.get("format") != ANN_FORMAT:
        raise InputError(f"{path}: safetensors, but not an ANN checkpoint (no {ANN_FORMAT!r} metadata)")
    try:
        about = json.loads(metadata["checkpoint"])
        preprocessing = parse_preprocessing(about["preprocessing"])
        classes, names = tuple(map(str, about["classes"])), tuple(map(str, about["class_names"]))
        expected = _shapes(about["layers"], preprocessing, len(classes))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its metadata is incomplete or malformed: {error!r}") from None
    found = {name: value.shape for name, value in tensors.items()}
    if found != expected:  # so a description allocates no more than the file holds
        raise InputError(f"{path}: holds weights {found}, expected {expected} of the layers it describes")
    if any(value.dtype.name != "float32" for value in tensors.values()):
        raise InputError(f"{path}: holds weights that are not float32")
    if not all(bool(torch.from_numpy(value).isfinite().all()) for value in tensors.values()):
        raise InputError(f"{path}: holds weights that are NaN or infinite")
    model = ReluNetwork(about["layers"], 3, preprocessing.height, preprocessing.width, len(classes))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    try:
        return AnnCheckpoint(model.eval(), preprocessing, classes, names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def check_twins(ann: AnnCheckpoint, checkpoint: Checkpoint, name: str) -> None:
    """Refuse an ANN that cannot be compared with a spiking network, image by image and layer by layer.

    Raises
    ------
    InputError : naming what differs
    """
    for what, held, wanted in (
        ("classes", ann.classes, checkpoint.classes),
        ("preprocessing", ann.preprocessing, checkpoint.preprocessing),
        ("layers (kind, outputs, pool)", outline(ann.model.plans), outline(checkpoint.plans)),
    ):
        if held != wanted:
            raise InputError(
                f"ANN {name!r} is no twin of the spiking network: its {what} are {held}, the other's {wanted}; "
                "choose the ANN of the same description"
            )


def _shapes(layers: Sequence[int | str], prepare: Preprocessing, classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a network described so."""
    plans = plan_layers(layers)
    counts = count_inputs(plans, 3, prepare.height, prepare.width)
    shapes: dict[str, tuple[int, ...]] = {"readout.weight": (classes, plans[-1].outputs)}
    for number, (plan, inputs) in enumerate(zip(plans, counts, strict=True)):
        kernel = (3, 3) if plan.kind == "conv" else ()
        shapes[f"synapses.{number}.weight"] = (plan.outputs, inputs, *kernel)
    return shapes


def _arrays(model: ReluNetwork) -> dict[str, NDArray[np.float32]]:
    return {name: value.detach().cpu().float().contiguous().numpy() for name, value in model.state_dict().items()}
