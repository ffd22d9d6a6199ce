"""A job: which samples of which network are simulated, and what is kept of them; computed range by
range, anywhere.

:class:`JobSpec` is what decides the bits. It lies in the folder of a run; every process that joins
compares its own with it.
:class:`Job` is that and what computing takes; it travels to other processes as one value.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from spikesam.backends.base import Backend, MapRequest
from spikesam.backends.network import Network
from spikesam.backends.trace import GAMMA
from spikesam.common.disk import write_file
from spikesam.common.errors import OTHER_OUT, ExistsError, InputError, at, finding
from spikesam.common.files import read_file
from spikesam.common.models import Many, parse_model
from spikesam.common.stamp import Stamp
from spikesam.pipeline.config import Config, resolved
from spikesam.pipeline.images.samples import Samples
from spikesam.pipeline.maps.layers import map_layers, mapped_layers
from spikesam.pipeline.maps.sam import AnyVariant
from spikesam.pipeline.networks.recorded import network_specs
from spikesam.recordings.digests import raster_digest
from spikesam.recordings.maps.schema import MapHeader
from spikesam.recordings.raster.schema import LayerSpec, RasterHeader
from spikesam.recordings.schema import MAX_LAYERS, MAX_SIZES, SampleTable, find_layer

CONTINUE = "; continue that run with {resume=True}, or choose another {out}"
SAME_SETTINGS = "; use the same settings, or another {out}"
FREE_SPACE = "; free space, then use {resume=True}"

SETTINGS = ("gamma", "variant", "class_names", "checkpoint", "run_uuid", "contents")
STAMP = Stamp("spikesam-job", 1, "what a run computes")
MOST_SAMPLES = 1 << 21  # of a run in a folder; ImageNet's training set has 1,281,167 images
# Bytes, and marks of JSON, of a specification: of all else; of the index, label and digest of a
# sample. A text of other letters than ASCII could take four times the memory.
LARGEST, MOST_MARKS = 1 << 25, 1 << 18
PER_SAMPLE, MARKS_PER_SAMPLE = 100, 3
RANGE = 16  # samples
STEP_SECONDS = 1e-3  # the conventional length of a step; metadata only

BackendChoice = tuple[str, str, Mapping[str, Any]]  # arguments of `make_backend`


@dataclass(frozen=True)
class Keep:
    """The parts of every sample that a run keeps: one value, decided once, before anything is
    computed.
    """

    spikes: bool = (
        True  # in `raster.h5`; if not, `make_record` drops them once a sample was explained
    )
    maps: Literal["spikes", "backend"] | None = (
        "spikes"  # of what `sam.h5` is made; "backend": no spike leaves it
    )
    steps: tuple[int, ...] = ()  # whose maps are kept one by one, beside the sum over steps
    stepped: int = 0  # number of samples, from the first on, that keep these single steps
    layers: tuple[str, ...] = ()  # by name or number; all if there are none

    def __post_init__(self) -> None:
        if not self.sections or (self.spikes and self.by_backend):
            raise InputError(
                f"spikes are {'' if self.spikes else 'not '}kept and maps are {self.maps!r}, "
                "expected spikes, maps of spikes, both, or maps of the backend alone"
            )

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections of a range's file beside its record: "raster", "maps"."""
        return ("raster",) * self.spikes + ("maps",) * (self.maps is not None)

    @property
    def by_backend(self) -> bool:
        """True if the backend forms the maps, so that no spike is known."""
        return self.maps == "backend"

    def pictured(self, samples: int, timesteps: int) -> Keep:
        """The same where maps of all steps are kept of so many samples, which are pictured."""
        return replace(self, steps=tuple(range(timesteps if samples else 0)), stepped=samples)

    @property
    def name(self) -> str:
        """Its name in files and messages: "all", "maps", "raster" (no maps), or "graph" (the
        backend formed maps).
        """
        return "graph" if self.by_backend else {1: self.sections[0], 2: "all"}[len(self.sections)]


RASTER = Keep(maps=None)  # the spikes alone


