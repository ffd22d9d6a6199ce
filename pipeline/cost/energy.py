"""The energy of a recording: operations, updates and joules, as tables and as a map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikesam.pipeline.cost.ledger import PICO, Floats, Ledger, Spent
from spikesam.pipeline.cost.prices import Prices, prices_of
from spikesam.pipeline.cost.recorded import network_of
from spikesam.pipeline.cost.words import in_joules
from spikesam.pipeline.drawing.notebook import Shown, png_of
from spikesam.pipeline.networks.recorded import class_names_of
from spikesam.recordings.arguments import checked_arguments
from spikesam.recordings.console import PlainConsole
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader, opened_raster

if TYPE_CHECKING:
    from spikesam.backends.network import Network
    from spikesam.pipeline.networks.checkpoint import Checkpoint

WIDTH = 110  # characters of the printed table
PICTURED = 8  # samples with a map of their own
SUMMED = ("spikes", "operations", "macs", "rated", "bytes", "joules")
BY_SAMPLE = ("spikes", "operations", "joules")


@dataclass(frozen=True, eq=False)
class Energy(Shown):
    """The cost of a recording, which `print` shows. Every number is the mean of its samples, NaN where it is not known.

    Parameters
    ----------
    layers : a row for the input, each layer and the readout, in order of depth, with the columns

        - layer, neurons
        - spikes: that the layer fires
        - sparsity: share of its neurons' steps without a spike
        - updates: neurons × steps; none of the input
        - operations: synaptic operations at the synapses of the layer
        - dense: the same if every neuron fired at every step, weights of 0 included
        - macs: products of a graded input
        - rated: operations if all synapses were used at the mean rate of what they read, as papers estimate them
        - ann_macs: products of one pass of an ANN of these layers
        - bytes: read and written
        - joules, ann_joules: of all that, and of an ANN's products

    steps : step (of the model), layer, spikes, operations, joules; an operation counts when its spike fires
    classes : class, samples, spikes, operations, joules; class -1 where the label is unknown
    map : (H, W) J on the grid of the input, mean of all samples; None where it has no extent, or is not known
    maps : (P, H, W) J of the first samples
    prices : price of each operation
    note : why some numbers are not known, or what has no price; empty where all are known
    class_names : of the recording, or of the checkpoint that was given; empty if unknown
    """

    layers: pd.DataFrame
    steps: pd.DataFrame
    classes: pd.DataFrame
    map: Floats | None
    maps: Floats | None
    prices: Prices
    note: str = ""
    class_names: tuple[str, ...] = ()

    @property
    def sparsity(self) -> float:
        """Share of zeros of all neurons at all steps, NeuroBench's ActivationSparsity; the input has no neurons."""
        neurons = self.layers[self.layers["updates"].gt(0) & self.layers["spikes"].notna()]
        updates = neurons["updates"].sum()
        return float(1 - neurons["spikes"].sum() / updates) if updates else float("nan")

    @property
    def operations(self) -> float:
        """Synaptic operations of a sample."""
        return self._total("operations")

    @property
    def joules(self) -> float:
        """J of a sample."""
        return self._total("joules")

    @property
    def rated_joules(self) -> float:
        """J by the formula of Spikformer: graded products, and operations of mean rates; NaN where these cost nothing.

        References
        ----------
        Zhou et al. 2023, Spikformer: when spiking neural network meets transformer, ICLR, arXiv:2209.15425.
        """
        macs, prices = self._total("macs"), self.prices
        multiplied = macs and macs * (np.nan if prices.mac is None else prices.mac)
        return PICO * (prices.operation * self._total("rated") + multiplied)

    @property
    def ann_joules(self) -> float:
        """J of the products of one pass of an ANN of these layers."""
        return self._total("ann_joules")

    def _total(self, column: str) -> float:
        return float(self.layers[column].sum(skipna=False))

    def __repr__(self) -> str:
        """One line: what a sample costs."""
        if np.isnan(self.operations):
            return f"<Energy: sparsity {self.sparsity:.4f}; {self.note}>"
        cost = f"{self.operations:,.0f} synaptic operations, {in_joules(self.joules)} ({self.prices.name})"
        return f"<Energy of a sample: {cost}, sparsity {self.sparsity:.4f}{'; ' * bool(self.note)}{self.note}>"

    def _parts(self) -> Iterable[str]:
        from spikesam.pipeline.cost.report import cost_table, sentences  # which need this class

        console = PlainConsole(width=WIDTH, force_jupyter=False, color_system=None)
        with console.capture() as captured:
            console.print(cost_table(self))
        return [captured.get().strip("\n"), *sentences(self)]

    def _picture(self) -> bytes:
        from spikesam.pipeline.cost.pictures import draw_layers

        return png_of(lambda path: draw_layers(self, path))


