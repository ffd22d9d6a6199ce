"""The contract of a method of maps, also of a raster, and the list of all: in `methods/`, found by
being there.

A method is a frozen dataclass. Its class says what a file of maps tells of it, its fields are its
options, and
:meth:`MapMethod.prepare` gives what computes its maps. None of the files may import torch or numba
when it is imported, so that methods can be listed, and offline ones used, without them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from numbers import Real
from operator import ge, gt, lt
from os import PathLike
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Network
from spikesam.common.arguments import deciding, options_of, refuse_other_types
from spikesam.common.errors import InputError, at, did_you_mean
from spikesam.common.registry import Registry
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.drawing.subject import Subject, recorded_subjects
from spikesam.pipeline.maps.layers import kept_steps, mapped_layers
from spikesam.recordings.maps.schema import MapHeader, Parameter, SourceName
from spikesam.recordings.raster.reader import RasterReader, opened_raster
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.schema import MADE_OF, SampleTable

METHODS = "spikesam.pipeline.maps.methods"
DEFAULT = "sam"


@dataclass(frozen=True)
class MapMethod(ABC):
    """A way to map what a network does."""

    name: ClassVar[str]  # in files, commands and functions
    title: ClassVar[str]  # of its maps, for people
    shows: ClassVar[str]  # what they show, for people
    speaks_for: ClassVar[
        Literal["none", "label", "prediction"]
    ]  # the class; the prediction if no label is known
    source: ClassVar[SourceName]  # the attribute of a file that says what was explained
    parameters: ClassVar[Mapping[str, type]] = {}  # further attributes of a file
    optional: ClassVar[Mapping[str, type]] = {}  # those that a file may have or not
    offline: ClassVar[bool] = True  # `explain` computes it
    layered: ClassVar[bool] = (
        True  # maps any layers, and steps; otherwise the input, over all steps
    )
    label: ClassVar[str] = ""  # on the page; the title if empty
    on_page: ClassVar[Literal["spikes", "network", "file"]] = (
        "file"  # what the page has its maps from
    )
    signed: ClassVar[bool] = False  # on the page: what speaks for a class, and against it

    def __post_init__(self) -> None:
        """Refuse options of which there is no such choice, or that are beyond their limits."""
        for name, (kind, option, _) in options_of(type(self)).items():
            value = getattr(self, name)
            number = "a whole number" if int in (kind, *get_args(kind)) else "a number"
            limits = (
                (ge, "≥", option.at_least),
                (lt, "below", option.below),
                (gt, "above", option.above),
            )
            for within, words, limit in limits:
                if limit is not None and isinstance(value, Real) and not within(value, limit):
                    raise InputError(
                        f"explain: {name} is {value!r}, expected {number} {words} {limit}"
                    )
            constraints = deciding({name: Annotated[kind, option]})
            with at("explain"):
                refuse_other_types(constraints, {name: value})

    @classmethod
    def caption(cls, parameters: Mapping[str, Parameter]) -> str:
        """The parameters in a picture's words; nothing if not overridden."""
        return ""

    @property
    def file_name(self) -> str:
        """The name of a file of its maps beside a raster, without an ending."""
        return self.name

    @abstractmethod
    def path(self, source: Any) -> Path | None:
        """The file of what is explained, which no maps may replace; None if it is in memory."""

    @abstractmethod
    def prepare(
        self, source: Any, layers: Sequence[str], steps: str, pictured: int
    ) -> AbstractContextManager[Explainer]:
        """Open what is explained, a raster or a network, open or by its name; the method chooses
        layers if none is.
        """


@dataclass(frozen=True)
class Explainer:
    """Explains samples one by one."""

    header: MapHeader
    samples: SampleTable  # in order
    explain: Callable[[int], Explained]  # of a sample, by its position
    subjects: Callable[
        [NDArray[np.int32]], list[Subject]
    ]  # the first samples, from the chosen classes
    description: str  # "maps of 3 samples, 8 steps"
    raster: RasterReader | None = None
    notes: Sequence[str] = ()  # further lines for people
    workers: int = 1  # threads that may explain samples at once, at most
    compile_kernels: Callable[[], object] = lambda: None  # before anything is timed


class Explained(NamedTuple):
    """The maps of one sample."""

    prediction: int  # the class that the network chose, -1 if unknown
    sums: Mapping[str, NDArray[np.float32]]  # layer -> (H, W) ≥ 0, over the steps that matter
    maps: Mapping[
        str, NDArray[np.float32]
    ]  # layer -> (S, H, W) ≥ 0, of the steps that are kept of this sample


def summed(
    header: MapHeader, sample: int, prediction: int, maps: Mapping[str, NDArray[np.float32]]
) -> Explained:
    """The part of a sample's maps (T, H, W) at all steps that a file keeps."""
    sums = {
        layer.name: maps[layer.name][: layer.steps_that_matter]
        .sum(axis=0, dtype=np.float64)
        .astype(np.float32)
        for layer in header.layers
    }
    steps = list(header.steps)
    step_maps = (
        {name: of_layer[steps] for name, of_layer in maps.items()}
        if sample < header.stepped
        else {}
    )
    return Explained(prediction, sums, step_maps)


@cache
def methods() -> Registry[type[MapMethod]]:
    """Every method by its name, the default first: those of the files in `methods/`, and of entry
    points.
    """
    folder = import_module(METHODS)
    classes = dict[str, type[MapMethod]]()
    for file in iter_modules(folder.__path__):
        module = import_module(f"{METHODS}.{file.name}")
        for member in vars(module).values():
            if (
                _is_method(member)
                and "name" in vars(member)
                and member.__module__ == module.__name__
            ):
                classes[member.name] = member
    built_in = dict(sorted(classes.items(), key=lambda item: (item[0] != DEFAULT, item[0])))
    return Registry("methods", "a subclass of MapMethod", _is_method, built_in)


