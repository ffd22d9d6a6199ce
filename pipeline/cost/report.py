"""The report of a cost: a table by layer, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from spikesam.pipeline.cost.energy import Energy
from spikesam.pipeline.cost.recorded import AWAY, UNSAID
from spikesam.pipeline.cost.words import in_joules, in_short
from spikesam.recordings.disk import readable
from spikesam.recordings.text import LONGEST_NAME, printable

SHOWN_CLASSES = 8


def cost_table(energy: Energy) -> Table:
    """A row for each layer, and one for all; only the columns that are known."""
    known = not np.isnan(energy.operations)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    heads = ["layer", "spikes", "sparsity"]
    heads += ["SynOps", "of dense", "energy", "ANN MACs", "energy"] if known else ["updates"]
    for head in heads:
        table.add_column(head, justify="left" if head == "layer" else "right")
    for row in [*energy.layers.itertuples(), _all_layers(energy)]:
        if row.layer == "all":
            table.add_section()
        cells = [row.layer, in_short(row.spikes), "" if np.isnan(row.sparsity) else f"{row.sparsity:.1%}"]
        if not known:
            cells.append(in_short(row.updates))
        elif row.layer != "input":
            cells += [in_short(row.operations), f"{row.operations / row.dense:.1%}" if row.dense else ""]
            cells += [in_joules(row.joules), in_short(row.ann_macs), in_joules(row.ann_joules)]
        table.add_row(*cells)
    return table


def _all_layers(energy: Energy) -> Any:
    """The last row: sums."""
    row = energy.layers.drop(columns="layer").sum(skipna=False)
    row["spikes"] = energy.layers["spikes"].sum()
    row["sparsity"] = energy.sparsity
    return SimpleNamespace(layer="all", **row)


def sentences(energy: Energy, network: str = "network") -> list[str]:
    """The lines below the table; `network` is how the network is given."""
    samples = int(energy.classes["samples"].sum())
    layers, mean = energy.layers, f"Mean of {samples} sample{'s' * (samples > 1)}"
    silent = [f"Never fires: {', '.join(names)}." for names in [layers["layer"][layers["spikes"] == 0]] if len(names)]
    if np.isnan(energy.operations):
        give = f"; give {network}" if energy.note in (UNSAID, AWAY) else ""
        return [f"{mean}. Synaptic operations and energy are not known: {energy.note}{give}.", *silent]
    updates, moved = in_short(layers["updates"].sum()), readable(layers["bytes"].sum())
    said = [
        f"{mean}, which also takes {updates} updates of neurons and moves {moved}.",
        "SynOps are additions at synapses; dense: if all neurons fired. ANN: one pass through these layers.",
        f"At mean rates, as papers on spiking transformers estimate: {in_joules(energy.rated_joules)}.",
        *([f"The current of the input takes {in_short(macs)} MACs."] if (macs := layers["macs"].sum()) else []),
        *silent,
        *([f"Beware: {energy.note}."] if energy.note else []),
    ]
    if len(energy.classes) > 1:
        shown = energy.classes.sort_values("joules", ascending=False)[:SHOWN_CLASSES]
        listed = [f"{_class(row[1], energy.class_names)}: {in_joules(row.joules)}" for row in shown.itertuples()]
        more = f", and {len(energy.classes) - len(listed)} more classes" * (len(energy.classes) > len(listed))
        said.append(f"By class: {', '.join(listed)}{more}.")
    return [*said, f"Prices {energy.prices.name}: {energy.prices.source}."]


def _class(number: int, names: Sequence[str]) -> str:
    if number < 0:
        return "unknown"
    return printable(names[number], LONGEST_NAME) if number < len(names) else f"class {number}"
