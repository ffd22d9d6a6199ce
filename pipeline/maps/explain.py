"""Explain: where a network's layers attend, or what its answers rest on, by any method, into a file
of maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam.common.arguments import listed
from spikesam.common.errors import InputError, did_you_mean
from spikesam.common.files import refuse_replacing
from spikesam.common.lock import taking_turns
from spikesam.common.parallel import in_order
from spikesam.common.progress import Tracker
from spikesam.common.text import printable
from spikesam.common.warning import warn
from spikesam.pipeline.maps.layers import PICTURED
from spikesam.pipeline.maps.method import (
    Explainer,
    MapMethod,
    offline_methods,
    refuse_foreign,
    split_method,
)
from spikesam.pipeline.networks.checkpoint_files import is_checkpoint
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.maps.schema import MapHeader
from spikesam.recordings.maps.writer import make_map_record, writing_maps
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from spikesam.backends.network import Network
    from spikesam.pipeline.networks.checkpoint import Checkpoint


def explain_source(
    source: RasterReader | Checkpoint | Network | str | PathLike[str],
    out: str | PathLike[str] | BytesIO | None = None,
    *,
    method: str | None = None,
    layers: str | Iterable[str | int] = (),
    steps: str = "pictured",
    pictured: int = PICTURED,
    overwrite: bool = False,
    tracker: Tracker | None = None,
    **options: Any,
) -> MapReader:
    """Compute maps of a raster, or of a network and images; see
    :func:`spikesam.pipeline.explanation.explain.explain`, which takes torch models, too.

    A warning says each note for people.
    """
    kind, named = method_called(method or usual_method(source))
    options = named | options
    names = (layers,) if isinstance(layers, str) else tuple(listed(layers, "explain: layers"))
    refuse_foreign(kind, [*options, *["layers"] * bool(names), *["steps"] * (steps != "pictured")])
    chosen, tracker = kind(**options), tracker or Tracker()
    with explained(chosen, source, out, names, steps, pictured, overwrite, tracker) as (
        target,
        explainer,
    ):
        for note in explainer.notes:
            warn(printable(f"explain: {note}"))
        maps = MapReader(target, trusted=True)
        maps.beside = explainer.raster and explainer.raster.beside
        return maps


def method_called(method: str) -> tuple[type[MapMethod], dict[str, Any]]:
    """The method of a name, and the options that are in the name, as in "captum:Saliency"."""
    name, named = split_method(method)
    if (kind := offline_methods().get(name)) is None:
        raise InputError(
            f"explain: method is {name!r}, expected one of {', '.join(offline_methods())}"
            f"{did_you_mean(name, [*offline_methods()])}"
        )
    return kind, named


@contextmanager
def explained(
    method: MapMethod,
    source: Any,
    out: str | PathLike[str] | BytesIO | None,
    layers: tuple[str, ...],
    steps: str,
    pictured: int,
    overwrite: bool,
    tracker: Tracker,
) -> Iterator[tuple[Path | BytesIO, Explainer]]:
    """Compute maps, see :func:`explain`; gives where they are, while what was explained is still
    open.
    """
    path = method.path(source)
    target, replaced = _target(out, path, method), None
    with ExitStack() as stack:
        if isinstance(target, Path):
            stack.enter_context(taking_turns(target))
            replaced = _header_of(target, method) if out is None else None
            overwrite = overwrite or replaced is not None
            refuse_replacing(target, overwrite, *([path] if path else []))
        explainer = stack.enter_context(method.prepare(source, layers, steps, pictured))
        compute_maps(explainer, target, tracker, overwrite=overwrite)
        replacement_notes = (
            [f"replaced other maps in {target}"] if replaced not in (None, explainer.header) else []
        )
        yield target, replace(explainer, notes=[*explainer.notes, *replacement_notes])


def usual_method(source: Any) -> str:
    """The method that explains a source where none is chosen: Grad-CAM a network, SAM all else."""
    if isinstance(source, (str, PathLike)):
        return "grad-cam" if is_checkpoint(source) else "sam"
    from spikesam.pipeline.networks.checkpoint import (
        Checkpoint,
    )  # here, because pydantic takes a while

    return "grad-cam" if isinstance(source, Checkpoint) else "sam"


def write_maps(
    explainer: Explainer,
    target: Path | BytesIO,
    advance: Callable[[int], None] = lambda samples: None,
    workers: int = 1,
    *,
    overwrite: bool = False,
) -> None:
    """Explain all samples into a file or memory, at most `workers` + 2 at a time, one if 1; whole
    or not at all.
    """
    samples = range(len(explainer.samples))
    with (
        writing_maps(target, explainer.header, explainer.samples, overwrite=overwrite) as file,
        closing(in_order(explainer.explain, samples, workers)) as explained,
    ):
        for sample in samples:
            file.add(sample, [make_map_record(explainer.header, sample, *next(explained))])
            advance(1)


def compute_maps(
    explainer: Explainer, target: Path | BytesIO, tracker: Tracker, *, overwrite: bool = False
) -> None:
    """Write maps as :func:`write_maps`, shown and timed, by as many threads as make it faster."""
    with tracker.time("prepare"), tracker.show("preparing"):
        explainer.compile_kernels()
    with tracker.time("explain"), tracker.show("explaining", len(explainer.samples)) as advance:
        write_maps(explainer, target, advance, explainer.workers, overwrite=overwrite)


def _header_of(path: Path, method: MapMethod) -> MapHeader | None:
    """The header of a file with maps of this method, which can be made again, so may be replaced;
    else None.
    """
    try:
        with MapReader(path) as maps:
            return maps.header if maps.header.method == method.name else None
    except InputError:
        return None


def _target(
    out: str | PathLike[str] | BytesIO | None, path: Path | None, method: MapMethod
) -> Path | BytesIO:
    """The target of maps: the file that was named, or one beside the raster at `path`, or
    memory.
    """
    if isinstance(out, BytesIO):
        return out
    if out is not None:
        return Path(out)
    if path is None or method.source != "raster_digest":
        return BytesIO()
    return path.with_name(
        f"{method.file_name}.h5"
        if path.name == "raster.h5"
        else f"{path.stem}.{method.file_name}.h5"
    )
