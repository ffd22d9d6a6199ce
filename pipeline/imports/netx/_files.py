"""A `.net` file of unknown origin: nothing is read of it but the numbers that lava-dl writes, once
they were looked at.

It is HDF5. `/layer/0`, `/layer/1` … hold one layer each: `type`, arrays, and in `neuron` the
constants of its neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.recordings.hdf5 import CheckedFile

MOST_LAYERS = 1000
MOST_BYTES = 1 << 30  # of all arrays in a file, once they are unpacked
LONGEST_TYPE = 64  # characters of the type of a layer, or of neurons

KINDS = ("input", "conv", "pool", "dense", "flatten", "average")
NEURONS = ("CUBA", "LOIHI")
SYNAPSES = (
    "inFeatures",
    "outFeatures",
    "inChannels",
    "outChannels",
    "kernelSize",
    "stride",
    "padding",
    "dilation",
)
PARTS = frozenset(("type", "shape", "weight", "bias", *SYNAPSES, "groups", "delay", "neuron"))
LOIHI = ("iDecay", "vDecay", "vThMant", "theta", "refDelay", "wgtExp", "gradedSpike", "messageBits")
CONSTANTS = frozenset(("type", *LOIHI, "scaleRho", "tauRho"))

Numbers = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class FileLayer:
    """A layer as a file has it."""

    number: int  # in the file, from 0
    kind: str  # one of :data:`KINDS`
    values: Numbers  # arrays by name
    neuron: Numbers | None  # constants of its neurons by name; None if it has none

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"layer {self.number} ({self.kind})"


def read_layers(path: str | PathLike[str]) -> tuple[list[FileLayer], int | None]:
    """The layers of a file in order, and the steps of a sample, if the file says them."""
    opener = f"{__name__}:{read_layers.__name__}"
    checked = CheckedFile(path, "network", "a lava-dl .net file", opener)  # type: ignore[arg-type]
    with checked.file:
        return _Reader(checked).file()


class _Reader:
    def __init__(self, checked: CheckedFile) -> None:
        self.checked = checked

    def file(self) -> tuple[list[FileLayer], int | None]:
        root = self.checked.root
        names = self.names(root, "/", frozenset(("layer", "simulation")))
        if "layer" not in names:
            raise self.checked.fail("/", "HDF5 without a group 'layer'", "a lava-dl .net file")
        layers = self.checked.group(root, "layer")
        layer_names = self.checked.children(layers, MOST_LAYERS)
        expected = [str(number) for number in range(len(layer_names))]
        if set(layer_names) != set(expected) or not layer_names:
            raise self.checked.fail(
                "/layer",
                ", ".join(layer_names) or "nothing",
                "groups 0, 1, 2 …, one for each layer",
            )
        file_layers = [self.layer(layers, name) for name in expected]
        return file_layers, self.steps(root) if "simulation" in names else None

    def names(
        self, group: h5py.h5g.GroupID, group_path: str, known_names: frozenset[str]
    ) -> list[str]:
        """The content of a group, all of it known."""
        children = self.checked.children(group, len(known_names))
        if unknown := sorted(set(children) - known_names):
            path = f"{group_path.rstrip('/')}/{unknown[0]}"
            raise self.checked.fail(
                path, "an unknown path", f"some of {', '.join(sorted(known_names))}"
            )
        return children

    def layer(self, layers: h5py.h5g.GroupID, name: str) -> FileLayer:
        group_path = f"/layer/{name}"
        group = self.checked.group(layers, name)
        kind = self.kind(group, group_path, "layer", KINDS)
        names = self.names(group, group_path, PARTS)
        values = {
            name: self.numbers(group, name, group_path)
            for name in names
            if name not in ("type", "neuron")
        }
        if "neuron" not in names:
            return FileLayer(int(name), kind, values, None)
        neuron_path = f"{group_path}/neuron"
        neuron = self.checked.group(group, "neuron")
        self.kind(neuron, neuron_path, "neurons", NEURONS)
        constants = self.names(neuron, neuron_path, CONSTANTS)
        return FileLayer(
            int(name),
            kind,
            values,
            {
                constant: self.numbers(neuron, constant, neuron_path)
                for constant in constants
                if constant != "type"
            },
        )

    def steps(self, root: h5py.h5g.GroupID) -> int | None:
        group = self.checked.group(root, "simulation")
        if "tSample" not in self.names(group, "/simulation", frozenset(("Ts", "tSample"))):
            return None
        sample_time = self.numbers(group, "tSample", "/simulation")
        if sample_time.size != 1 or sample_time.dtype.kind not in "iu":
            raise self.checked.fail(
                "/simulation/tSample",
                f"{sample_time.dtype} of shape {sample_time.shape}",
                "one integer",
            )
        return int(sample_time.item())

    def kind(
        self, group: h5py.h5g.GroupID, group_path: str, owner: str, known_kinds: tuple[str, ...]
    ) -> str:
        path = f"{group_path}/type"
        if "type" not in self.checked.children(group, 64):
            raise self.checked.fail(path, "missing", f"the type of the {owner}")
        dataset = self.checked.data(group, "type")
        with self.checked.reading(path):
            type_id = dataset.get_type()
            text = isinstance(type_id, h5py.h5t.TypeStringID)
            if not text or dataset.shape not in ((), (1,)) or type_id.get_size() > LONGEST_TYPE:
                raise self.checked.fail(
                    path, f"{dataset.dtype} of shape {dataset.shape}", "one short text"
                )
            value = np.ravel(np.asarray(h5py.Dataset(dataset)[()], object))[0]
        stored_kind = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if stored_kind not in known_kinds:
            expected = ", ".join(known_kinds)
            raise self.checked.fail(
                path,
                f"{owner} of type {stored_kind[:LONGEST_TYPE]!r}",
                f"{expected}{_REASONS[owner]}",
            )
        return stored_kind

    def numbers(self, group: h5py.h5g.GroupID, name: str, group_path: str) -> NDArray[Any]:
        """An array, which is finite."""
        path = f"{group_path}/{name}"
        dataset = self.checked.data(group, name, "a group, as of complex weights")
        with self.checked.reading(path):
            if dataset.dtype.kind not in "biuf":
                raise self.checked.fail(path, str(dataset.dtype), "numbers")
            self.checked.count_bytes(dataset, MOST_BYTES)
            array = np.asarray(h5py.Dataset(dataset)[()])
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise self.checked.fail(path, "no value, or one that is not finite", "finite numbers")
        return array


_REASONS = {
    "layer": "; recurrent and transposed ones and sums are not read",
    "neurons": (
        "; sigma-delta and resonating neurons, whose spikes are graded or phases, have "
        "other equations"
    ),
}
