"""Attention of a recording: which token attends to which, of the spikes of queries and keys alone,
without a network.

    A[n, m] = Σ_t Σ_h Σ_c q[t, h, c, n] · k[t, h, c, m]

These are whole numbers; h are heads, c channels of a head. A row is a map of whom token n attends
to; the sum of all rows is a map of who is attended to. Where
a recorded network takes steps that its model does not have, q and k are compared at the model's
steps. A q that fires several spikes a step is recorded as layers q_1, q_2, …, and is their sum;
names do not tell them from the queries of several blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.pipeline.maps.layers import map_layers
from spikesam.pipeline.maps.method import (
    Explained,
    Explainer,
    RasterMethod,
    StepChoice,
    raster_explainer,
    summed,
)
from spikesam.recordings.maps.schema import MapHeader
from spikesam.recordings.raster.reader import RasterReader, opened_raster
from spikesam.recordings.raster.schema import LayerSpec

QUERY = re.compile(
    r"(?:^|(?<=[_.]))q(?=$|[_.])"
)  # the part of a name that says that a layer is queries: "attn_q_lif"
JOINED = re.compile(r"(?:^|(?<=[_.]))qkv(?=$|[_.])")  # and that it has the channels of q, k and v
NUMBER = re.compile(r"_\d+$")  # of neurons that fire several spikes a step, or of a block


@dataclass(frozen=True)
class AttentionMaps(RasterMethod):
    """Who is attended to: the keys of every block, weighed by all queries."""

    name = "attention"
    title = "Attention"
    shows = "Which tokens all tokens of a block attend to"
    speaks_for = "none"
    label = "attention"
    on_page = "spikes"

    def of_raster(
        self, raster: RasterReader, layers: tuple[LayerSpec, ...], step_choice: StepChoice
    ) -> Explainer:
        """See :class:`RasterMethod`; of layers that are keys, by the names of layers such as
        "q_lif" and "k_lif".
        """
        pairs = {key: query for query, key in pairs_of(layer.name for layer in raster.layers)}
        key_layers = tuple(layer for layer in layers if layer.name in pairs)
        if not key_layers:
            raise InputError(
                f"{raster.file_name}: no layer is known as keys by its name, expected pairs such "
                "as 'q_lif' and 'k_lif', or 'qkv_lif', without 'q_lif_1' and 'q_lif_2'; "
                "attention_map takes any layers, "
                "and sums lists of them"
            )
        header = MapHeader(
            self.name,
            raster.raster_digest,
            {},
            raster.timesteps,
            map_layers(raster.header, key_layers),
            *step_choice,
        )

        def explain(sample: int) -> Explained:
            maps = {}
            for layer in key_layers:
                query, key = _asked(raster, (pairs[layer.name],), (layer.name,), sample)
                rows = np.einsum("tcn,tcm->tm", query.sum(axis=2, keepdims=True), key)
                at_steps = np.zeros((raster.timesteps, *layer.shape[1:]), np.float32)
                at_steps[raster.header.window_of(layer)] = rows.reshape(-1, *layer.shape[1:])
                maps[layer.name] = at_steps
            return summed(header, sample, int(raster.predictions[sample]), maps)

        return raster_explainer(raster, header, explain)


@checked_arguments(token="(row, column)")
def attention_map(
    raster: Any,
    *,
    query: str | Sequence[str],
    key: str | Sequence[str],
    heads: int = 1,
    token: tuple[int, int] | None = None,
    head: int | None = None,
    step: int | None = None,
) -> NDArray[np.int64]:
    """Whom a token attends to, from a recording alone; or who is attended to.

    Parameters
    ----------
    raster : an open raster, or its file or run
    query, key : names of two recorded layers of one shape (C, H, W); or of one that has the
        channels of q, k and v one behind the other. A list is summed: ["q_1", "q_2"] are neurons
        that fire up to two spikes a step
    heads : among which channels are divided, the first head's first
    token : (row, column) of the token that attends; the sum over all tokens if not given
    head, step : of one head or step, counted from 0; all if not given. Steps are the model's

    Returns
    -------
    (N, H, W) int64 — of each sample, how often spikes of the query meet spikes of the key at each
        token: Σ q · k

    Raises
    ------
    InputError : if layers, heads, tokens or steps are not there

    Examples
    --------
    The token at row 0 and column 1 fires in channel 0, as the key does at both tokens.

    >>> import numpy as np
    >>> import spikesam
    >>> # two layers of one sample, one step, two channels, 1 × 2 tokens
    >>> q, k = np.zeros((2, 1, 1, 2, 1, 2), bool)
    >>> q[0, 0, 0, 0, 1] = k[0, 0, 0, 0, :] = k[0, 0, 1, 0, 0] = True
    >>> raster = spikesam.write_raster("q_and_k.h5", {"q": q, "k": k}, overwrite=True)
    >>> spikesam.attention_map(raster, query="q", key="k", token=(0, 1)).tolist()
    [[[1, 1]]]
    """
    pair = (
        isinstance(token, (tuple, list))
        and len(token) == 2
        and all(isinstance(coordinate, Integral) for coordinate in token)
    )
    sums = list[NDArray[np.int64]]()
    with opened_raster(raster) as reader:
        queries, keys = (
            (names,) if isinstance(names, str) else tuple(names) for names in (query, key)
        )
        if not (queries and keys):
            raise InputError(
                "attention_map: query or key is an empty list, expected names of layers"
            )
        height, width = reader.layer(keys[0]).shape[1:]
        for sample in range(reader.n_samples):
            query_spikes, key_spikes = _asked(reader, queries, keys, sample)
            steps, channels = query_spikes.shape[:2]
            if heads < 1 or channels % heads:
                raise InputError(
                    f"attention_map: {heads} heads of {channels} channels of {query!r}, expected a "
                    "divisor"
                )
            for axis_name, value, count in (("head", head, heads), ("step", step, steps)):
                if value is not None and not 0 <= value < count:
                    raise InputError(
                        f"attention_map: {axis_name} is {value}, expected 0 … {count - 1}"
                    )
            if token is not None and not (
                pair and 0 <= token[0] < height and 0 <= token[1] < width
            ):
                raise InputError(
                    f"attention_map: token is {token}, expected (row, column) below {height} and "
                    f"{width}"
                )
            head_channels = (
                slice(None)
                if head is None
                else slice(head * channels // heads, (head + 1) * channels // heads)
            )
            chosen_steps = slice(None) if step is None else slice(step, step + 1)
            query_spikes, key_spikes = (
                query_spikes[chosen_steps, head_channels],
                key_spikes[chosen_steps, head_channels],
            )
            of_token = (
                query_spikes.sum(axis=2)
                if token is None
                else query_spikes[:, :, token[0] * width + token[1]]
            )
            sums.append(np.einsum("tc,tcm->m", of_token, key_spikes).reshape(height, width))
    return np.stack(sums)


def _asked(
    raster: RasterReader, queries: tuple[str, ...], keys: tuple[str, ...], sample: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """q and k of a sample, (T, C, N) each, at the model's steps."""
    layers = [raster.layer(name) for name in queries + keys]
    if len({layer.shape for layer in layers}) > 1:
        shapes = (f"{layer.name!r} of {layer.shape}" for layer in layers)
        raise InputError(f"attention of {' and '.join(shapes)}, expected one shape")
    channels, height, width = layers[0].shape
    spikes = np.stack(
        [raster[layer][sample][raster.header.window_of(layer)].astype(np.int64) for layer in layers]
    )
    spikes = spikes.reshape(len(layers), -1, channels, height * width)
    query_spikes, key_spikes = (
        spikes[: len(queries)].sum(axis=0),
        spikes[len(queries) :].sum(axis=0),
    )
    if queries == keys:
        if channels % 3:
            raise InputError(
                f"layer {queries[0]!r}: has {channels} channels, expected those of q, k and v"
            )
        query_spikes, key_spikes, _ = np.split(query_spikes, 3, axis=1)
    return query_spikes, key_spikes


def pairs_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """Layers of queries and of keys that belong together, by their names; none of layers that may
    be parts of a sum.
    """
    layer_names = list(names)
    numbered = Counter(NUMBER.sub("", name) for name in layer_names if NUMBER.search(name))
    unsplit_names = [
        name
        for name in layer_names
        if not NUMBER.search(name) or numbered[NUMBER.sub("", name)] == 1
    ]
    pairs = [(name, QUERY.sub("k", name)) for name in unsplit_names if QUERY.search(name)]
    joined = [(name, name) for name in unsplit_names if JOINED.search(name)]
    return [pair for pair in pairs if pair[1] in unsplit_names] + joined
