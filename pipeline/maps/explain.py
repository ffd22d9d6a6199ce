"""Explain: where a network's layers attend, or what its answers rest on, by any method, into a file
of maps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesam.common.arguments import checked_arguments, listed
from spikesam.common.errors import InputError, did_you_mean
from spikesam.common.files import refuse_replacing
from spikesam.common.lock import taking_turns
from spikesam.common.parallel import in_order
from spikesam.common.progress import Tracker
from spikesam.common.text import printable
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
    from spikesam.pipeline.networks.checkpoint import Checkpoint


@checked_arguments(layers="names or numbers of layers, in a list")
def explain(
    source: RasterReader | Checkpoint | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    method: str | None = None,
    layers: str | Iterable[str | int] = (),
    steps: str = "pictured",
    pictured: int = PICTURED,
    overwrite: bool = False,
    tracker: Tracker | None = None,
    **options: Any,
) -> MapReader:
    """Compute maps: from recorded spikes, offline, or from a network and images.

    ========================  ==============================================  ======================================
    `method`                  its maps show                                   `source`; options
    ========================  ==============================================  ======================================
    "sam"                     where a layer is busy, whatever the answer      a raster; `gamma`, `variant`,
                                                                              `include_current`
    "relevance"               which spikes the predicted class rests on, see  a raster; `network`, `rule`, `target`
                              :mod:`spikesam.pipeline.maps.relevance`
    "variance-relevance"      which spikes set the logits apart, whichever    a raster; `network`
                              class wins
    "grad-cam"                what speaks for the class in a layer, by        a network; `data`, `samples`, `seed`,
                              gradients: Grad-CAM of an ANN,                  `download`
                              "snn-grad-cam" of a spiking network
    "gradient-x-input",       what speaks for the predicted class in the      a spiking network; `data`, `samples`,
    "integrated-gradients",   input                                           `seed`, `download`
    "occlusion", "rise",
    "captum:Saliency" and                                                     `attribution`, the name behind the
    other names                                                               colon
    ========================  ==============================================  ======================================

    Parameters
    ----------
    source : an open raster, or the path of a raster file or of a run's folder; or a network: a
        checkpoint, its bundled name or its file
    out : file for the maps; if not given, beside the raster: `sam.h5` or `relevance.h5` for
        `raster.h5`, `x.sam.h5` for `x.h5`, and `relevance-of-3.h5` for the target 3; in place of
        earlier maps there, which is said if they were others. The maps of a raster in memory are in
        memory, too, and so are those of a network
    method : if not given "sam" of a raster, and "grad-cam" of a network
    layers : by name or number; if not given all that have places (all, if none has), or of an ANN
        the last convolution
    steps : which maps are kept step by step, beside the sums over the steps that matter: "pictured"
        for all steps of the first samples, "all", "none", or of all samples steps such as "0:100"
        or "::10", as Python slices
    pictured : how many first samples "pictured" means
    overwrite : replace an existing file
    tracker : shows and times the work
    gamma : γ, decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike; 0.5 if not
        given
    variant : "paper" (Kim & Panda 2021, Eq. 12-14), if not given; "authors-code", their published
        script; or "fixed", the paper's in integers, as maps from Lava's graph are
    include_current : let a spike count itself, not only earlier ones
    network : the recorded network: a network, a checkpoint, its name or its file;
        `network.safetensors` beside the raster if not given. Of a recorded model, its import, see
        :func:`spikesam.record`
    target : the class whose relevance is shown, by name or number; each sample's predicted one if
        not given
    rule : "signed", exact shares of the membrane, or "positive", those of what raised it (SLTRP)
    data, samples, seed, download : which images, as the command line names them; 8 samples, and
        seed 0, if not given

    Returns
    -------
    an open reader of the maps of every layer

    Raises
    ------
    InputError : if there is no such method, an option has no meaning or belongs to another method,
        a layer is unknown, the raster is damaged or of another network, or the file exists or
        cannot be written

    Examples
    --------
    >>> import spikesam
    >>> maps = spikesam.explain(spikesam.simulate("cluttered-digits", samples=2))
    >>> maps["conv2"].sum.shape
    (2, 20, 20)
    >>> spikesam.explain("cluttered-digits", method="occlusion", samples=1)["input"].sum.shape
    (1, 80, 80)
    """
    tracker, (method, named) = tracker or Tracker(), split_method(method or usual_method(source))
    if (kind := offline_methods().get(method)) is None:
        raise InputError(
            f"explain: method is {method!r}, expected one of {', '.join(offline_methods())}"
            f"{did_you_mean(method, [*offline_methods()])}"
        )
    options = named | options
    names = (layers,) if isinstance(layers, str) else tuple(listed(layers, "explain: layers"))
    refuse_foreign(kind, [*options, *["layers"] * bool(names), *["steps"] * (steps != "pictured")])
    chosen = kind(**options)
    with explained(chosen, source, out, names, steps, pictured, overwrite, tracker) as (
        target,
        explainer,
    ):
        for note in explainer.notes:
            text = printable(f"explain: {note}")
            warnings.warn(text, stacklevel=3)  # behind what checks the arguments
        maps = MapReader(target, trusted=True)
        maps.beside = explainer.raster and explainer.raster.beside
        return maps


@contextmanager
def explained(
    method: MapMethod,
    source: Any,
    out: str | PathLike[str] | None,
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
    out: str | PathLike[str] | None, path: Path | None, method: MapMethod
) -> Path | BytesIO:
    """The target of maps: the file that was named, or one beside the raster at `path`, or
    memory.
    """
    if out is not None:
        return Path(out)
    if path is None or method.source != "raster_digest":
        return BytesIO()
    return path.with_name(
        f"{method.file_name}.h5"
        if path.name == "raster.h5"
        else f"{path.stem}.{method.file_name}.h5"
    )
