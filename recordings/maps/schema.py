"""The format of files of maps (sam.h5, …), whatever made them; FORMAT.md says the same in prose."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from spikesam.common.errors import InputError
from spikesam.recordings.schema import (
    DIGEST,
    MAPS_STAMP,
    MAX_DATASET_BYTES,
    MAX_LAYERS,
    DatasetSpec,
    Header,
    NamedLayer,
    check_cap,
    check_name,
    sample_datasets,
)

SUM = "sum"
SUM_AXES, AXES = "sample, row, column", "sample, step, row, column"
MAP, STEP = np.dtype("<f4"), np.dtype("<i4")
MAX_STEP_BYTES = 1 << 26  # of one map
MAX_PARAMETERS = 32
ROOT_ATTRIBUTES: dict[str, type] = {
    "format": str,
    "schema_version": int,
    "complete": bool,
    "content_digest": str,
    "T": int,
    "method": str,
    "stepped": int,
}
SourceName = Literal["raster_digest", "network_sha256"]
Parameter = str | bool | int | float


@dataclass(frozen=True)
class MapLayer(NamedLayer):
    """One layer that has maps."""

    shape: tuple[int, int]  # (H, W)
    steps_that_matter: int  # how many of the first steps can still change the answer, 1 … T


@dataclass(frozen=True)
class MapHeader(Header):
    """Source of the maps, and how they were computed from it."""

    STAMP = MAPS_STAMP

    method: str  # its name, such as "snn-grad-cam"
    source: (
        str  # identity of what was explained (for SAM the raster's digest), 64 hexadecimal digits
    )
    parameters: Mapping[str, Parameter] = field(
        hash=False
    )  # of the method, such as "gamma"; real ones finite and ≥ 0
    timesteps: int  # T ≥ 1
    layers: tuple[MapLayer, ...]  # in order of depth
    steps: tuple[int, ...] = ()  # those of which maps are kept beside the sums, ascending
    stepped: int = (
        0  # how many of the first samples have them; 0 if and only if there are no such steps
    )
    source_name: SourceName = "raster_digest"  # the attribute that holds the source

    def __post_init__(self) -> None:
        if not is_method_name(self.method):
            raise InputError(f"method is {self.method[:80]!r}, expected a name such as 'grad-cam'")
        if not re.fullmatch(r"[0-9a-f]{64}", self.source):
            raise InputError(
                f"{self.source_name} is {self.source[:80]!r}, expected 64 hexadecimal digits"
            )
        self._check_parameters()
        check_cap("timesteps", self.timesteps, "T")
        steps = list(self.steps)
        if steps != sorted(set(steps)) or (
            steps and not 0 <= steps[0] <= steps[-1] < self.timesteps
        ):
            raise InputError(
                f"steps are {str(steps)[:80]}, expected ascending numbers of 0 to "
                f"{self.timesteps - 1}"
            )
        if self.stepped < 0 or bool(self.stepped) != bool(steps):
            raise InputError(
                f"{self.stepped} samples have maps of {len(steps)} steps, expected both above 0 or "
                "neither"
            )
        for layer in self.layers:
            check_name(layer.name)
            height, width = layer.shape
            if not (min(layer.shape) >= 1 and MAP.itemsize * height * width <= MAX_STEP_BYTES):
                raise InputError(
                    f"layer {layer.name!r}: maps of {height}×{width}, "
                    f"expected 1 to {MAX_STEP_BYTES // MAP.itemsize:,} pixels"
                )
            if not 1 <= layer.steps_that_matter <= self.timesteps:
                raise InputError(
                    f"layer {layer.name!r}: {layer.steps_that_matter} steps matter, expected 1 to "
                    f"{self.timesteps}"
                )
        if self.sample_bytes > MAX_DATASET_BYTES:
            raise InputError(
                f"maps of one sample: {self.sample_bytes:,} bytes in {len(self.layers)} layers, "
                f"expected at most {MAX_DATASET_BYTES:,}; choose fewer layers or steps"
            )
        numbers = [layer.number for layer in self.layers]
        in_range = all(0 <= number <= MAX_LAYERS for number in numbers)
        if (
            not in_range
            or numbers != sorted(set(numbers))
            or len({layer.name for layer in self.layers}) < len(numbers)
        ):
            named = ", ".join(f"{layer.number} {layer.name}" for layer in self.layers)
            raise InputError(
                f"layers are {named}; expected different names, and ascending numbers from 0 on"
            )

    def _check_parameters(self) -> None:
        for name, value in self.parameters.items():
            if not is_parameter_name(name) or name == self.source_name:
                raise InputError(
                    f"parameter {name[:80]!r}, expected a name such as 'gamma' that means nothing "
                    "else"
                )
            if type(value) not in get_args(Parameter):
                raise InputError(
                    f"{name} is of type {type(value).__name__}, expected str, bool, int or float"
                )
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}, expected a finite number ≥ 0")
        if len(self.parameters) > MAX_PARAMETERS:
            raise InputError(
                f"{len(self.parameters)} parameters, expected at most {MAX_PARAMETERS}"
            )

    @property
    def signed(self) -> bool:
        """True if maps have negative numbers, too."""
        return self.parameters.get("signed") is True

    @property
    def kept(self) -> str:
        """Words for people: what is kept of each sample."""
        if not self.stepped:
            return "sums alone"
        steps = (
            "all steps"
            if len(self.steps) == self.timesteps
            else f"{len(self.steps)} of {self.timesteps} steps"
        )
        return f"sums, and {steps} of {self.stepped} sample{'s' * (self.stepped > 1)}"

    @property
    def sample_bytes(self) -> int:
        """Bytes of all that is kept of one sample."""
        return (
            MAP.itemsize
            * (len(self.steps) + 1)
            * sum(math.prod(layer.shape) for layer in self.layers)
        )

    def attributes(self) -> dict[str, Any]:
        """Root attributes that files of the same run have in common."""
        identity = {**self.STAMP.attributes, "method": self.method}
        return {**identity, "T": self.timesteps, "stepped": self.stepped, **self.parameters}

    def datasets(self, n_samples: int) -> list[DatasetSpec]:
        """All datasets of a file of so many samples; tables in the order in which the content
        digest takes them.
        """
        specs = sample_datasets(n_samples)
        if self.stepped:
            specs.append(DatasetSpec("/steps", (len(self.steps),), STEP, content=self.steps))
        for layer in self.layers:
            attributes = {"axes": SUM_AXES, "steps": layer.steps_that_matter}
            specs += _with_digests(layer.path(SUM), (n_samples, *layer.shape), attributes)
        for layer in self.layers if self.stepped else ():
            shape = (self.stepped, len(self.steps), *layer.shape)
            specs += _with_digests(layer.path(self.method), shape, {"axes": AXES})
        return specs


def _with_digests(
    path: str, shape: tuple[int, ...], attributes: dict[str, Any]
) -> tuple[DatasetSpec, DatasetSpec]:
    digests = digest_path(path)
    return DatasetSpec(path, shape, MAP, digests, attributes), DatasetSpec(
        digests, shape[:1], DIGEST
    )


def is_method_name(name: str) -> bool:
    """True if a method may have this name, which is that of its datasets as well."""
    return name != SUM and re.fullmatch(r"[a-z][a-z0-9-]{0,63}", name) is not None


def is_parameter_name(name: str) -> bool:
    """True if an attribute of this name is a parameter of the method."""
    return name not in ROOT_ATTRIBUTES and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) is not None


def digest_path(maps: str) -> str:
    """The path of the digests of a dataset of sums or maps."""
    return f"{maps}_digest"
