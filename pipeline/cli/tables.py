"""What a run prints: spike rates on one line, localisation as a table."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def rates_text(spike_rate: dict[str, float]) -> str:
    """ "spikes per neuron and step: input 24 %, conv1 12 %, …" """
    rates = ", ".join(f"{name} {rate:.1%}" for name, rate in spike_rate.items())
    return f"spikes per neuron and step: {rates}"


def localisation_text(rows: list[dict[str, Any]]) -> Table:
    """Mean and 95 % interval per layer and method, measures as columns."""
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    title = f"does the map find the object? ({rows[0]['n']} samples; mean, 95 % interval)"
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)  # fits into 80 columns
    for column in ("layer", "map", *measures):
        table.add_column(column)
    for layer, method in dict.fromkeys((row["layer"], row["method"]) for row in rows):
        cells = {row["measure"]: row for row in rows if (row["layer"], row["method"]) == (layer, method)}
        texts = [
            f"{cell['mean']:.2f} ({cell['low']:.2f}–{cell['high']:.2f})" for cell in map(cells.get, measures) if cell
        ]
        table.add_row(layer or "", method, *texts)
    return table
