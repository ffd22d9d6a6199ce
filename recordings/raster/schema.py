"""The raster format in one table: every name, dtype, chunk rule and cap (FORMAT.md says the same in
prose).
"""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from numbers import Integral
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesam.common.errors import InputError, at
from spikesam.common.parsing import parse_json
from spikesam.recordings.digests import raster_digest
from spikesam.recordings.raster.batch import chosen_classes, packed_bytes
from spikesam.recordings.schema import (
    DIGEST,
    MAX_DATASET_BYTES,
    MAX_LAYERS,
    MAX_SIZES,
    MAX_TEXT,
    RASTER_STAMP,
    DatasetSpec,
    Header,
    NamedLayer,
    check_cap,
    check_name,
    sample_datasets,
    steps_that_matter,
)

PRECISIONS = {"fixed": np.dtype("<i4"), "float32": np.dtype("<f4")}  # and the dtype of the readout
KINDS = ("input", "conv", "dense")
OUTPUTS = ("classes", "values")  # the meanings of a readout: scores of classes, or numbers
SPIKE_AXES = "sample, step, bits of (channel, row, column)"

# Root attribute -> its type, and the field of the header that it holds.
FIELDS: dict[str, tuple[type, str]] = {
    "backend": (str, "backend"),
    "device": (str, "device"),
    "precision": (str, "precision"),
    "T": (int, "timesteps"),
    "K": (int, "classes"),
    "layer_delay": (int, "layer_delay"),
    "dt": (float, "dt"),
    "seed": (int, "seed"),
    "network_sha256": (str, "network_sha256"),
    "dataset": (str, "dataset"),
    "config": (str, "config"),
}
ROOT_ATTRIBUTES: dict[str, type] = {
    **{name: kind for name, (kind, _) in FIELDS.items()},
    "format": str,
    "schema_version": int,
    "complete": bool,
    "run_uuid": str,
    "versions": str,  # JSON: distribution -> version
    "raster_digest": str,
    "content_digest": str,
}
OPTIONAL_ATTRIBUTES: dict[str, type] = {
    "window": int,  # of networks that were imported from models without delay
    "outputs": str,  # of a readout of numbers that are no classes
}
READOUT_ATTRIBUTES: dict[str, type] = {"scale": float}
LAYER_FIELDS: dict[str, type] = {"shape": tuple, "kind": str, "threshold": float, "leak": float}
# of layers of a network that is no chain
GRAPH_ATTRIBUTES: dict[str, type] = {"to_readout": int, "start": int}
LAYER_DATASETS = {"spikes", "count", "digest"}

_DISTRIBUTIONS = (
    *("spikesam", "numpy", "h5py", "isal", "numba", "torch"),
    *("snntorch", "spikingjelly", "norse", "sinabs", "lava-dl", "lava-nc"),
)


