"""The file of maps (sam.h5, …), whatever made them: its layout and what it may hold.

    /                             attributes format="spike-maps", schema_version=5, complete, content_digest, T, method,
                                  stepped: how many of the first samples have maps step by step; and as
                                  :data:`METHODS` says the digest of what was explained and the method's parameters
    /samples/index                (N,) int64    position in the data set
    /samples/label                (N,) int32    class, -1 where unknown
    /samples/prediction           (N,) int32    class that the network chose, -1 where unknown
    /layers/<NNN_name>/sum        (N, H, W) float32, maps summed over the steps that matter, finite and ≥ 0; attributes
                                  axes, and steps: how many first steps can change the answer, and are summed
    /layers/<NNN_name>/sum_digest (N,) S64, SHA-256, hexadecimal, of the sample's H × W float32, little-endian

Where `stepped` is not 0, maps step by step stand beside the sums:

    /steps                        (S,) int32    the steps that are kept, ascending, of 0 … T - 1
    /layers/<NNN_name>/<method>   (stepped, S, H, W) float32, raw maps of the first samples, finite and ≥ 0; attribute
                                  axes
    /layers/<NNN_name>/<method>_digest   (stepped,) S64, SHA-256, hexadecimal, of the sample's S × H × W float32

Maps and sums are stored in chunks of one sample and at most 1 MiB, of whole steps or rows, deflate + fletcher32.

Plain HDF5 1.10, readable with h5py alone: `h5py.File("sam.h5")["layers/001_conv1/sum"][0]`. Layers have the names and
numbers they have in a raster; dense layers have no spatial extent and are absent. An ANN's maps have one step, and so
have attributions, which are of the input. Grad-CAM is for the label or, where that is -1, for the prediction; relevance
and attributions are for the prediction; SAM needs neither. Sums are
made of all steps that matter, whichever steps are kept; they are added in float64 and rounded once. Where a method has
signs, sums and maps are the positive parts, a sum that of the signed values' sum. The file appears under its name when
complete.
`content_digest` is made as in a raster (FORMAT.md): of every attribute above, those of a layer under the paths of its
sum and of its maps, then of index, label, prediction, steps, and of every layer's digests. The maps of one sample take
at most 2³⁰ bytes, those of one step and layer at most 2²⁶.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from recordings.errors import InputError
from recordings.layers import check_name, group_name
from recordings.schema import MAX_DATASET_BYTES, MAX_LAYERS, DatasetSpec, check_size

FORMAT = "spike-maps"
SCHEMA_VERSION = 5
SUM_AXES, AXES = "sample, row, column", "sample, step, row, column"
SUM = DatasetSpec("sum", ("N", "H", "W"), np.dtype("<f4"), deflate=True)
MAPS = DatasetSpec("maps", ("N", "S", "H", "W"), np.dtype("<f4"), deflate=True)
DIGEST = DatasetSpec("digest", ("N",), np.dtype("S64"))
STEPS = DatasetSpec("steps", ("S",), np.dtype("<i4"))
MAX_STEP_BYTES = 1 << 26  # of one map
ROOT_ATTRIBUTES: dict[str, type] = {
    "format": str,
    "schema_version": int,
    "complete": bool,
    "content_digest": str,
    "T": int,
    "method": str,
    "stepped": int,
}
SUM_ATTRIBUTES: dict[str, type] = {"axes": str, "steps": int}
MAPS_ATTRIBUTES: dict[str, type] = {"axes": str}


@dataclass(frozen=True)
class Method:
    """What a file says about maps of one kind.

    Parameters
    ----------
    source : root attribute with the SHA-256 of what was explained
    parameters : further root attributes and their types
    title : what the maps are called, for people
    shows : what they show, for people
    target : the class they speak for, "none", "label" (the prediction where that is unknown) or "prediction"
    """

    source: str
    parameters: Mapping[str, type]
    title: str
    shows: str
    target: Literal["none", "label", "prediction"]


METHODS = {
    "sam": Method(
        "raster_digest",
        {"gamma": float, "variant": str, "include_current": bool},
        "Spike Activation Map",
        "Where neurons fire in short intervals",
        "none",
    ),
    "relevance": Method(
        "raster_digest",
        {"network_sha256": str, "rule": str},
        "Relevance of spikes",
        "What the answer rests on",
        "prediction",
    ),
    "grad-cam": Method("network_sha256", {}, "Grad-CAM of the ANN", "What speaks for the class", "label"),
    "snn-grad-cam": Method(
        "network_sha256", {"seed": int}, "SNN-crafted Grad-CAM", "What speaks for the class", "label"
    ),
    "graph-sam": Method(
        "network_sha256",
        {"gamma": float, "variant": str, "seed": int},
        "Spike Activation Map, formed in the network's graph",
        "Where neurons fire in short intervals",
        "none",
    ),
} | {
    name: Method("network_sha256", {"seed": int}, title, "What speaks for the class", "prediction")
    for name, title in {
        "gradient-x-input": "Gradient × input",
        "integrated-gradients": "Integrated gradients",
        "occlusion": "Occlusion",
        "rise": "RISE",
    }.items()
}


@dataclass(frozen=True)
class MapLayer:
    """One layer that has maps.

    Parameters
    ----------
    name : such as "conv1"
    number : depth of the layer; 0 is the input
    shape : (H, W)
    steps_that_matter : how many of the first steps can still change the answer, 1 … T
    """

    name: str
    number: int
    shape: tuple[int, int]
    steps_that_matter: int

    @property
    def group(self) -> str:
        """Name of its group in the file: "001_conv1"."""
        return group_name(self.number, self.name)


@dataclass(frozen=True)
class MapHeader:
    """What the maps were computed from, and how.

    Parameters
    ----------
    method : a key of :data:`METHODS`
    source : identity of what was explained (for SAM the raster's digest), 64 hexadecimal digits
    parameters : those of the method; gamma, in 1/step, is finite and ≥ 0
    timesteps : T ≥ 1
    layers : in order of depth
    steps : those of which maps are kept beside the sums, ascending
    stepped : how many of the first samples have them; 0 if and only if there are no such steps
    """

    method: str
    source: str
    parameters: Mapping[str, Any] = field(hash=False)
    timesteps: int
    layers: tuple[MapLayer, ...]
    steps: tuple[int, ...] = ()
    stepped: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method is {self.method[:80]!r}, expected one of {', '.join(METHODS)}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.source):
            name = METHODS[self.method].source
            raise InputError(f"{name} is {self.source[:80]!r}, expected 64 hexadecimal digits")
        if self.parameters.keys() != METHODS[self.method].parameters.keys():
            expected = ", ".join(METHODS[self.method].parameters) or "none"
            raise InputError(f"parameters of {self.method} are {', '.join(self.parameters)}, expected {expected}")
        gamma = self.parameters.get("gamma", 0.0)
        if not (math.isfinite(gamma) and gamma >= 0):
            raise InputError(f"gamma is {gamma}, expected a finite number ≥ 0")
        check_size("timesteps", self.timesteps, "T")
        steps = list(self.steps)
        if steps != sorted(set(steps)) or (steps and not 0 <= steps[0] <= steps[-1] < self.timesteps):
            raise InputError(f"steps are {str(steps)[:80]}, expected ascending numbers of 0 to {self.timesteps - 1}")
        if self.stepped < 0 or bool(self.stepped) != bool(steps):
            raise InputError(
                f"{self.stepped} samples have maps of {len(steps)} steps, expected both above 0 or neither"
            )
        for layer in self.layers:
            check_name(layer.name)
            height, width = layer.shape
            if not (min(layer.shape) >= 1 and MAPS.dtype.itemsize * height * width <= MAX_STEP_BYTES):
                raise InputError(
                    f"layer {layer.name!r}: maps of {height}×{width}, "
                    f"expected 1 to {MAX_STEP_BYTES // MAPS.dtype.itemsize:,} pixels"
                )
            if not 1 <= layer.steps_that_matter <= self.timesteps:
                raise InputError(
                    f"layer {layer.name!r}: {layer.steps_that_matter} steps matter, expected 1 to {self.timesteps}"
                )
        if self.sample_bytes > MAX_DATASET_BYTES:
            raise InputError(
                f"maps of one sample: {self.sample_bytes:,} bytes in {len(self.layers)} layers, "
                f"expected at most {MAX_DATASET_BYTES:,}; choose fewer layers or steps"
            )
        numbers = [layer.number for layer in self.layers]
        in_range = all(0 <= number <= MAX_LAYERS for number in numbers)
        if not in_range or numbers != sorted(set(numbers)) or len({layer.name for layer in self.layers}) < len(numbers):
            named = ", ".join(f"{layer.number} {layer.name}" for layer in self.layers)
            raise InputError(f"layers are {named}; expected different names, and ascending numbers from 0 on")

    @property
    def kept(self) -> str:
        """What is kept of each sample, for people."""
        if not self.stepped:
            return "sums alone"
        steps = "all steps" if len(self.steps) == self.timesteps else f"{len(self.steps)} of {self.timesteps} steps"
        return f"sums, and {steps} of {self.stepped} sample{'s' * (self.stepped > 1)}"

    def sizes(self, layer: MapLayer, n_samples: int) -> dict[str, int]:
        """What the symbols of :data:`SUM` stand for, and with `stepped` samples those of :data:`MAPS`."""
        height, width = layer.shape
        return {"N": n_samples, "S": len(self.steps), "H": height, "W": width}

    @property
    def sample_bytes(self) -> int:
        """Bytes of all that is kept of one sample."""
        return MAPS.dtype.itemsize * (len(self.steps) + 1) * sum(math.prod(layer.shape) for layer in self.layers)

    def sum_path(self, layer: MapLayer) -> str:
        """Where the sums of a layer lie in the file."""
        return f"/layers/{layer.group}/{SUM.name}"

    def path(self, layer: MapLayer) -> str:
        """Where the maps of a layer lie in the file, step by step."""
        return f"/layers/{layer.group}/{self.method}"

    def tables(self) -> list[str]:
        """Where the steps and the digests lie, in the order in which the content digest takes them."""
        digests = [digest_path(self.sum_path(layer)) for layer in self.layers]
        if not self.stepped:
            return digests
        return ["/steps", *digests, *(digest_path(self.path(layer)) for layer in self.layers)]


def digest_path(maps: str) -> str:
    """Where the digests of a dataset of sums or maps lie."""
    return f"{maps}_{DIGEST.name}"