@dataclass(frozen=True, eq=False)
class JobSpec:
    """The content of a run."""

    header: RasterHeader
    samples: SampleTable
    keep: Keep  # of each sample
    gamma: float = GAMMA  # of SAM, 1/step
    variant: AnyVariant = "paper"  # of SAM; "fixed" where the backend forms maps
    class_names: tuple[str, ...] = ()  # of the network, for people
    checkpoint: str = ""  # name or file of the network, for people
    run_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    contents: tuple[
        str, ...
    ] = ()  # SHA-256 of the file of each sample; "" without one; none if named, or not read yet

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """The positions of each range."""
        count = len(self.samples)
        return tuple(range(first, min(first + RANGE, count)) for first in range(0, count, RANGE))

    @cached_property
    def identity(self) -> str:
        """SHA-256, hexadecimal, of all that decides the bits of a range;
        not of who computes them.
        """
        return self._identity(self.keep.name, self.contents)

    @property
    def results_identity(self) -> str:
        """SHA-256, hexadecimal, of all settings that decide what is found, whether spikes are kept
        or not.
        """
        return self._identity("graph" if self.keep.by_backend else "all", ())

    def _identity(self, kept_data: str, contents: tuple[str, ...]) -> str:
        identity = _content(self)
        for name in ("backend", "device", "config", "dt"):
            del identity["header"][name]
        identity = {
            name: identity[name]
            for name in ("header", "index", "label", "gamma", "variant", "steps", "stepped")
        }
        identity |= {"keep": kept_data, "contents": contents}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def contents_digest(self) -> str | None:
        """SHA-256, hexadecimal, of what all samples are read from; None if that is not known."""
        return (
            hashlib.sha256("\n".join(self.contents).encode()).hexdigest()
            if any(self.contents)
            else None
        )

    @property
    def recorded(self) -> tuple[LayerSpec, ...]:
        """The layers whose spikes are known to whoever computes:
        none where the backend forms maps.
        """
        return () if self.keep.by_backend else self.header.layers

    @cached_property
    def mapped(self) -> tuple[LayerSpec, ...]:
        """The layers that have maps: those with places, or all if none has; the backend forms none
        of the others.
        """
        shapes = {layer.name: layer.shape for layer in self.header.layers}
        with at("layers"):
            names = mapped_layers(shapes, (), bands=not self.keep.by_backend)
        return tuple(layer for layer in self.header.layers if layer.name in names)

    @cached_property
    def all_maps(self) -> MapHeader:
        """Header of the maps of all samples, before the digest of their raster is known."""
        return self.maps(range(len(self.samples)), "0" * 64)

    def maps(self, positions: range, raster: str) -> MapHeader:
        """Header of the maps of some consecutive samples, or of all; with the digest of the raster
        of those samples.
        """
        layers, keep = map_layers(self.header, self.mapped), self.keep
        stepped = min(max(keep.stepped - positions.start, 0), len(positions))
        map_fields = self.header.timesteps, layers, keep.steps * bool(stepped), stepped
        parameters = {"gamma": float(self.gamma), "variant": self.variant}
        if keep.by_backend:
            parameters["seed"] = self.header.seed
            return MapHeader(
                "graph-sam", self.header.network_sha256, parameters, *map_fields, "network_sha256"
            )
        return MapHeader("sam", raster, parameters | {"include_current": True}, *map_fields)

    def map_request(self, positions: Sequence[int]) -> MapRequest:
        """The maps that the backend forms of some samples, given by their ascending positions in
        the run.
        """
        summed = {layer.name: self.header.steps_that_matter(layer) for layer in self.mapped}
        return MapRequest(
            self.gamma, summed, sum(position < self.keep.stepped for position in positions)
        )

    def digest(self, digests: dict[str, list[str]]) -> str:
        """Digest of the raster of some samples, from those of its layers: layer -> one for each
        sample.
        """
        return raster_digest(np.array(digests[layer.name], "S64") for layer in self.recorded)


