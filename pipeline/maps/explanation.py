"""Explain a raster, offline: where its layers attend, or what the network's answer rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from backends.trace import compile_maps
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.parallel import workers_within_memory
from recordings.progress import Tracker
from recordings.raster.reader import RasterReader

from .method import refuse_existing, spatial_layers, write_maps
from .relevance import Rule
from .relevance_maps import RelevanceMaps, recorded_network
from .sam import AnyVariant, check_parameters, compile_kernel
from .sam_maps import SpikeActivationMaps
from .sam_sum import compile_sums
from .steps import PICTURED, kept_steps

Method = Literal["sam", "relevance"]
# What belongs to one method alone, and what it is if not given.
OF_METHODS: Mapping[Method, Mapping[str, object]] = {
    "sam": {"gamma": 0.5, "variant": "paper", "include_current": True},
    "relevance": {"network": None, "rule": "signed"},
}
WORKERS = 4  # writing keeps up with no more


def explain(
    raster: RasterReader | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    method: Method = "sam",
    gamma: float = 0.5,
    layers: Iterable[str] = (),
    variant: AnyVariant = "paper",
    include_current: bool = True,
    network: str | PathLike[str] | None = None,
    rule: Rule = "signed",
    steps: str = "pictured",
    pictured: int = PICTURED,
    overwrite: bool = False,
    tracker: Tracker | None = None,
) -> MapReader:
    """Compute maps from recorded spikes, offline: Spike Activation Maps, or the relevance of spikes for the answer.

    Parameters
    ----------
    raster : an open raster, or the path of a raster file
    out : file for the maps; if not given, beside the raster: `sam.h5` or `relevance.h5` for `raster.h5`, `x.sam.h5` for
        `x.h5`. The maps of a raster in memory are in memory, too
    method : "sam", where a layer is busy, whatever the answer; or "relevance", which spikes the predicted class rests
        on, see :mod:`pipeline.maps.relevance`
    gamma : of SAM: γ, decay of the kernel per step, ≥ 0; 0 counts all earlier spikes alike
    layers : by name or number; all with a spatial extent if not given
    variant : of SAM: "paper" (Kim & Panda 2021, Eq. 12-14); "authors-code", their published script; or "fixed", the
        paper's in integers, as maps from Lava's graph are
    include_current : of SAM: let a spike count itself, not only earlier ones
    network : of relevance: what was recorded, a bundled name or a file; `network.safetensors` beside the raster if not
        given
    rule : of relevance: "signed", exact shares of the membrane, or "positive", those of what raised it (SLTRP)
    steps : which maps are kept step by step, beside the sums over the steps that matter: "pictured" for all steps of
        the first samples, "all", "none", or of all samples steps such as "0:100" or "::10", as Python slices
    pictured : how many first samples "pictured" means
    overwrite : replace an existing file
    tracker : shows and times the work

    Returns
    -------
    an open reader of the maps of every layer

    Raises
    ------
    InputError : if the kernel has no meaning, an option belongs to the other method, a layer is unknown or dense, the
        raster is damaged or of another network, or the file exists or cannot be written

    Examples
    --------
    >>> import spikesam
    >>> maps = spikesam.explain(spikesam.simulate("cluttered-digits", samples=2))
    >>> maps["conv2"].sum.shape
    (2, 20, 20)
    """
    tracker = tracker or Tracker()
    check_parameters(gamma, include_current, variant)
    _check_method(method, rule, gamma=gamma, variant=variant, include_current=include_current, network=network)
    with ExitStack() as held:
        if not isinstance(raster, (RasterReader, str, PathLike)):
            raise InputError(
                f"explain: got {type(raster).__name__}, expected a raster or its path; "
                "sam() maps an array, write_raster() makes a raster of it"
            )
        if not isinstance(raster, RasterReader):
            raster = held.enter_context(RasterReader(Path(raster)))
        names = spatial_layers({layer.name: layer.kind for layer in raster.layers}, layers, raster.where)
        chosen = tuple(map(raster.layer, names))
        kept = kept_steps(steps, raster.timesteps, raster.n_samples, pictured)
        maps: SpikeActivationMaps | RelevanceMaps
        if method == "sam":
            maps = SpikeActivationMaps(raster, chosen, gamma, variant, include_current, *kept)
        else:
            maps = RelevanceMaps(raster, recorded_network(raster, network), chosen, rule, *kept)
        target = _target(raster, out, method)
        if isinstance(target, Path):
            refuse_existing(target, raster.path, overwrite)
        if isinstance(maps, SpikeActivationMaps):
            with tracker.time("prepare"), tracker.show("preparing (the first time, the kernel is compiled)"):
                _compile(variant)
        with tracker.time("explain"), tracker.show("explaining", raster.n_samples) as advance:
            # relevance is NumPy, which a second thread does not make faster
            workers = workers_within_memory(maps.sample_bytes, WORKERS) if isinstance(maps, SpikeActivationMaps) else 1
            write_maps(maps, target, advance, workers=workers, overwrite=overwrite)
    return MapReader(target, trusted=True)


def _check_method(method: str, rule: str, **given: object) -> None:
    """Refuse an unknown method or rule, and what belongs to the other method."""
    if method not in get_args(Method):
        raise InputError(f"explain: method is {method!r}, expected one of {', '.join(get_args(Method))}")
    if rule not in get_args(Rule):
        raise InputError(f"explain: rule is {rule!r}, expected one of {', '.join(get_args(Rule))}")
    for owner, own in OF_METHODS.items():
        for name, default in own.items():
            if owner != method and (given | {"rule": rule})[name] != default:
                raise InputError(f"explain: {name} belongs to method {owner}, got method {method}")


def _compile(variant: AnyVariant) -> None:
    if variant == "fixed":
        compile_maps()
    else:
        compile_kernel()
        compile_sums()


def _target(raster: RasterReader, out: str | PathLike[str] | None, method: str) -> Path | BytesIO:
    if out is not None:
        return Path(out)
    if raster.path is None:
        return BytesIO()
    name = f"{method}.h5" if raster.path.name == "raster.h5" else f"{raster.path.stem}.{method}.h5"
    return raster.path.with_name(name)