@dataclass(frozen=True)
class LayerSpec(NamedLayer):
    """One raster of the file; 0 is the number of the encoded input, which it lacks where that has
    no spikes.
    """

    shape: tuple[int, int, int]  # (C, H, W); dense layers (C, 1, 1)
    kind: str  # "input", "conv" or "dense"
    # in the units of the simulation; 0 where there is none, it is unknown, or channels differ in it
    threshold: float
    leak: float  # alike
    to_readout: int | None = (
        # steps that a spike needs at least to get there; None in a chain, whose numbers say it
        None
    )
    # step at which it answers the first of the model's, where its distance to the readout does not
    # say it
    start: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        where = f"layer {self.name!r}"
        if self.kind not in KINDS:
            raise InputError(f"{where}: kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"{where}: shape is {self.shape}, expected positive (C, H, W)")
        if self.step_bytes > MAX_SIZES["bytes"]:
            raise InputError(
                f"{where}: {self.neurons:,} neurons, expected at most {8 * MAX_SIZES['bytes']:,}"
            )
        if not (math.isfinite(self.threshold) and math.isfinite(self.leak)):
            raise InputError(
                f"{where}: threshold {self.threshold}, leak {self.leak}; expected finite numbers"
            )
        if self.to_readout is not None and not 0 <= self.to_readout < 1 << 31:
            raise InputError(
                f"{where}: to_readout is {self.to_readout}, expected steps, at least 0"
            )
        if self.start is not None and not 0 <= self.start < 1 << 31:
            raise InputError(f"{where}: start is {self.start}, expected a step, at least 0")

    @property
    def neurons(self) -> int:
        """C·H·W."""
        return math.prod(self.shape)

    @property
    def step_bytes(self) -> int:
        """Bytes of one packed step."""
        return packed_bytes(self.neurons)

    def attributes(self) -> dict[str, Any]:
        """Attributes of its spikes in the file."""
        fields = {name: kind(getattr(self, name)) for name, kind in LAYER_FIELDS.items()} | {
            "axes": SPIKE_AXES
        }
        graph = {name: getattr(self, name) for name in GRAPH_ATTRIBUTES}
        return fields | {name: number for name, number in graph.items() if number is not None}


@dataclass(frozen=True, kw_only=True)
class RasterHeader(Header):
    """Statements of a raster about the run it comes from; an InputError names the field that cannot
    be.
    """

    STAMP, JOINED = RASTER_STAMP, ("backend", "device")

    backend: str  # who simulated it, and on what; runs resumed elsewhere join theirs with "+"
    device: str
    precision: str  # "fixed" or "float32"
    timesteps: int  # T ≥ 1
    dt: float  # seconds per step; metadata only
    seed: int = 0  # of the encoding, 0 ≤ seed < 2⁶³
    network_sha256: str = (
        ""  # identity of the network, 64 hexadecimal digits; empty where it is unknown
    )
    dataset: str  # identity of the data
    config: str  # JSON text, the resolved configuration of the run
    layers: tuple[
        LayerSpec, ...
    ]  # recorded, in order of depth; the last always, from which steps that matter count
    classes: int = 0  # K, width of the readout; 0 where it is unknown
    readout_scale: float = 1.0  # real value of one raw unit of the readout; 1 where that is unknown
    layer_delay: int = 1  # steps that each synapse layer takes, 0 or 1; decides which steps matter
    window: int | None = (
        None  # steps of the model that the network was imported from; None where all T are its own
    )
    outputs: str = "classes"  # or "values", numbers that are no classes, as one alone always is

    def __post_init__(self) -> None:
        check_outputs(self.outputs, "outputs")
        if self.classes == 1:
            object.__setattr__(self, "outputs", "values")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}"
            )
        check_cap("timesteps", self.timesteps, "T")
        if self.classes:
            check_cap("classes", self.classes, "K")
        elif self.readout_scale != 1:
            raise InputError(
                f"readout_scale is {self.readout_scale}, expected 1 where there is no readout"
            )
        is_whole = isinstance(self.layer_delay, Integral) and not isinstance(self.layer_delay, bool)
        if not is_whole or self.layer_delay not in (0, 1):
            raise InputError(f"layer_delay is {self.layer_delay}, expected 0 or 1 step")
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise InputError(f"dt is {self.dt}, expected seconds per step, above 0")
        if not 0 <= self.seed < 1 << 63:
            raise InputError(f"seed is {self.seed}, expected 0 ≤ seed < 2⁶³")
        if not re.fullmatch(r"([0-9a-f]{64})?", self.network_sha256):
            raise InputError(
                f"network_sha256 is {self.network_sha256[:80]!r}, expected 64 hexadecimal digits, "
                "or none"
            )
        if not math.isfinite(self.readout_scale):
            raise InputError(f"readout_scale is {self.readout_scale}, expected a finite number")
        texts = {name: getattr(self, name) for name in ("backend", "device", "dataset", "config")}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InputError(f"{name} is {text!r:.80}, expected a text")
        if max(map(len, texts.values())) > MAX_TEXT:
            raise InputError(
                f"backend, device, dataset and config may have {MAX_TEXT:,} characters each, not "
                "more"
            )
        for name, text in texts.items():
            if re.search("[\0\ud800-\udfff]", text):
                raise InputError(
                    f"{name} holds a null character or half a surrogate pair, which HDF5 cannot "
                    "store"
                )
        with at("config"):
            parse_json(self.config)
        names = [layer.name for layer in self.layers]
        if not 1 <= len(names) <= MAX_LAYERS:
            raise InputError(f"{len(names)} layers, expected 1 to {MAX_LAYERS}")
        previous = -1
        for layer in self.layers:
            if not previous < layer.number < MAX_LAYERS or (layer.kind == "input") != (
                layer.number == 0
            ):
                numbers = ", ".join(f"{layer.number} {layer.name}" for layer in self.layers)
                raise InputError(
                    f"layers are {numbers}; expected ascending numbers, 0 being the input"
                )
            previous = layer.number
            if self.timesteps * layer.step_bytes > MAX_DATASET_BYTES:
                raise InputError(
                    f"layer {layer.name!r}: {self.timesteps} steps of {layer.step_bytes:,} bytes, "
                    f"expected at most {MAX_DATASET_BYTES:,} bytes per sample"
                )
        if len(set(names)) < len(names):
            raise InputError(f"layers are {', '.join(names)}; expected different names")
        longest = min(map(self._steps_left, self.layers))
        if self.window is not None and not 1 <= self.window <= longest:
            raise InputError(
                f"window is {self.window}, expected 1 to {longest} of {self.timesteps} steps"
            )

    def attributes(self) -> dict[str, Any]:
        """Root attributes that files of the same run have in common."""
        return {
            **self.STAMP.attributes,
            "versions": versions(),
            **{name: kind(getattr(self, field)) for name, (kind, field) in FIELDS.items()},
            **({} if self.window is None else {"window": self.window}),
            **({} if self.outputs == "classes" else {"outputs": self.outputs}),
        }

    def datasets(self, n_samples: int) -> list[DatasetSpec]:
        """All datasets of a file of so many samples; tables in the order in which the content
        digest takes them.
        """
        specs = sample_datasets(n_samples)
        if self.classes:
            attributes: dict[str, Any] = {"scale": float(self.readout_scale)}
            shape: tuple[int, ...] = (n_samples, self.classes)
            specs.append(
                DatasetSpec("/readout", shape, PRECISIONS[self.precision], attributes=attributes)
            )
        for layer in self.layers:
            shape, digests = (n_samples, self.timesteps, layer.step_bytes), layer.path("digest")
            specs += [
                DatasetSpec(
                    layer.path("spikes"), shape, np.dtype("u1"), digests, layer.attributes()
                ),
                DatasetSpec(layer.path("count"), shape[:2], np.dtype("<u4")),
                DatasetSpec(digests, shape[:1], DIGEST),
            ]
        return specs

    def derived(self, table: Callable[[str], NDArray[Any]]) -> dict[str, str]:
        """The digest of all spikes."""
        return {
            "raster_digest": raster_digest(table(layer.path("digest")) for layer in self.layers)
        }

    @property
    def has_classes(self) -> bool:
        """True where the readout says which class each sample is."""
        return self.classes > 0 and self.outputs == "classes"

    def predictions(self, readout: NDArray[Any]) -> NDArray[np.int32]:
        """(B,) classes of a readout (B, K), see :func:`chosen_classes`; -1 where it has none."""
        if not self.has_classes:
            return np.full(len(readout), -1, np.int32)
        return chosen_classes(readout)

    def values(self, readout: NDArray[Any]) -> NDArray[np.float64]:
        """(B, K) of raw sums, in the units of the model's outputs."""
        return readout.astype(np.float64) * self.readout_scale

    def steps_that_matter(self, layer: LayerSpec) -> int:
        """The number of first steps of a layer that can still change the answer."""
        return steps_that_matter(self.timesteps, self._to_readout(layer))

    def window_of(self, layer: LayerSpec) -> slice:
        """The steps of a layer that a model has, too: all, or `window` of them; the layer is silent
        at the others.
        """
        if self.window is None:
            return slice(0, self.timesteps)
        start = layer.start
        if start is None:
            start = self.timesteps - self._to_readout(layer) - self.window
        return slice(start, start + self.window)

    def _steps_left(self, layer: LayerSpec) -> int:
        """The most steps that a window of a layer can have."""
        start = self._to_readout(layer) if layer.start is None else layer.start
        return self.timesteps - start

    def _to_readout(self, layer: LayerSpec) -> int:
        along_a_chain = self.layer_delay * (self.layers[-1].number - layer.number)
        return along_a_chain if layer.to_readout is None else layer.to_readout


def check_outputs(outputs: object, argument: str) -> None:
    """Refuse what is no meaning of a readout."""
    if outputs not in OUTPUTS:
        raise InputError(f"{argument}: got {outputs!r}, expected {' or '.join(map(repr, OUTPUTS))}")


@cache
def versions() -> str:
    """Versions of Python, HDF5 and the libraries at hand as JSON, without importing any."""
    versions = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for name in _DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return json.dumps(versions)