def _is_method(thing: Any) -> bool:
    return MapMethod in getattr(
        thing, "__mro__", ()
    )  # issubclass refuses list[str], a class for Python 3.10


def offline_methods() -> dict[str, type[MapMethod]]:
    """The methods that :func:`spikesam.explain` computes, by name."""
    return {name: method for name, method in methods().items() if method.offline}


def split_method(method: str) -> tuple[str, dict[str, Any]]:
    """The name of a method, and its options: "captum:Saliency" is captum's with the attribution
    Saliency.
    """
    name, colon, attribution = method.partition(":")
    return name, {"attribution": attribution} if colon else {}


def method_of(header: MapHeader) -> type[MapMethod]:
    """The method that made a file of maps; refuses a file that says other things than it would."""
    if (method := methods().get(header.method)) is None:
        raise InputError(f"method is {header.method!r}, expected one of {', '.join(methods())}")
    optional = {**method.optional, MADE_OF: str}
    parameter_kinds = {**method.parameters} | {
        name: kind for name, kind in optional.items() if name in header.parameters
    }
    if header.parameters.keys() != parameter_kinds.keys():
        names_in_file, expected_names = (
            ", ".join(names) or "none" for names in (header.parameters, method.parameters)
        )
        raise InputError(
            f"parameters of {method.name} are {names_in_file}, expected {expected_names}"
        )
    for name, kind in parameter_kinds.items():
        if type(value := header.parameters[name]) is not kind:
            shown = printable(repr(value), LONGEST_NAME)
            raise InputError(
                f"{name} of {method.name} is {shown}, expected a value of type {kind.__name__}"
            )
    if header.source_name != method.source:
        raise InputError(f"{method.name} maps by {header.source_name}, expected {method.source}")
    return method


def refuse_foreign(
    method: type[MapMethod],
    option_names: Iterable[str],
    spell: Callable[[str], str] = "explain: {}".format,
    flag: str = "method",
) -> None:
    """Refuse options that a method has not, in a message that begins with `spell` of one; `flag`
    chooses the method.
    """
    own_options = options_of(method)
    for name in option_names:
        if name in ("layers", "steps"):
            if not method.layered:
                methods_with_option = [
                    candidate
                    for candidate in offline_methods().values()
                    if candidate.layered and candidate.source == method.source
                ]
                owners = [candidate.name for candidate in methods_with_option]
                named = f"{spell(name)} belongs to {flag} {', '.join(owners)}"
                raise InputError(f"{named}; {method.name} maps the input, over all steps")
        elif name not in own_options:
            owners = [
                candidate.name
                for candidate in offline_methods().values()
                if name in options_of(candidate)
            ]
            if not owners:
                near = did_you_mean(
                    name,
                    [*own_options, "method", "layers", "steps", "pictured", "overwrite", "tracker"],
                )
                has = near or f"; {method.name} has {', '.join(own_options)}"
                raise InputError(f"{spell(name)} is no option of any method{has}")
            raise InputError(
                f"{spell(name)} belongs to {flag} {', '.join(owners)}, got {flag} {method.name}"
            )


StepChoice = tuple[tuple[int, ...], int]  # steps, and of how many first samples, see kept_steps


@dataclass(frozen=True)
class RasterMethod(MapMethod):
    """A method that explains a raster, see :class:`spikesam.pipeline.maps.method.MapMethod`."""

    source: ClassVar[SourceName] = "raster_digest"

    def path(self, source: Any) -> Path | None:
        """The raster's."""
        if isinstance(source, RasterReader):
            return source.path
        if isinstance(source, (str, PathLike)):
            path = Path(source)
            return path / "raster.h5" if path.is_dir() else path
        instead = "sam() maps an array, write_raster() makes a raster of it"
        if isinstance(source, Network):
            instead = (
                "record the model, or simulate the network, and give the network as an "
                "option of relevance"
            )
        raise InputError(
            f"explain: got {type(source).__name__}, expected a raster or its path; {instead}"
        )

    @contextmanager
    def prepare(
        self, source: Any, layers: Sequence[str], steps: str, pictured: int
    ) -> Iterator[Explainer]:
        """Open the raster, and close it if it was not open."""
        with opened_raster(source) as opened:
            raster = self.read(opened)
            shapes = {layer.name: layer.shape for layer in raster.layers}
            with at(raster.file_name):
                names = mapped_layers(shapes, layers, bands=True)
            step_choice = kept_steps(steps, raster.timesteps, raster.n_samples, pictured)
            yield self.of_raster(raster, tuple(map(raster.layer, names)), step_choice)

    def read(self, raster: RasterReader) -> RasterReader:
        """The object that is explained of an open raster: itself, if not overridden."""
        return raster

    @abstractmethod
    def of_raster(
        self, raster: RasterReader, layers: tuple[LayerSpec, ...], step_choice: StepChoice
    ) -> Explainer:
        """The explainer of these layers; made by :func:`raster_explainer`."""


def raster_explainer(
    raster: RasterReader,
    header: MapHeader,
    explain: Callable[[int], Explained],
    workers: int = 1,
    compile_kernels: Callable[[], object] = lambda: None,
) -> Explainer:
    """The explainer of a raster's samples."""
    description = f"maps of {raster.n_samples} samples, {raster.timesteps} steps"
    subjects, notes = partial(recorded_subjects, raster), (raster.silence,) * bool(raster.silence)
    return Explainer(
        header,
        raster.samples,
        explain,
        subjects,
        description,
        raster,
        notes,
        workers,
        compile_kernels,
    )
