"""The cost of the samples of a page: a table by layer, one map of all layers, and a band of each
without places.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from spikesam.pipeline.chips.result_file import RunOnChip
from spikesam.pipeline.cost.counted import CountedLedger
from spikesam.pipeline.cost.ledger import Ledger, spread_evenly
from spikesam.pipeline.cost.prices import PRICES
from spikesam.pipeline.page._packing import Content, band_map, heat_map, is_band
from spikesam.pipeline.page._shown_run import ShownRun

COUNTED_ROWS = (
    "Operations were counted while the model ran, module by module; layers have updates and spikes "
    "alone. Numbers that are no spikes multiply: they are in the energy, and no operations."
)

MESH = (
    "Squares are cores; their numbers are in the list of layers. A red edge marks the core with "
    "the most work, and the core that receives the most messages."
)


def ledger_of_run(run: ShownRun) -> Ledger | CountedLedger | None:
    """The ledger of a run, by its network, or by what was counted when its model was recorded; None
    without both.
    """
    prices = PRICES["45nm"]
    if run.whole_network:
        return Ledger(run.raster, run.whole_network, prices)
    return CountedLedger(run.raster, run.operations, prices) if run.operations else None


def energy_of_sample(
    run: ShownRun, ledger: Ledger | CountedLedger | None, sample: int, steps: int
) -> tuple[Content | None, Content]:
    """Operations and joules of each layer; and layer -> map of all, on the first layer's grid, or
    of a band its own; no maps without the network.
    """
    if ledger is None:
        return None, {}
    spent = ledger.sample(sample)
    layers = {
        name: {
            "operations": int(spent.operations[name].sum()),
            "joules": float(spent.joules[name].sum()),
        }
        for name in ledger.updates
    }
    if isinstance(ledger, CountedLedger):
        return layers, {}
    bands = [layer for layer in run.raster.layers if is_band(layer)]
    maps = {
        layer.name: band_map(ledger.of_neurons(sample, layer)[run.window_of(layer)], steps)
        for layer in bands
    }
    shown = next((layer for layer in run.raster.layers if not is_band(layer)), None)
    if shown is not None and spent.map is not None:
        maps[shown.name] = heat_map(spread_evenly(spent.map, shown.shape[1:]))
    return layers, maps


def energy_of_run(
    ledger: Ledger | CountedLedger | None, samples: Sequence[Content]
) -> Content | None:
    """A row for each layer and the readout: means of the samples that the page holds, and what an
    ANN's layer costs.
    """
    if ledger is None:
        return None

    def mean(name: str, quantity: str) -> Any:
        return float(np.mean([sample["energy"][name][quantity] for sample in samples]))

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
    counted = isinstance(ledger, CountedLedger)
    return {
        "prices": ledger.prices.name,
        "source": ledger.prices.source,
        "counted": COUNTED_ROWS if counted else "",
        "rows": rows,
    }


def chip_of_run(run: ShownRun) -> Content | None:
    """The cost of a sample on the model of a chip, and a row for each group of neurons; None if the
    run was not simulated on one.
    """
    if run.on_chip is None:
        return None
    record = run.on_chip
    return {
        "name": record.chip.capitalize(),
        "version": record.version,
        "samples": record.samples,
        "cores": len(record.cores),
        "mesh": _mesh(record),
        "bits": record.bits,
        "compared": record.compared,
        "joules": record.joules,
        "seconds": record.seconds,
        "stepSeconds": record.step_seconds,
        "rows": [row.model_dump() for row in record.layers],
    }


def _mesh(record: RunOnChip) -> str:
    """The picture of the mesh of a chip as PNG in a `data:` address."""
    import pandas as pd  # takes a second to import, as matplotlib does

    from spikesam.pipeline.drawing.chip import draw_mesh
    from spikesam.pipeline.drawing.notebook import png_of

    cores = pd.DataFrame([core.model_dump() for core in record.cores])
    title, subtitle = f"The mesh of a model of {record.chip.capitalize()}", MESH
    drawn = png_of(lambda path: draw_mesh(path, title, subtitle, cores, record.cores_per_tile))
    return "data:image/png;base64," + base64.b64encode(drawn).decode()
