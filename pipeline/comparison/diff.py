"""Diff: the first spike that differs between two rasters, or between a raster and a model, and why."""

from __future__ import annotations

from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING, Any

from spikesam.backends.network import Network
from spikesam.pipeline.comparison.counting import Differences
from spikesam.pipeline.comparison.difference import Diff
from spikesam.pipeline.comparison.membranes import Rule, Traced
from spikesam.pipeline.comparison.pair import Pair, line_up
from spikesam.pipeline.comparison.sides import (
    describe,
    loaded_network,
    opened,
    plain_network,
    samples_of,
    simulated,
    what_drives,
)
from spikesam.pipeline.comparison.why import explain_bit
from spikesam.pipeline.networks.recorded import fired_by, recorded_network
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.errors import InputError, finding
from spikesam.recordings.layer_view import position
from spikesam.recordings.raster.reader import RasterReader

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint


@checked_arguments
def diff(
    first: RasterReader | str | PathLike[str] | Network | Checkpoint,
    second: RasterReader | str | PathLike[str] | Network | Checkpoint,
    network: str | PathLike[str] | Network | Checkpoint | None = None,
    *,
    layer: str | int | None = None,
    sample: int | None = None,
    data: Any = None,
    backend: str = "auto",
    precision: str = "fixed",
) -> Diff:
    """Find the first spike that differs between two rasters, or a raster and a model, and say why.

    Parameters
    ----------
    first, second : each a raster, its file or the folder of a run. One of them may be a model instead, a checkpoint,
        its name or a network: it is simulated on the input spikes that the raster holds, or on `data`
    network : what fired the spikes; `network.safetensors` beside a raster, or the model, if not given. A raster that
        does not say what it was recorded from, such as that of a library or a chip, is taken to be of this network
    layer, sample : where to look for the spike: in one layer, by its name or number; in one sample, by its position;
        everywhere if not given
    data : what the samples are made of, as of :func:`simulate`; for a network that a current drives, and where a
        raster does not hold its input
    backend, precision : what a model is simulated on, and in

    Returns
    -------
    what differs, which prints as a report

    Raises
    ------
    InputError : if rasters do not hold the same samples and steps, or a layer has two shapes

    Examples
    --------
    >>> import spikesam
    >>> raster = spikesam.simulate("cluttered-digits", samples=1, precision="float32")
    >>> found = spikesam.diff(raster, "cluttered-digits")  # in fixed point
    >>> found.first.layer, found.first.step
    ('conv1', 1)
    >>> print(found.why.cause[-1])
    so A and B each fire what their network makes of the same inputs; the networks differ: ...
    """
    with ExitStack() as resources:
        sides: list[Any] = [opened(each, resources) for each in (first, second)]
        rasters = [side for side in sides if isinstance(side, RasterReader)]
        if not rasters:
            raise InputError("diff: got two models, expected a raster among them; simulate one of them first")
        model = next((side for side in sides if not isinstance(side, RasterReader)), None)
        named = None if network is None else loaded_network(network)
        source = None if data is None else samples_of(data, named if model is None else model, rasters[0])
        names = [describe(raster) for raster in rasters]
        if model is not None:
            at = sides.index(model)
            fired = resources.enter_context(simulated(model, rasters[0], source, backend, precision))
            called = str((first, second)[at]) if isinstance((first, second)[at], (str, PathLike)) else "the model"
            rasters.insert(at, fired)
            names.insert(at, f"{called} on {describe(fired, named=False)}")
        same_index = model is None or not (data is None or hasattr(data, "__array__"))
        pair = line_up(rasters[0], rasters[1], same_index=same_index)
        found, where = Differences(pair), None if sample is None else position(sample, pair.first.n_samples, "sample")
        bit, why, notes = next(found.firsts(layer, where), None), None, list[str]()
        if bit is not None:
            networks = (None if each is None else plain_network(each) for each in (named, model))
            rules, notes = _rules(pair, *networks)
            if any(rules):
                try:
                    why = explain_bit(bit, Traced(pair, rules, what_drives(source, rasters[0].header.seed)))
                except InputError as error:
                    notes.append(f"why it differs is not known: {finding(error)}")
        return Diff.of(found, (names[0], names[1]), bit, why, tuple(notes))


def _rules(
    pair: Pair, named: Network | None, model: Network | None
) -> tuple[tuple[Rule | None, Rule | None], list[str]]:
    """The networks of both rasters, where they are known, and what to say of the others.

    Parameters
    ----------
    named : the network that was named, if one was
    model : that was simulated, if one was
    """
    rules: list[Rule | None] = []
    notes = []
    for name, raster in zip("AB", pair.rasters, strict=True):
        said, found, refused = bool(raster.header.network_sha256), None, []
        beside = [] if raster.path is None else [None]  # the file that lies there
        for candidate in [each for each in (named, model) if each is not None] + beside if said else []:
            try:
                found = found or Rule(recorded_network(raster, candidate), proven=True)
            except InputError as error:  # noqa: PERF203
                refused.append(finding(error))
        rules.append(found)
        if said and found is None:
            notes.append(f"{name}'s membranes are not known: {refused[0] if refused else 'give its network'}")
        elif said and named is not None and refused:
            notes.append(f"the network that was given is not {name}'s; the one that is known was taken: {refused[0]}")
    taken = named or model or next((rule.network for rule in rules if rule), None)
    for which, raster in enumerate(pair.rasters):
        name, other = "AB"[which], "BA"[which]
        if raster.header.network_sha256:
            continue
        if taken is None:
            notes.append(f"{name} does not say which network fired it; give the network, to know why they differ")
        else:
            whose = f"{other}'s" if named is None else "the one that was given"
            try:
                rules[which] = Rule(fired_by(raster, taken), proven=False)
                notes.append(f"{name} does not say which network fired it: it is taken to be {whose}")
            except InputError as error:
                notes.append(f"{name}'s membranes are not known: {finding(error)}")
    return (rules[0], rules[1]), notes