@dataclass(frozen=True, eq=False)
class Job:
    """The means by which a process computes samples."""

    spec: JobSpec
    network: Network  # in the specification's precision
    read: Callable[[range], Samples]  # positions of one range -> its samples
    backend: Backend
    choice: BackendChoice | None = (
        None  # by which other processes make it; None where only this one can
    )
    batch_size: int = 8  # samples that are encoded together

    def __getstate__(self) -> dict[str, Any]:
        """The state that travels to other processes: all but the backend,
        for each makes its own.
        """
        return vars(self) | {"backend": None}


def raster_header(
    network: Network,
    backend: Backend,
    dataset: str,
    seed: int,
    config: Config | None = None,
    layers: Iterable[str] = (),
    outputs: str = "classes",
) -> RasterHeader:
    """The words of a raster about network, backend and data; `layers`, all if none, are recorded,
    and the last. `outputs` as of :func:`simulate`.
    """
    specs = network_specs(network)
    numbers = {spec.name: spec.number for spec in specs}
    with at("layers"):
        chosen = {find_layer(layer, numbers) for layer in layers}
    return RasterHeader(
        backend=backend.name,
        device=backend.device,
        precision=network.precision,
        timesteps=network.timesteps,
        dt=STEP_SECONDS,
        seed=seed,
        network_sha256=network.sha256,
        dataset=dataset,
        config=json.dumps(resolved(config) if config else {}),
        layers=tuple(
            spec for spec in specs if spec.name in chosen or not chosen or spec is specs[-1]
        ),
        classes=network.classes,
        readout_scale=network.readout.scale,
        window=network.window,
        outputs=outputs,
    )


def join(path: Path, spec: JobSpec) -> JobSpec:
    """Write what a run computes, or take part in the run that is there if it is the same; gives
    what is there.
    """
    if len(spec.samples) > MOST_SAMPLES:
        raise InputError(
            f"{len(spec.samples):,} samples, expected at most {MOST_SAMPLES:,} in one run; make "
            "several of them"
        )
    if not path.exists():
        content = {**STAMP.attributes, **_content(spec)}
        with suppress(ExistsError):  # another process was faster
            write_file(path, json.dumps(content).encode(), overwrite=False)
            return spec
    joined_spec = read_spec(path)
    refuse_other_origin(path, joined_spec.keep.by_backend, spec)
    differ = differences_of_runs(joined_spec.header, joined_spec.samples, spec.header, spec.samples)
    settings_there, settings_here = (
        {
            "keep": job_spec.keep.name,
            "gamma": job_spec.gamma,
            "variant": job_spec.variant,
            "stepped": job_spec.keep.stepped,
        }
        for job_spec in (joined_spec, spec)
    )
    differ += [
        f"{name} is {value!r} there, {settings_here[name]!r} here"
        for name, value in settings_there.items()
        if value != settings_here[name]
    ]
    if (steps := joined_spec.keep.steps) != spec.keep.steps:
        differ.append(f"steps is {len(steps)} steps there, {len(spec.keep.steps)} steps here")
    refuse_differences(path, differ)
    return replace(spec, run_uuid=joined_spec.run_uuid, contents=joined_spec.contents)


def _refuse_many_layers(header: Any) -> Any:
    layers = header.get("layers") if isinstance(header, dict) else None
    if isinstance(layers, list) and len(layers) > MAX_LAYERS:
        raise ValueError(f"{len(layers):,} layers, expected at most {MAX_LAYERS:,}")
    return header


