"""Change recorded spikes of one layer, simulate what depends on them, and compare the answers."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesam.backends.network import Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError, at
from spikesam.common.parsing import parse_json
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.edits.result import Answers, Edit, layer_table
from spikesam.pipeline.networks.recorded import class_names_of, with_network
from spikesam.recordings.digests import spike_counts
from spikesam.recordings.raster.batch import joined, on_cpu, pack, unpack
from spikesam.recordings.raster.reader import RasterReader, opened_raster
from spikesam.recordings.schema import SampleTable

if TYPE_CHECKING:
    from spikesam.backends.event.backend import EventBackend
    from spikesam.pipeline.networks.checkpoint import Checkpoint


INDICES = "whole numbers or a slice"
Indices = int | slice | Iterable[int | slice]
AXES = "(H, W), (C, H, W), (T, C, H, W) or (T, B, C, H, W)"
WHERE = "edit"
EDITED = (
    "edited"  # in the configuration of a raster: the layers that do not fire what the network says
)


@checked_arguments(
    mask="an array of True and False",
    rows=INDICES,
    columns=INDICES,
    channels=INDICES,
    steps=INDICES,
    samples="positions in a list, as [2], or a slice",
)
def edit(
    raster: RasterReader | str | PathLike[str],
    network: Network | Checkpoint | str | PathLike[str] | None = None,
    layer: str | int | None = None,
    mask: ArrayLike | None = None,
    *,
    rows: Indices | None = None,
    columns: Indices | None = None,
    channels: Indices | None = None,
    steps: Indices | None = None,
    samples: slice | Iterable[int | slice] | None = None,
    all: bool = False,
    fires: bool = False,
) -> Edit:
    """Simulate what the answer would be, had some neurons been silent, or had they fired.

    The recorded spikes of one layer are changed, and every layer that depends on it is simulated
    again, exactly. With s the recorded spikes and s' those of the edited run, l the layer, m the
    chosen neurons and steps, and f = 1 if `fires`, else 0:

        s'_l[t] = f  where m[t],  s_l[t] elsewhere
        s'_k[t] = what layer k fires, driven by s'     for every k ≠ l to which a way leads from l
        s'_k[t] = s_k[t]                               for every other k

    So the edit holds for the whole run, also where the layer lies in a loop: what comes back to it
    changes nothing there. A layer that reads others beside l goes on reading what they fire. The
    readout is that of s'.

    Parameters
    ----------
    raster : a raster, its file, or the folder of a run, which holds every layer of the network
    network : the network that fired its spikes: a network, a checkpoint, its name or its file; if
        not given, `network.safetensors` beside the raster. A float32 network is rounded as for the
        run where the raster is in fixed point. Of a recorded model, its import: the recording is
        lined up with it, and refused if the network does not fire one of its spikes
    layer : the layer to edit by its name or number, "input" for the input spikes; needed
    mask : bool, where to edit: (H, W) places, (C, H, W) neurons, (T, C, H, W) or (T, B, C, H, W)
        with steps, or with samples, too; (C,) of a dense layer. A side of 1 stands for all
    rows, columns, channels, steps : which of them to edit, as whole numbers or slices: all if not
        given. An edit is where the mask and all of these say so
    samples : positions of the samples to edit, in a list, or a slice: all if not given. The result
        holds these alone
    all : edit the whole layer, where neither a mask nor rows, columns, channels or steps are given
    fires : whether the chosen neurons fire at every chosen step, or at none

    Returns
    -------
    the answers before and after, spikes per layer, and the raster of the edited run

    Raises
    ------
    InputError : if the network is not the raster's, there is no such layer, channel, step or
        sample, a mask has another shape or dtype, or nothing says where to edit

    Notes
    -----
    In fixed point an edit that changes no spike gives the same raster, whichever backend wrote it.
    In float32 this is sure for rasters of the event backend alone, which simulates here.

    Examples
    --------
    >>> import spikesam
    >>> raster = spikesam.simulate("cluttered-digits", samples=2)
    >>> edited = spikesam.edit(raster, "cluttered-digits", "conv1", channels=range(12))
    >>> int(edited.raster["conv1"][0][:, :12].sum()), edited.after.shares.shape
    (0, (2, 10))
    >>> unchanged = spikesam.edit(raster, "cluttered-digits", "conv2", steps=[])
    >>> unchanged.raster.raster_digest == raster.raster_digest
    True
    """
    if layer is None:
        raise InputError(
            f"{WHERE}: no layer is given, expected its name or number, as in edit(raster, "
            "layer='conv1')"
        )
    with opened_raster(raster) as recorded:
        opened, graph = with_network(recorded, network)
        if not opened.header.classes:
            raise InputError(
                f"{WHERE}: {opened.file_name} holds no answers, expected a raster of a run"
            )
        spec = opened.layer(layer)
        again = tuple(name for name in graph.dependents(spec.name) if name != spec.name)
        _refuse_unknown_currents(graph, again, spec.name)
        forced = edited_layers(opened)
        if lost := [name for name in forced if name in again]:
            raise InputError(
                f"{WHERE}: {opened.file_name}: {lost[0]!r} was edited before, and would be "
                f"simulated again; edit {spec.name!r} first, then {lost[0]!r}"
            )
        with at(WHERE):
            shown = positions(samples, opened.n_samples, "sample")
        if not shown:
            raise InputError(
                f"{WHERE}: got no samples, expected at least one of 0 to {opened.n_samples - 1}"
            )
        places = (mask, rows, columns, channels, steps)
        _refuse_unclear_places(spec.name, any(place is not None for place in places), all)
        sides = (opened.timesteps, *spec.shape)
        choices = zip(
            (steps, channels, rows, columns),
            sides,
            ("step", "channel", "row", "column"),
            strict=True,
        )
        chosen = np.zeros(sides, np.bool_)
        with at(f"{WHERE}: layer {spec.name!r}"):
            chosen_places = [np.array(positions(*choice), np.intp) for choice in choices]
            masked = _mask(mask, (opened.timesteps, len(shown), *spec.shape))
        chosen[np.ix_(*chosen_places)] = True

        def given() -> Iterator[dict[str, NDArray[np.uint8]]]:
            for row, sample in enumerate(shown):
                spikes = {
                    recorded_layer.name: opened.packed(recorded_layer, sample)
                    for recorded_layer in opened.layers
                    if recorded_layer.name not in again
                }
                bits = unpack(spikes[spec.name][None], spec.shape)
                bits[:, 0][masked[:, row] & chosen] = fires
                spikes[spec.name] = pack(bits)[0]
                yield spikes

        config = {**_config(opened), EDITED: sorted({*forced, spec.name})}
        header = replace(opened.header, backend="event", device="cpu", config=json.dumps(config))
        table = SampleTable(opened.samples.index[shown], opened.samples.label[shown])
        batch = joined(list(_simulator().rerun(graph, given(), len(shown))))
        last = opened.layers[-1]
        fired = (
            int(opened.counts(last)[shown].sum()),
            int(spike_counts(batch.spikes[last.name]).sum()),
        )
        answers_before, answers_after = map(
            Answers.of, (opened.readout[shown], batch.readout), (header, header), fired
        )
        layers = layer_table(opened, shown, batch, (spec.name, *again))
        names = class_names_of(opened, network)
        return Edit(
            spec.name, shown, answers_before, answers_after, layers, header, table, batch, names
        )


@lru_cache(maxsize=1)
def _simulator() -> EventBackend:
    """The event backend, which keeps the weights laid out of networks that are edited again."""
    from spikesam.backends.event.backend import (
        EventBackend,
    )  # here, because numba takes half a second to import

    return EventBackend()


def _refuse_unknown_currents(network: Network, again: tuple[str, ...], edited: str) -> None:
    """Refuse to simulate a layer again that currents drive: a raster does not hold them."""
    for driven in (network.layers[place].name for place, _ in network.driven):
        if driven in again:
            raise InputError(
                f"{WHERE}: {edited!r} leads to {driven!r}, which currents of the input drive that "
                "a raster does not "
                "hold; expected an edit behind it"
            )


def _refuse_unclear_places(layer: str, named: bool, everywhere: bool) -> None:
    """Refuse an edit of a whole layer that was not asked for, and one with places beside it."""
    if not (named or everywhere):
        raise InputError(
            f"{WHERE}: layer {layer!r}: nothing says which of its neurons to edit",
            "; give {rows}, {columns}, {channels} or {steps}, or {all=True} for the whole layer",
        )
    if named and everywhere:
        raise InputError(
            f"{WHERE}: layer {layer!r}: got places to edit beside the whole layer",
            "; leave out one of both",
        )


def _config(raster: RasterReader) -> dict[str, Any]:
    with at("config"):
        config = parse_json(raster.header.config)
    return config if isinstance(config, dict) else {}


def edited_layers(raster: RasterReader) -> list[str]:
    """The layers of a raster that an edit forced."""
    names = _config(raster).get(EDITED)
    return [name for name in raster if name in names] if isinstance(names, list) else []


def positions(choice: Indices | None, count: int, axis: str) -> list[int]:
    """Whole numbers and slices as positions among `count`, all if not given, -1 the last; refuses
    others as `axis`.
    """
    if choice is None:
        return list(range(count))
    choices: Any = (
        choice if isinstance(choice, Iterable) and not isinstance(choice, str) else (choice,)
    )
    chosen: list[int] = []
    for item in choices:
        if isinstance(item, slice):
            within = _within(item, count)
            if not within:
                parts = (item.start, item.stop, item.step)[: 2 + (item.step is not None)]
                shown = printable(
                    ":".join("" if part is None else str(part) for part in parts), LONGEST_NAME
                )
                raise InputError(f"no {axis} in {shown}, expected some of 0 to {count - 1}")
            chosen += within
            continue
        try:
            index = operator.index(item)
        except TypeError:
            index = None
        if index is None or isinstance(item, (bool, np.bool_)):
            raise InputError(
                f"got the {axis} {printable(repr(item), LONGEST_NAME)}, expected whole numbers or "
                "a slice"
            )
        if not -count <= index < count:
            raise InputError(f"no {axis} {index}, expected 0 to {count - 1}")
        chosen.append(index % count)
    return chosen


def _within(choice: slice, count: int) -> range:
    try:
        return range(count)[choice]
    except (TypeError, ValueError):
        return range(0)


def _mask(mask_given: ArrayLike | None, full: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask as (T, B, C, H, W), without copying it."""
    timesteps, samples, *shape = full
    if mask_given is None:
        return np.broadcast_to(np.True_, full)
    try:
        mask = np.asarray(on_cpu(mask_given))
    except ValueError:
        raise InputError("the mask is no array; its rows have other lengths") from None
    if mask.dtype != np.bool_:
        raise InputError(f"got a mask of {mask.dtype}, expected bool")
    given_shape = mask.shape
    if mask.ndim == 1 and shape[1:] == [1, 1]:
        mask = mask[:, None, None]
    if mask.ndim == 4:
        mask = mask[:, None]
    sides = full[-mask.ndim :]
    if mask.ndim not in (2, 3, 5) or any(
        side not in (1, goal) for side, goal in zip(mask.shape, sides, strict=True)
    ):
        sizes = f"T, B, C, H, W = {timesteps}, {samples}, {', '.join(map(str, shape))}"
        raise InputError(
            f"got a mask of {given_shape}, expected {AXES}, with {sizes}, or sides of 1"
        )
    return np.broadcast_to(mask, full)
