"""The content of a page, which its script reads as JSON: names, numbers, and packed spikes and
pictures as blobs.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import Attention
from spikesam.pipeline.cost.counted import CountedLedger
from spikesam.pipeline.cost.ledger import Ledger
from spikesam.pipeline.drawing.padding import outside
from spikesam.pipeline.drawing.subject import is_right
from spikesam.pipeline.maps.method import methods
from spikesam.pipeline.maps.methods.attention import pairs_of
from spikesam.pipeline.measures.statistics import softmax
from spikesam.pipeline.page._energy import (
    chip_of_run,
    energy_of_run,
    energy_of_sample,
    ledger_of_run,
)
from spikesam.pipeline.page._integers import integers_of, unsimulated
from spikesam.pipeline.page._packing import Content, blob, excerpt, heat_map, is_band
from spikesam.pipeline.page._relevance import classes_of, explains, relevance_of, unexplained
from spikesam.pipeline.page._shown_run import ShownRun
from spikesam.recordings.maps.reader import MapReader
from spikesam.recordings.raster.schema import LayerSpec

Scores = dict[
    tuple[str, int | None], dict[str, dict[str, float]]
]  # layer, sample -> map -> measure -> score

ORDER = ("sam", "relevance", "count", "attention")  # others follow
COUNT = {"label": "count", "says": "Bright: where neurons fire often", "live": True}
ENERGY = {
    "label": "energy",
    "says": "Bright: where neurons and their spikes cost energy",
    "unit": "J",
}


def kinds_of(runs: Sequence[ShownRun]) -> dict[str, Content]:
    """The kinds of maps that the page can show, in order; `live` ones it computes of the spikes."""
    all_methods = methods()
    computed = [
        method
        for method in all_methods.built_in.values()
        if method.offline and method.on_page != "file"
    ]
    read = [
        all_methods[name]
        for name in dict.fromkeys(maps.header.method for run in runs for maps in run.maps)
    ]
    kinds = {method.name: _kind(method) for method in (*computed, *read)} | {"count": COUNT}
    return {**{name: kinds[name] for name in ORDER}, **kinds, "energy": ENERGY}


def _kind(method: Any) -> Content:
    shows = method.shows[0].lower() + method.shows[1:]
    says = f"Green: {shows}; pink: what speaks against it" if method.signed else f"Bright: {shows}"
    live = method.on_page == "spikes"
    properties = {"live": live, "signed": method.signed, "classes": method.on_page == "network"}
    return {"label": method.label or method.title, "says": says, **properties}


def run_content(run: ShownRun, limit: int) -> Content:
    """Everything of one run, in at most `limit` bytes of samples."""
    raster, header = run.raster, run.raster.header
    scores = _scores(run)
    ledger = ledger_of_run(run)
    answers, values = shown_answers(run)
    computed = explains(run)
    content = partial(_sample, run, scores, ledger, values, computed)
    shown = excerpt(content, raster.n_samples, run.steps, limit)
    unsilenced = unsimulated(run, shown.steps)
    labelled = (raster.labels >= 0) & (
        (raster.predictions >= 0) | header.has_classes
    )  # silence is wrong
    right = f"{(raster.labels == raster.predictions)[labelled].sum()} of {labelled.sum()} right"
    samples = f"{raster.n_samples} sample{'s' * (raster.n_samples > 1)}"
    steps = f"{header.window or raster.timesteps} steps"
    delayed = header.window not in (None, raster.timesteps)
    with_delays = f", {raster.timesteps} with the delays of layers" * delayed
    all_steps_shown = shown.steps == run.steps
    mostly_padding = outside(run.network) if run.network else {}
    facts = [run.network_name or header.dataset, samples, steps]
    facts += [
        f"{header.backend}, {'integers' if header.precision == 'fixed' else header.precision}"
    ]
    return {
        "name": run.name,
        "about": " · ".join(text for text in (*facts, right if labelled.any() else "") if text),
        "dataset": header.dataset,
        "steps": shown.steps,
        "rated": min(header.window or shown.steps, shown.steps),  # those that rates are by
        "gamma": run.gamma,
        "events": bool(run.pictures and run.pictures.events),
        "facts": [
            [
                "network",
                " ".join(
                    name_part
                    for name_part in (run.network_name, header.network_sha256[:12])
                    if name_part
                )
                or "unknown",
            ],
            ["data", header.dataset or "unknown"],
            ["steps", steps + with_delays],
            ["simulated on", f"{header.backend} ({header.precision})"],
            ["spikes' digest", raster.raster_digest[:12]],
        ],
        "answers": answers,
        "attention": attention_of(run),
        "graph": _graph(run),
        "energy": energy_of_run(ledger, shown.samples),
        "chip": chip_of_run(run),
        "integers": None
        if unsilenced
        else integers_of(run.whole_network)
        if run.whole_network
        else None,
        "unsilenced": unsilenced,
        "explains": computed and all_steps_shown,
        "notes": [
            note
            for note in (
                shown.note,
                raster.silence,
                None if computed and all_steps_shown else unexplained(run, len(shown.samples)),
                *run.notes,
            )
            if note
        ],
        "layers": [
            _layer(run, scores, layer, _padded(mostly_padding.get(layer.name)))
            for layer in raster.layers
        ],
        "samples": shown.samples,
    }


def _graph(run: ShownRun) -> str | None:
    """The picture of the network as SVG in a `data:` address; None without the network."""
    if run.network is None:
        return None
    from spikesam.pipeline.drawing.canvas import style  # matplotlib takes a second to import
    from spikesam.pipeline.drawing.network import draw_network

    drawn = io.BytesIO()
    with style(
        **{"svg.fonttype": "none", "svg.hashsalt": "spikesam"}
    ):  # the same network, the same page
        draw_network(run.network, run.raster).savefig(drawn, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.getvalue()).decode()


def _layer(
    run: ShownRun, scores: Scores, layer: LayerSpec, padded: dict[str, list[int]] | None
) -> Content:
    window = run.window_of(layer)
    rates = run.raster.counts(layer)[:, window].mean(axis=0) / layer.neurons
    return {
        "name": layer.name,
        "kind": layer.kind,
        "shape": (1, layer.neurons, 1)
        if is_band(layer)
        else layer.shape,  # each neuron of a band is a place
        "band": is_band(layer),
        "start": window.start,  # where the network has its first step
        "matter": min(run.steps, run.raster.steps_that_matter(layer) - window.start),
        "padded": padded,
        "rates": [round(float(rate), 5) for rate in rates],
        "rate": run.raster.rate(layer),
        "localisation": scores.get((layer.name, None), {}),
    }


def _padded(cells: NDArray[np.bool_] | None) -> dict[str, list[int]] | None:
    """The rows and columns whose cells see much zero padding; None where there are none, or all are
    so.
    """
    if cells is None or not cells.any() or cells.all():
        return None
    return {
        "rows": cells.all(axis=1).nonzero()[0].tolist(),
        "columns": cells.all(axis=0).nonzero()[0].tolist(),
    }


def _sample(
    run: ShownRun,
    scores: Scores,
    ledger: Ledger | CountedLedger | None,
    answers: NDArray[Any],
    computed: bool,
    sample: int,
    steps: int,
) -> Content:
    raster = run.raster
    label, predicted = int(raster.labels[sample]), int(raster.predictions[sample])
    computed = computed and steps == run.steps
    classes = classes_of(run, sample, computed)
    index, (energy, energy_map) = (
        int(raster.samples.index[sample]),
        energy_of_sample(run, ledger, sample, steps),
    )
    return {
        "index": index,
        "name": run.summary.answers[sample].image if run.summary else f"sample {index}",
        "values": raster.header.outputs == "values",
        "label": run.class_name(label),
        "predicted": run.class_name(predicted),
        "right": is_right(predicted, label, answers=raster.header.has_classes),
        "scores": answers[sample].tolist(),
        "classes": classes,
        **_picture(run, sample),
        "spikes": [
            blob(
                spike_trains(
                    raster.packed(layer, sample)[run.window_of(layer)][:steps], layer.neurons
                )
            )
            for layer in raster.layers
        ],
        "maps": {
            "relevance": [] if computed else relevance_of(run, sample, classes, steps),
            **{maps.header.method: [{"layers": _summed(maps, sample)}] for maps in run.maps},
            "energy": [{"layers": energy_map}] if energy_map else [],
        },
        "energy": energy,
        "localisation": {layer: scores.get((layer, sample), {}) for layer in raster},
    }


def _picture(run: ShownRun, sample: int) -> Content:
    """The image, (H, W, 3) uint8, its mask, (H, W) uint8, and its box, as fractions of width and
    height.
    """
    shown_sample = run.pictures[sample] if run.pictures and sample < len(run.pictures) else None
    if shown_sample is None or (pixels := shown_sample.picture) is None:
        return {"picture": None, "mask": None, "box": None}
    (height, width), mask, box = pixels.shape[:2], shown_sample.mask, shown_sample.box
    return {
        "picture": {"shape": [height, width], "pixels": blob(pixels)},
        "mask": None
        if mask is None
        else {"shape": mask.shape, "pixels": blob(mask.astype(np.uint8))},
        "box": None
        if box is None
        else [box[0] / width, box[1] / height, box[2] / width, box[3] / height],
    }


def _summed(maps: MapReader, sample: int) -> Content:
    """Layer -> map, summed over the steps that matter."""
    return {layer.name: heat_map(maps.read_sum(layer, sample)) for layer in maps.layers}


def _scores(run: ShownRun) -> Scores:
    """The scores of the shown samples whose object is known; beside None, the means over all
    samples.
    """
    scores: Scores = {}

    def put(layer: str | None, sample: int | None, method: str, measure: str, value: float) -> None:
        scores.setdefault((layer or "", sample), {}).setdefault(method, {})[measure] = round(
            value, 4
        )

    for image, layer, method, measure, value in run.scores:
        put(layer, image, method, measure, value)
    for mean in run.summary.localisation if run.summary else ():
        put(mean.layer, None, mean.method, mean.measure, mean.mean)
    return scores


def spike_trains(packed: NDArray[np.uint8], neurons: int) -> NDArray[np.uint8]:
    """From steps of neurons to trains of steps, which deflate a fifth smaller: (T, bytes) ->
    (neurons, ⌈T/8⌉) uint8.
    """
    return np.packbits(np.unpackbits(packed, axis=1, count=neurons).T, axis=1)


def shown_answers(run: ShownRun) -> tuple[dict[str, Any], NDArray[Any]]:
    """The classes and the unit of their scores, and these scores, (N, K).

    "value" of outputs that are numbers and no classes.
    "spikes" of answers that are counts, of at most `most`, a count being `factor` times the raw
    sum; "share" of those of a network that is known, the softmax of its logits; else "score", what
    the model gave.
    """
    raster, header = run.raster, run.raster.header
    if header.outputs == "values":
        names = [f"output {number}" for number in range(header.classes)]
        return {"classes": names, "unit": "value"}, header.values(raster.readout).round(5)
    names = [run.class_name(number) or str(number) for number in range(raster.readout.shape[1])]
    answers: dict[str, Any] = {"classes": names, "unit": "share"}
    real = raster.readout.astype(np.float64) * header.readout_scale
    if (counted := raster.counted) is not None:
        factor = counted.counts.sum() / max(1e-9, float(raster.readout.astype(np.float64).sum()))
        return answers | {"unit": "spikes", "most": counted.most, "factor": factor}, counted.counts
    if not header.network_sha256:
        return answers | {"unit": "score"}, real.round(4)
    return answers, softmax(real / header.timesteps).round(5)


def attention_of(run: ShownRun) -> list[dict[str, Any]]:
    """Layers of queries and keys, by position in the raster; a query meets a key that fired `later`
    steps before.

    `layers` are all whose places are tokens of this attention. Without the network names tell them,
    and heads are not known.
    """
    raster, place_of = run.raster, list(run.raster).index
    pairs: list[tuple[str, str, int, int, list[str]]] = []
    if network := run.whole_network:
        for layer, layer_input, attention in network.inputs_of(Attention):
            if attention.planes(layer_input) > 1:
                continue
            query, key = layer_input.sources[0], layer_input.sources[len(layer_input.sources) // 2]
            names = dict.fromkeys(source.layer for source in layer_input.sources)
            query_start, key_start = (
                run.window_of(raster.layer(source.layer)).start for source in (query, key)
            )
            later = key.longest - query.longest + key_start - query_start
            pairs.append((query.layer, key.layer, later, attention.heads, [*names, layer.name]))
    else:
        starts = {
            layer.name: raster.header.window_of(layer).start - run.window_of(layer).start
            for layer in raster.layers
        }
        shapes = {layer.name: layer.shape for layer in raster.layers}
        for query_layer, key_layer in pairs_of(raster):
            if (
                shapes[query_layer][0] % 3 == 0
                if query_layer == key_layer
                else shapes[query_layer] == shapes[key_layer]
            ):
                pairs.append(
                    (
                        query_layer,
                        key_layer,
                        starts[query_layer] - starts[key_layer],
                        1,
                        [query_layer, key_layer],
                    )
                )
    return [
        {
            "query": place_of(query),
            "key": place_of(key),
            "later": later,
            "heads": heads,
            "layers": [place_of(name) for name in layers],
        }
        for query, key, later, heads, layers in pairs
    ]
