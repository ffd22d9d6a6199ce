"""The cost of the samples of a page: a table by layer, and one map of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikesam.pipeline.cost.ledger import Ledger, spread_evenly
from spikesam.pipeline.cost.prices import PRICES
from spikesam.pipeline.page.bands import is_band
from spikesam.pipeline.page.blob import heat_map
from spikesam.pipeline.page.excerpt import Content
from spikesam.pipeline.page.shown_run import ShownRun


def ledger_of(run: ShownRun) -> Ledger | None:
    """The ledger of a run; None without the network or some of its layers."""
    return Ledger(run.raster, run.whole_network, PRICES["45nm"]) if run.whole_network else None


def energy_of_sample(run: ShownRun, ledger: Ledger | None, sample: int) -> tuple[Content | None, Content]:
    """Operations and joules of each layer; and layer -> map of all, on the grid of the first layer that has maps."""
    if ledger is None:
        return None, {}
    spent = ledger.sample(sample)
    layers = {
        name: {"operations": int(spent.operations[name].sum()), "joules": float(spent.joules[name].sum())}
        for name in ledger.updates
    }
    shown = next((layer for layer in run.raster.layers if not is_band(layer)), None)
    if shown is None or spent.map is None:
        return layers, {}
    return layers, {shown.name: heat_map(spread_evenly(spent.map, shown.shape[1:]))}


def energy_of_run(ledger: Ledger | None, samples: Sequence[Content]) -> Content | None:
    """A row for each layer and the readout: means of the samples that the page holds, and what an ANN's layer costs."""
    if ledger is None:
        return None

    def mean(name: str, what: str) -> Any:
        return float(np.mean([sample["energy"][name][what] for sample in samples]))

    rows = [
        {
            "layer": name,
            "operations": mean(name, "operations"),
            "joules": mean(name, "joules"),
            "macs": ledger.ann_macs[name],
            "annJoules": ledger.ann_joules(name),
        }
        for name in ledger.updates
    ]
    return {"prices": ledger.prices.name, "source": ledger.prices.source, "rows": rows}
