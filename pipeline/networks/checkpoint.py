"""Checkpoints: a network with its class names and image preparation, in one file that executes
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from spikesam.backends.network import Kind, Network
from spikesam.backends.network.graph import CONVERT
from spikesam.backends.network.storage import read_network, write_network
from spikesam.common.arguments import checked_arguments, checked_fields
from spikesam.common.errors import InputError, at
from spikesam.common.parsing import parse_json
from spikesam.common.text import LONGEST_NAME, printable, shorten
from spikesam.pipeline.config import Config
from spikesam.pipeline.drawing.notebook import Shown
from spikesam.pipeline.images.datasets.base import comparable
from spikesam.pipeline.images.events.binning import EventBinning
from spikesam.pipeline.images.preprocessing import Preprocessing
from spikesam.pipeline.networks.checkpoint_files import find_checkpoint
from spikesam.pipeline.networks.layer_list import outline, plan_layers

Preparation = Preprocessing | EventBinning


@checked_fields
@dataclass(frozen=True)
class Checkpoint(Shown):
    """A network, spiking or not, and what is needed to use it on images or events.

    Parameters
    ----------
    network : Network, usually float32
    preprocessing : of the images or events it was trained on; None if the caller brings arrays
        alone
    classes : identifiers, in the order of the readout
    class_names : in that order, for people
    """

    network: Network
    preprocessing: Preparation | None
    classes: tuple[str, ...]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not (
            isinstance(self.network, Network) and isinstance(self.preprocessing, Preparation | None)
        ):
            types = f"{type(self.network).__name__} and {type(self.preprocessing).__name__}"
            raise InputError(
                f"checkpoint: got {types}, expected a Network and its Preprocessing, EventBinning "
                "or None"
            )
        _check_preparation(self.network, self.preprocessing)
        for field in ("classes", "class_names"):
            names = getattr(self, field)
            if not (
                isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
            ):
                raise InputError(
                    f"checkpoint: {field} are {printable(repr(names), LONGEST_NAME)}, expected "
                    "texts"
                )
            object.__setattr__(self, field, tuple(names))
        if not len(self.classes) == len(self.class_names) == self.network.classes:
            raise InputError(
                f"checkpoint: {len(self.classes)} classes with {len(self.class_names)} names, but "
                f"the network has {self.network.classes} outputs"
            )

    def __repr__(self) -> str:
        """One line: the classes, and the network."""
        return (
            f"<Checkpoint of {printable(shorten(self.class_names), LONGEST_NAME)}: "
            f"{self.network!r}>"
        )

    def _parts(self) -> Iterator[str]:
        yield f"classes: {printable(shorten(self.class_names), LONGEST_NAME)}"
        yield str(self.network)

    def _picture(self) -> bytes:
        from spikesam.pipeline.drawing.network import (
            draw_network,
        )  # matplotlib takes a second to import

        return draw_network(self.network)._repr_png_()

    def is_called(self, classes: Sequence[str]) -> bool:
        """True if its classes are these, in this order, each by its identifier or its name."""
        words, *identifiers_and_names = (
            [comparable(name) for name in names]
            for names in (classes, self.classes, self.class_names)
        )
        return len(words) == len(identifiers_and_names[0]) and all(
            word in spellings
            for word, *spellings in zip(words, *identifiers_and_names, strict=True)
        )

    @property
    def preparation(self) -> Preparation:
        """The preparation of images or events; an InputError if the network takes spikes alone."""
        if self.preprocessing is None:
            value_kind, value_range = (
                ("spikes", "0 and 1")
                if self.network.encoder == "spikes"
                else ("numbers", "floating point")
            )
            axes = "(N, C, H, W)" if self.network.takes_images else "(T, N, C, H, W)"
            saved = (
                "; for images, import it by from_torch(…, preprocessing=spikesam.Preprocessing(…))"
            )
            saved *= self.network.takes_images
            raise InputError(
                f"data: the network takes {value_kind} that the caller brings; give an array "
                f"{axes} of {value_range}{saved}"
            )
        return self.preprocessing

    @property
    def image_preprocessing(self) -> Preprocessing:
        """The preparation of images; an InputError if the network takes events or spikes."""
        if not isinstance(self.preprocessing, Preprocessing):
            takes = "spikes" if self.preprocessing is None else "events"
            raise InputError(
                f"checkpoint: the network takes {takes}, expected one that takes images"
            )
        return self.preprocessing


@checked_arguments
def save(checkpoint: Checkpoint | Network, path: str | PathLike[str]) -> None:
    """Write a checkpoint as safetensors; its folder is made if it is missing.

    A plain network becomes a checkpoint whose classes are called by their numbers, and whose input
    the caller brings as arrays: `spikesam.simulate(path, arrays)`. For `spikesam run`, give a
    :class:`Checkpoint` with preprocessing.
    """
    path = Path(path)
    if isinstance(checkpoint := checkpoint_held(checkpoint), Network):
        checkpoint = named_network(checkpoint)
    if not isinstance(checkpoint, Checkpoint):
        raise InputError(
            f"save: got {type(checkpoint).__name__}, expected a Checkpoint or a Network"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    description = {
        "preprocessing": None
        if checkpoint.preprocessing is None
        else asdict(checkpoint.preprocessing),
        "classes": checkpoint.classes,
        "class_names": checkpoint.class_names,
    }
    write_network(checkpoint.network, path, {"checkpoint": json.dumps(description)})


def checkpoint_held(source: Any) -> Any:
    """The checkpoint of what holds one, such as a conversion; anything else as it is."""
    checkpoint = getattr(source, "checkpoint", None)
    return checkpoint if isinstance(checkpoint, Checkpoint) else source


def named_network(
    network: Network, class_names: Sequence[str] = (), preprocessing: Preparation | None = None
) -> Checkpoint:
    """A network with names of its classes, their numbers if none are given, and the preparation of
    its images.
    """
    names = tuple(class_names) or tuple(map(str, range(network.classes)))
    return Checkpoint(network, preprocessing, names, names)


@checked_arguments
def load(name_or_path: str | PathLike[str], kind: Kind | None = None) -> Checkpoint:
    """Load a bundled checkpoint by name, or any by path.

    Parameters
    ----------
    name_or_path : a bundled checkpoint's name, such as "cluttered-digits", or a file, such as
        "runs/digits/checkpoint.safetensors"
    kind : what the network must be, "snn" or "ann"; either if not given

    Raises
    ------
    InputError : if there is none, the file is not a checkpoint, or its network is of the other kind

    Examples
    --------
    >>> import spikesam
    >>> checkpoint = spikesam.load("cluttered-digits")
    >>> checkpoint.class_names[:3], checkpoint.network.timesteps
    (('0', '1', '2'), 16)
    """
    path = find_checkpoint(str(name_or_path), kind)
    network, metadata = read_network(path)
    if kind == "snn" and network.kind == "ann":
        raise InputError(
            f"{path}: an ANN, which does not spike, expected a spiking network", CONVERT
        )
    if kind == "ann" and network.kind == "snn":
        raise InputError(
            f'{path}: a spiking network, expected an ANN; train one with network.neuron = "relu", '
            "or take a bundled one"
        )
    if "checkpoint" not in metadata:
        raise InputError(
            f"{path}: a network without class names and image preparation; make a checkpoint with "
            "save()"
        )
    try:
        with at("checkpoint metadata"):
            description = parse_json(metadata["checkpoint"])
        return Checkpoint(
            network,
            _preparation(description["preprocessing"]),
            description["classes"],
            description["class_names"],
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = printable(repr(error), 200)
        raise InputError(
            f"{path}: its checkpoint metadata is incomplete or malformed: {reason}"
        ) from None


def check_fit(checkpoint: Checkpoint, config: Config, name: str) -> None:
    """Refuse a checkpoint that contradicts the sections of a configuration file that describe
    it.
    """
    network, prepare, data = checkpoint.network, checkpoint.preprocessing, config.data
    pairs: dict[
        str, tuple[object, object]
    ] = {}  # what the checkpoint holds, and what the file says
    if "network" in config.model_fields_set:
        pairs["network.layers"] = (network.outline, outline(plan_layers(config.network.layers)))
        if (
            config.network.neuron == "lif"
        ):  # what a converted network takes, and how long, is up to its conversion
            pairs["network.encoder"] = (network.encoder, config.network.encoder)
            pairs["network.timesteps"] = (network.timesteps, config.network.timesteps)
    if "data" in config.model_fields_set and prepare is not None:
        pairs["data.height, data.width"] = (
            (prepare.height, prepare.width),
            (data.height, data.width),
        )
        if isinstance(prepare, Preprocessing):
            pairs["data.mean, data.std"] = ((prepare.mean, prepare.std), (data.mean, data.std))
        else:
            pairs["data.window_us, data.binning"] = (
                (prepare.window_us, prepare.by),
                (data.window_us, data.binning),
            )
        if data.classes is not None and not checkpoint.is_called(data.classes):
            pairs["data.classes"] = (checkpoint.classes, data.classes)
    for key, (in_checkpoint, configured) in pairs.items():
        if in_checkpoint != configured:
            raise InputError(
                f"checkpoint {name!r} does not fit the configuration: {key} is {configured}, the "
                f"checkpoint has {in_checkpoint}; choose the checkpoint or the configuration that "
                "belongs to it"
            )


def _check_preparation(network: Network, prepare: Preparation | None) -> None:
    kinds: tuple[type, ...]
    if network.takes_images:
        kinds, takes = (Preprocessing, type(None)), "images (Preprocessing, or None)"
    elif network.spiking_input:
        kinds, takes = (EventBinning, type(None)), "spikes (EventBinning, or None)"
    else:
        kinds, takes = (type(None),), "numbers of every step (None)"
    if not isinstance(prepare, kinds):
        raise InputError(f"checkpoint: got {type(prepare).__name__}, but the network takes {takes}")
    if prepare is None:
        return
    if isinstance(prepare, EventBinning):
        data_kind, expected = "events, OFF and ON", prepare.input_shape
        if prepare.bins > network.timesteps:
            raise InputError(
                f"checkpoint: {prepare.bins} bins of events do not fit into the network's "
                f"{network.timesteps} steps"
            )
    else:
        colours = "RGB" if prepare.channels == 3 else "grey"
        planes = 2 if network.encoder == "poisson" else 1
        data_kind = f"ON and OFF planes of {colours}" if planes == 2 else colours
        expected = (planes * prepare.channels, prepare.height, prepare.width)
    if network.input_shape != expected:
        input_sides, prepared_sides = (
            "×".join(map(str, shape)) for shape in (network.input_shape, expected)
        )
        raise InputError(
            f"checkpoint: the network's input is {input_sides}, but its data are prepared as "
            f"{data_kind}, {prepared_sides}"
        )


def _preparation(parts: dict[str, Any] | None) -> Preparation | None:
    if parts is None:
        return None
    if "bins" in parts:
        return EventBinning(**parts)
    return Preprocessing(**{**parts, "mean": tuple(parts["mean"]), "std": tuple(parts["std"])})