@checked_arguments
def energy(
    raster: RasterReader | str | PathLike[str],
    network: Network | Checkpoint | str | PathLike[str] | None = None,
    *,
    prices: str | Prices = "45nm",
    pictured: int = PICTURED,
) -> Energy:
    """Count what a recording costs: synaptic operations, updates, bytes and joules, by layer, step, class and pixel.

    Definitions and equations: `pipeline/cost/ledger.py`. Without the network, spikes, sparsity and updates are known.

    Parameters
    ----------
    raster : an open raster, or the path of a raster file or of a run's folder
    network : the network that fired the spikes: a network, a checkpoint, a bundled name or a file; if not given, the
        `network.safetensors` beside the raster, if it is there
    prices : "45nm", "45nm-memory", "lemaire", "loihi", or :class:`Prices` of your own
    pictured : of how many first samples maps are kept

    Returns
    -------
    Energy

    Raises
    ------
    InputError : if there is no such raster, the network is not the raster's, or there are no such prices

    Examples
    --------
    >>> import spikesam
    >>> raster = spikesam.simulate("cluttered-digits", samples=2)
    >>> found = spikesam.energy(raster, "cluttered-digits")
    >>> found.map.shape
    (80, 80)
    >>> found.layers[["layer", "ann_macs"]].values[1].tolist()
    ['conv1', 1002528]
    """
    chosen = prices_of(prices)
    if not (isinstance(pictured, int) and pictured >= 0):
        raise InputError(f"got {pictured!r}, expected a number of samples ≥ 0", argument="pictured")
    with opened_raster(raster, "energy") as reader:
        known, note = network_of(reader, network)
        names = class_names_of(reader, network if known else ())
        if known is None:
            return _tables(reader, None, (), chosen, note, names)
        ledger = Ledger(reader, known, chosen)
        samples = (ledger.sample(number) for number in range(reader.n_samples))
        return _tables(reader, ledger, samples, chosen, ledger.note, names, pictured)


def _tables(
    raster: RasterReader,
    ledger: Ledger | None,
    samples: Iterable[Spent],
    prices: Prices,
    note: str,
    class_names: tuple[str, ...],
    pictured: int = 0,
) -> Energy:
    """Gather samples, of which one is held at a time, into tables; without a ledger there are none."""
    header = raster.header
    names = [*raster] if ledger is None else [*ledger.network.raster_names, ledger.readout]
    unknown, length = np.nan if ledger is None else 0.0, header.window or header.timesteps
    by_step = {column: {name: np.full(length, unknown) for name in names} for column in SUMMED}
    by_sample = {column: np.full(raster.n_samples, np.nan) for column in BY_SAMPLE}
    heat, heats = None, []
    for number, spent in enumerate(samples):
        for column, table in by_step.items():
            for name, values in getattr(spent, column).items():
                table[name] += values
        for column, totals in by_sample.items():
            totals[number] = sum(values.sum() for values in getattr(spent, column).values())
        if spent.map is not None:
            heat = spent.map if heat is None else heat + spent.map
            heats += [spent.map] * (number < pictured)
    by_step = {column: {name: each / raster.n_samples for name, each in by_step[column].items()} for column in SUMMED}
    if ledger is None:
        counts = {layer.name: raster.counts(layer)[:, header.window_of(layer)] for layer in raster.layers}
        by_step["spikes"] = {name: each.mean(axis=0) for name, each in counts.items()}
        by_sample["spikes"] = np.sum([each.sum(axis=1, dtype=np.float64) for each in counts.values()], axis=0)
    else:
        by_step["spikes"][ledger.readout][:] = np.nan
    layers = [_row(name, raster, ledger, by_step) for name in names]
    steps = [
        {"step": step, "layer": name} | {column: by_step[column][name][step] for column in BY_SAMPLE}
        for step in range(length)
        for name in names
    ]
    totals = pd.DataFrame({"class": raster.labels, **by_sample})
    grouped = totals.groupby("class")
    classes = grouped.size().rename("samples").to_frame().join(grouped.mean()).reset_index()
    maps = np.stack(heats) if heats else None
    mean = None if heat is None else heat / raster.n_samples
    return Energy(pd.DataFrame(layers), pd.DataFrame(steps), classes, mean, maps, prices, note, class_names)


def _row(name: str, raster: RasterReader, ledger: Ledger | None, by_step: dict[str, Any]) -> dict[str, Any]:
    """The row of a layer in :attr:`Energy.layers`."""
    recorded = raster.layer(name) if name in raster else None
    neurons = recorded.neurons if recorded else ledger.updates[name] if ledger else 0
    fired, steps = float(by_step["spikes"][name].sum()), len(by_step["spikes"][name])
    row = {
        "layer": name,
        "neurons": neurons,
        "spikes": fired,
        "sparsity": 1 - fired / (neurons * steps),
        "updates": 0 if recorded and recorded.kind == "input" else neurons * steps,
        "operations": by_step["operations"][name].sum(),
        "dense": np.nan,
        "macs": by_step["macs"][name].sum(),
        "rated": by_step["rated"][name].sum(),
        "ann_macs": np.nan,
        "bytes": by_step["bytes"][name].sum(),
        "joules": by_step["joules"][name].sum(),
        "ann_joules": np.nan,
    }
    if ledger is None:
        return row
    if name not in ledger.updates:  # the input, which has no synapses
        return row | dict.fromkeys(("dense", "ann_macs", "ann_joules"), 0)
    dense = ledger.dense[name] * steps
    return row | {"dense": dense, "ann_macs": ledger.ann_macs[name], "ann_joules": ledger.ann_joules(name)}
