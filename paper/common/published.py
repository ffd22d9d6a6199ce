"""The VGG11 that the paper's authors trained and publish as a file: its gains, its network, Fig. 5
and 6b from it.

Their README names a file elsewhere (`PATH/TO/MODEL.pth.tar`), which was not read here. Their script
says what it holds: `state_dict`, of a module wrapped in `DataParallel`, with `conv1` … `conv8`,
`fc1`, `fc2`, and for every step a batch normalisation `bn1_list` … `bn8_list`, `bnfc_list`; images
of 64×64; λ = 0.99 and a threshold of 1. Classes are in the order of their identifiers, as
torchvision's `ImageFolder` gives them. Its layers fire a step late, as ours do: no bit of the
network changes. (The networks of their repository of BNTT, whose lists are called `bntt1`, do not.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paper import fig5, fig6
from paper.common.setup import Setup
from spikesam import Checkpoint, InputError, Preprocessing, RasterReader
from spikesam.commands import open_file
from spikesam.data import open_dataset
from spikesam.errors import printable
from spikesam.settings import NetworkSection
from spikesam.training import SpikingNetwork, export_network

SIDE, LEAK, CONVOLUTIONS, POOLED = (
    64,
    0.99,
    8,
    (2, 3, 5, 7),
)  # these convolutions come behind a pooling
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAME = re.compile(
    r"(?:module\.)?(?:conv([1-8])\.(weight)|bn([1-8]|fc)_list\.(\d+)\.(\w+)|fc([12])\.(weight))"
)
LATE = "*"
SCALAR = np.float64(0).__reduce__()[0]
NUMBERS = [
    (SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")
]  # an accuracy, by NumPy 1 and 2
PLAIN: list[Any] = [*NUMBERS, np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8"))]


def published_model(path: Path) -> SpikingNetwork:
    """The network in a file of the authors, of any width, number of steps and classes; nothing in
    the file is run.
    """
    found = {_ours(path, str(name)): value for name, value in _state(path).items()}
    try:
        widths = [
            len(found[f"layers.{layer}.synapses.weight"]) for layer in range(CONVOLUTIONS + 1)
        ]
        classes = len(found["readout.weight"])
    except KeyError as error:
        raise InputError(
            f"{path}: no {error} of the authors' VGG11, which has conv1 … conv8, fc1 and fc2"
        ) from None
    layers: list[int | str] = []
    for number, width in enumerate(widths[:-1], 1):
        layers += ["P", width] if number in POOLED else [width]
    steps = sum(re.fullmatch(r"layers\.0\.bntt\.\d+\.weight", name) is not None for name in found)
    network = NetworkSection(
        layers=(*layers, "P4", f"D{widths[-1]}"), timesteps=steps or 1, leak=LEAK
    )
    model = SpikingNetwork(network, (3, SIDE, SIDE), classes)
    expected = model.state_dict()
    for name in expected | found:
        here, there = (
            tuple(state[name].shape) if name in state else "none" for state in (expected, found)
        )
        if here != there:
            raise InputError(
                f"{path}: {name} has shape {there}, expected {here}, as in the authors' VGG11"
            )
    model.load_state_dict(found)
    return model.eval()


def _state(path: Path) -> dict[str, torch.Tensor]:
    with open_file(path) as file:
        try:
            with torch.serialization.safe_globals(PLAIN):
                state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
            if all(isinstance(value, torch.Tensor) for value in state.values()):
                return dict(state)
        except MemoryError:
            raise
        except (
            Exception
        ):  # whatever a file raises that is something else; torch would advise to run its code
            pass
    raise InputError(
        f"{path}: not a file of torch.save with tensors in `state_dict`, which can be read without "
        "its code"
    )


def _ours(path: Path, name: str) -> str:
    """A parameter's name in our network."""
    found = NAME.fullmatch(name)
    if found is None:
        raise InputError(
            f"{path}: got {printable(name, 60)!r}, expected names of the authors' model.py: "
            "conv1.weight, bn1_list.0.weight, bnfc_list.0.weight, fc1.weight, …"
        )
    conv, _, norm, step, part, dense, _ = found.groups()
    if dense == "2":
        return "readout.weight"
    layer = CONVOLUTIONS if dense == "1" or norm == "fc" else int(conv or norm) - 1
    return f"layers.{layer}.bntt.{step}.{part}" if norm else f"layers.{layer}.synapses.weight"


def gains(model: SpikingNetwork) -> Iterator[str]:
    """Lines of a table: BNTT's gain of each layer at each step, mean over channels; a star where it
    is too late.

    A gain of step t is that of spikes which arrive at t, so its neurons fire at t + 1.
    """
    yield "step  " + "  ".join(f"{plan.name:>7}" for plan in model.plans)
    last = (
        model.timesteps - len(model.plans) - 1
    )  # of the first layer whose spikes can still change the answer
    for step in range(model.timesteps):
        cells = []
        for number, layer in enumerate(model.layers):
            gain = float(layer.bntt[step].weight.detach().mean())  # type: ignore[index, union-attr]
            cells.append(f"{gain:7.3f}" + (LATE if step > last + number else " "))
        yield f"{step:4}  " + " ".join(cells).rstrip()
    yield (
        f"mean of the channels' gains; {LATE}: too late to change the answer, so without a gradient"
    )


def imported(model: SpikingNetwork, source: str) -> Checkpoint:
    """A checkpoint of it for the classes of a data set, sorted by their identifiers."""
    data = open_dataset(source, "val")
    names = dict(sorted(zip(data.classes, data.class_names, strict=True)))
    if len(names) != model.readout.out_features:
        raise InputError(
            f"{source}: has {len(names)} classes, the file's network {model.readout.out_features}"
        )
    return Checkpoint(
        export_network(model),
        Preprocessing(SIDE, SIDE, MEAN, STD),
        tuple(names),
        tuple(names.values()),
    )


def figures(setup: Setup) -> Iterator[str]:
    """Draw Fig. 5 and 6b of the surrogate-trained network alone; yields what was found, line by
    line.
    """
    name, network = "surrogate", setup.networks.surrogate.network
    path = setup.recording(network, setup.images)
    with RasterReader(path) as raster:
        right = (raster.predictions == raster.samples.label).mean()
    yield f"right on {right:.1%} of {len(setup.images)} images"
    fig5.draw(setup, {name: network}, "fig5")
    fig6.draw_rates(setup, {name: path})
    for claim in fig5.activity_claims(fig5.activities(setup, path)):
        yield f"{claim.same}: {claim.what} (paper: {claim.paper}): {claim.ours}; n = {claim.n}"