class _Content(BaseModel):
    """The file of a specification; see :func:`join`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    header: Annotated[RasterHeader, BeforeValidator(_refuse_many_layers)]
    index: Annotated[Many[Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]], Field(min_length=1)]
    label: Many[Annotated[int, Field(ge=-1, lt=1 << 31)]]
    spikes: StrictBool
    maps: Literal["spikes", "backend"] | None
    steps: Many[Annotated[int, Field(ge=0, lt=MAX_SIZES["T"])]]
    stepped: Annotated[int, Field(ge=0, le=MOST_SAMPLES)]
    gamma: Annotated[float, Field(ge=0)]
    variant: AnyVariant
    class_names: Many[str]
    checkpoint: str
    run_uuid: str
    contents: Many[str]


def read_spec(path: Path) -> JobSpec:
    """Read what :func:`join` wrote; refuses what is none."""
    most_bytes = LARGEST + MOST_SAMPLES * PER_SAMPLE
    most_marks = MOST_MARKS + MOST_SAMPLES * MARKS_PER_SAMPLE
    try:
        text = read_file(path, most_bytes)
        if not text.isascii():
            raise InputError("it holds other letters than ASCII")
        with at("job"):
            content = parse_model(_Content, text, most_marks, STAMP)
        return JobSpec(
            content.header,
            SampleTable(np.array(content.index), np.array(content.label)),
            Keep(content.spikes, content.maps, tuple(content.steps), content.stepped),
            content.gamma,
            content.variant,
            tuple(content.class_names),
            content.checkpoint,
            content.run_uuid,
            tuple(content.contents),
        )
    except (OSError, InputError) as error:
        raise InputError(
            f"{path}: cannot be read ({finding(error)}), expected what a run computes", OTHER_OUT
        ) from None


def refuse_other_origin(path: Path, of_backend: bool, spec: JobSpec) -> None:
    """Refuse to go on with maps that left Lava's graph (`of_backend`) by maps made of spikes, or
    vice versa.
    """
    if of_backend != spec.keep.by_backend:
        origin_there, origin_here = (
            "leave Lava's graph" if graph else "are made of spikes"
            for graph in (of_backend, not of_backend)
        )
        difference = (
            f"maps {origin_there} there and {origin_here} here, as backend, keep and variant decide"
        )
        refuse_differences(path, [difference])


def refuse_differences(path: Path, differences: list[str]) -> None:
    """Refuse to go on with another run, naming each difference as "field is OLD there,
    NEW here".
    """
    if differences:
        raise InputError(f"{path}: cannot resume: {'; '.join(differences)}", SAME_SETTINGS)


def differences_of_runs(
    old: RasterHeader, old_samples: SampleTable, new: RasterHeader, new_samples: SampleTable
) -> list[str]:
    """Differences for which two runs are not one raster, each as "field is OLD there, NEW here";
    none if they are.
    """
    fields = [
        "network_sha256",
        "dataset",
        "seed",
        "timesteps",
        "precision",
        "classes",
        "readout_scale",
        "outputs",
        "layer_delay",
    ]
    if old.precision == "float32":  # there, another backend or device may round spikes differently
        fields += ["backend", "device"]
    differences = [
        f"{field} is {getattr(old, field)!r} there, {getattr(new, field)!r} here"
        for field in fields
        if getattr(old, field) != getattr(new, field)
    ]
    if old.layers != new.layers:
        names = [", ".join(layer.name for layer in header.layers) for header in (old, new)]
        if names[0] == names[1]:
            pair = next((a, b) for a, b in zip(old.layers, new.layers, strict=True) if a != b)
            names = [str(layer) for layer in pair]
        differences.append(f"layers are {names[0]} there, {names[1]} here")
    if len(old_samples) != len(new_samples):
        differences.append(f"there are {len(old_samples)} samples there, {len(new_samples)} here")
    else:
        for name in ("index", "label"):
            old_values, new_values = getattr(old_samples, name), getattr(new_samples, name)
            if (differ := np.flatnonzero(old_values != new_values)).size:
                sample = int(differ[0])
                differences.append(
                    f"sample {sample} has {name} {old_values[sample]} there, {new_values[sample]} "
                    "here"
                )
    return differences


def _content(spec: JobSpec) -> dict[str, Any]:
    return {
        "header": asdict(spec.header),
        "index": spec.samples.index.tolist(),
        "label": spec.samples.label.tolist(),
        **{name: getattr(spec.keep, name) for name in ("spikes", "maps", "steps", "stepped")},
        **{name: getattr(spec, name) for name in SETTINGS},
    }
