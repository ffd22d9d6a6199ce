"""The raster format in one table: every name, dtype, chunk rule and cap (FORMAT.md says the same in prose)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikesam.recordings.errors import InputError
from spikesam.recordings.layers import NamedLayer, check_name, steps_that_matter
from spikesam.recordings.parsing import parse_json
from spikesam.recordings.schema import MAX_DATASET_BYTES, MAX_LAYERS, MAX_SIZES, MAX_TEXT, DatasetSpec, check_size

FORMAT = "spike-raster"
SCHEMA_VERSION = 3

MAX_SHARD_SAMPLES = 16

PRECISIONS = {"fixed": np.dtype("<i4"), "float32": np.dtype("<f4")}  # and the dtype of the readout
KINDS = ("input", "conv", "dense")
SPIKE_AXES = "sample, step, bits of (channel, row, column)"

ROOT_ATTRIBUTES: dict[str, type] = {
    "format": str,
    "schema_version": int,
    "complete": bool,
    "run_uuid": str,
    "versions": str,  # JSON: distribution -> version
    "backend": str,
    "device": str,
    "precision": str,
    "T": int,
    "K": int,  # classes of the readout; 0 where it is unknown
    "layer_delay": int,  # steps that each synapse layer takes, 0 or 1
    "dt": float,  # seconds per step
    "seed": int,
    "network_sha256": str,
    "dataset": str,
    "config": str,  # JSON
    "raster_digest": str,
    "content_digest": str,
}
READOUT_ATTRIBUTES: dict[str, type] = {"scale": float}
LAYER_ATTRIBUTES: dict[str, type] = {"shape": tuple, "axes": str, "kind": str, "threshold": float, "leak": float}
GRAPH_ATTRIBUTES: dict[str, type] = {"to_readout": int}  # of layers of a network that is no chain
WINDOW_ATTRIBUTES: dict[str, type] = {"window": int}  # of networks that were imported from models without delay


READOUT_DATASETS = {name: DatasetSpec("readout", ("N", "K"), dtype) for name, dtype in PRECISIONS.items()}
LAYER_DATASETS = {
    "spikes": DatasetSpec("spikes", ("N", "T", "bytes"), np.dtype("u1"), deflate=True),
    "count": DatasetSpec("count", ("N", "T"), np.dtype("<u4")),
    "digest": DatasetSpec("digest", ("N",), np.dtype("S64")),
}
LAYER_TABLES = ("count", "digest")  # of LAYER_DATASETS, what the content digest covers
ROOT_PATHS = {"samples", "readout", "layers"}


@dataclass(frozen=True)
class LayerSpec(NamedLayer):
    """One raster of the file.

    Parameters
    ----------
    name : such as "conv1", an identifier
    number : depth of the layer; 0 is the encoded input, which a raster lacks where it has no spikes
    shape : (C, H, W); dense layers (C, 1, 1)
    kind : "input", "conv" or "dense"
    threshold, leak : of its neurons, in the units of the simulation; both 0 for the input, which has none, and where
        they are unknown; one of them is 0 where channels differ in it
    to_readout : steps that a spike needs at least to reach the readout; None where each layer reads the one before, so
        that numbers and `layer_delay` of the header say it
    """

    shape: tuple[int, int, int]
    kind: str
    threshold: float
    leak: float
    to_readout: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        where = f"layer {self.name!r}"
        if self.kind not in KINDS:
            raise InputError(f"{where}: kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"{where}: shape is {self.shape}, expected positive (C, H, W)")
        if self.step_bytes > MAX_SIZES["bytes"]:
            raise InputError(f"{where}: {self.neurons:,} neurons, expected at most {8 * MAX_SIZES['bytes']:,}")
        if not (math.isfinite(self.threshold) and math.isfinite(self.leak)):
            raise InputError(f"{where}: threshold {self.threshold}, leak {self.leak}; expected finite numbers")
        if self.to_readout is not None and not 0 <= self.to_readout < 1 << 31:
            raise InputError(f"{where}: to_readout is {self.to_readout}, expected steps, at least 0")

    @property
    def neurons(self) -> int:
        """C·H·W."""
        return math.prod(self.shape)

    @property
    def step_bytes(self) -> int:
        """Bytes of one packed step."""
        return -(-self.neurons // 8)


@dataclass(frozen=True)
class RasterHeader:
    """What a raster says about the run it comes from.

    Parameters
    ----------
    backend, device : who simulated it; runs resumed elsewhere join theirs with "+"
    precision : "fixed" or "float32"
    timesteps : T ≥ 1
    dt : seconds per step; metadata only
    seed : of the encoding, 0 ≤ seed < 2⁶³
    network_sha256 : identity of the network, 64 hexadecimal digits; empty where it is unknown
    dataset : identity of the data
    config : JSON text, the resolved configuration of the run
    layers : in order of their numbers, 0 being the input; numbers are missing where layers were not recorded, but the
        last one is always there: the steps that matter are counted from it
    classes : K, width of the readout; 0 where it is unknown
    readout_scale : real value of one raw unit of the readout; 1 where that is unknown
    layer_delay : steps that each synapse layer takes, 0 or 1; decides which steps matter
    window : steps of the model that the network was imported from, see :meth:`window_of`; None where all T are its own

    Raises
    ------
    InputError : naming the field, what it holds and what would be right
    """

    backend: str
    device: str
    precision: str
    timesteps: int
    dt: float
    seed: int
    network_sha256: str
    dataset: str
    config: str
    layers: tuple[LayerSpec, ...]
    classes: int
    readout_scale: float
    layer_delay: int = 1
    window: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        check_size("timesteps", self.timesteps, "T")
        if self.classes:
            check_size("classes", self.classes, "K")
        elif self.readout_scale != 1:
            raise InputError(f"readout_scale is {self.readout_scale}, expected 1 where there is no readout")
        if self.layer_delay not in (0, 1):
            raise InputError(f"layer_delay is {self.layer_delay}, expected 0 or 1 step")
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise InputError(f"dt is {self.dt}, expected seconds per step, above 0")
        if not 0 <= self.seed < 1 << 63:
            raise InputError(f"seed is {self.seed}, expected 0 ≤ seed < 2⁶³")
        if not re.fullmatch(r"([0-9a-f]{64})?", self.network_sha256):
            raise InputError(f"network_sha256 is {self.network_sha256[:80]!r}, expected 64 hexadecimal digits, or none")
        if not math.isfinite(self.readout_scale):
            raise InputError(f"readout_scale is {self.readout_scale}, expected a finite number")
        if max(len(text) for text in (self.backend, self.device, self.dataset, self.config)) > MAX_TEXT:
            raise InputError(f"backend, device, dataset and config may have {MAX_TEXT:,} characters each, not more")
        for name in ("backend", "device", "dataset", "config"):
            if re.search("[\0\ud800-\udfff]", getattr(self, name)):
                raise InputError(f"{name} holds a null character or half a surrogate pair, which HDF5 cannot store")
        parse_json(self.config, "config")
        names = [layer.name for layer in self.layers]
        if not 1 <= len(names) <= MAX_LAYERS:
            raise InputError(f"{len(names)} layers, expected 1 to {MAX_LAYERS}")
        before = -1
        for layer in self.layers:
            if not before < layer.number < MAX_LAYERS or (layer.kind == "input") != (layer.number == 0):
                numbers = ", ".join(f"{layer.number} {layer.name}" for layer in self.layers)
                raise InputError(f"layers are {numbers}; expected ascending numbers, 0 being the input")
            before = layer.number
            if self.timesteps * layer.step_bytes > MAX_DATASET_BYTES:
                raise InputError(
                    f"layer {layer.name!r}: {self.timesteps} steps of {layer.step_bytes:,} bytes, "
                    f"expected at most {MAX_DATASET_BYTES:,} bytes per sample"
                )
        if len(set(names)) < len(names):
            raise InputError(f"layers are {', '.join(names)}; expected different names")
        longest = self.timesteps - max(map(self._to_readout, self.layers))
        if self.window is not None and not 1 <= self.window <= longest:
            raise InputError(f"window is {self.window}, expected 1 to {longest} of {self.timesteps} steps")

    @classmethod
    def parse(cls, content: Any) -> RasterHeader:
        """A header of what `dataclasses.asdict` made of it, after a way through JSON.

        Raises
        ------
        InputError, KeyError, TypeError : if it is none
        """
        layers = tuple(LayerSpec(**{**layer, "shape": tuple(layer["shape"])}) for layer in content["layers"])
        return cls(**{**content, "layers": layers})

    def sizes(self, n_samples: int, layer: LayerSpec | None = None) -> dict[str, int]:
        """What the symbols of :class:`DatasetSpec` stand for, with "bytes" when a layer is given."""
        sizes = {"N": n_samples, "T": self.timesteps, "K": self.classes}
        return sizes | ({"bytes": layer.step_bytes} if layer else {})

    def steps_that_matter(self, layer: LayerSpec) -> int:
        """How many of the first steps of a layer can still change the answer, see :mod:`spikesam.recordings.layers`."""
        return steps_that_matter(self.timesteps, self._to_readout(layer))

    def window_of(self, layer: LayerSpec) -> slice:
        """The steps of a layer that a model has, too: all, or `window` of them; the layer is silent at the others."""
        if self.window is None:
            return slice(0, self.timesteps)
        stop = self.timesteps - self._to_readout(layer)
        return slice(stop - self.window, stop)

    def _to_readout(self, layer: LayerSpec) -> int:
        along_a_chain = self.layer_delay * (self.layers[-1].number - layer.number)
        return along_a_chain if layer.to_readout is None else layer.to_readout
