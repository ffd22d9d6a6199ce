"""What a page knows of a run's answers, and of who attends to whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.pipeline.maps.methods.attention import pairs_of
from spikesam.pipeline.measures.statistics import softmax
from spikesam.pipeline.page.shown_run import ShownRun


def answers_of(run: ShownRun) -> tuple[dict[str, Any], NDArray[Any]]:
    """The classes and the unit of their scores, and these scores, (N, K).

    "spikes" of answers that are counts, of at most `most`, a count being `factor` times the raw sum; "share" of those
    of a network that is known, the softmax of its logits; else "score", what the model gave.
    """
    raster, header = run.raster, run.raster.header
    names = [run.class_name(number) or str(number) for number in range(raster.readout.shape[1])]
    about: dict[str, Any] = {"classes": names, "unit": "share"}
    real = raster.readout.astype(np.float64) * header.readout_scale
    if (counted := raster.counted) is not None:
        factor = counted.counts.sum() / max(1e-9, float(raster.readout.astype(np.float64).sum()))
        return about | {"unit": "spikes", "most": counted.most, "factor": factor}, counted.counts
    if not header.network_sha256:
        return about | {"unit": "score"}, real.round(4)
    return about, softmax(real / header.timesteps).round(5)


def attention_of(run: ShownRun) -> list[dict[str, Any]]:
    """Layers of queries and keys, by position in the raster: who attends to whom.

    The spikes of a query meet those of a key that fired `later` steps before. `layers` are all whose places are tokens
    of this attention, but of one that multiplies counts. Without the network they are known by name, and heads are not.
    """
    raster, at = run.raster, list(run.raster).index
    found: list[tuple[str, str, int, int, list[str]]] = []
    if network := run.whole_network:
        attending = [(layer.name, each) for layer in network.layers for each in layer.inputs if each.heads]
        for name, each in ((name, each) for name, each in attending if each.planes == 1):
            query, key = each.sources[0], each.sources[len(each.sources) // 2]
            layers = [*{source.layer: None for source in each.sources}, name]
            found.append((query.layer, key.layer, key.longest - query.longest, each.heads, layers))
    else:
        starts = {layer.name: raster.header.window_of(layer).start or 0 for layer in raster.layers}
        shapes = {layer.name: layer.shape for layer in raster.layers}
        for asking, asked in pairs_of(raster):
            if shapes[asking][0] % 3 == 0 if asking == asked else shapes[asking] == shapes[asked]:
                found.append((asking, asked, starts[asking] - starts[asked], 1, [asking, asked]))
    return [
        {"query": at(query), "key": at(key), "later": later, "heads": heads, "layers": [at(name) for name in layers]}
        for query, key, later, heads, layers in found
    ]
