"""The energy of a recording: operations, updates and joules, as tables and as a map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikesam.backends.trace import GAMMA
from spikesam.common.arguments import checked_arguments
from spikesam.common.disk import readable
from spikesam.common.errors import InputError
from spikesam.common.text import LONGEST_NAME, printable
from spikesam.pipeline.cost.counted import COUNTED, CountedLedger
from spikesam.pipeline.cost.ledger import AWAY, PICO, UNSAID, Floats, Ledger, SampleCost, network_of
from spikesam.pipeline.cost.prices import Prices, prices_of
from spikesam.pipeline.drawing.notebook import Shown, png_of
from spikesam.pipeline.drawing.padding import Outside, outside
from spikesam.pipeline.drawing.subject import recorded_subjects
from spikesam.pipeline.maps.layers import has_places
from spikesam.pipeline.maps.sam import spike_activation_sum
from spikesam.pipeline.networks.recorded import class_names_of
from spikesam.recordings.counted_operations import operations_beside
from spikesam.recordings.raster.reader import RasterReader, opened_raster

if TYPE_CHECKING:
    from spikesam.backends.network import Network
    from spikesam.pipeline.networks.checkpoint import Checkpoint


PICTURED = 8  # samples with a map of their own
COLUMNS = (
    *(
        "layer",
        "neurons",
        "spikes",
        "sparsity",
        "updates",
        "operations",
        "dense",
        "macs",
        "rated",
        "ann_macs",
    ),
    *("bytes", "joules", "ann_joules"),
)
SUMMED = ("spikes", "operations", "macs", "rated", "bytes", "joules")
BY_SAMPLE = ("spikes", "operations", "joules")
LONGEST, SHOWN_CLASSES = (
    14,
    8,
)  # characters of a name in the table, which has 80 columns; classes named below it
UNITS = ("pJ", "nJ", "µJ", "mJ", "J")


@dataclass(frozen=True, eq=False)
class Energy(Shown):
    """The cost of a recording, which `print` shows. Every number is the mean of its samples, NaN
    where it is not known.

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
        - rated: operations if all synapses were used at the mean rate of what they read, as papers
          estimate them
        - ann_macs: products of one pass of an ANN of these layers
        - bytes: read and written
        - joules, ann_joules: of all that, and of an ANN's products

    steps : step (of the model), layer, spikes, operations, joules; an operation counts when its
        spike fires
    classes : class, samples, spikes, operations, joules; class -1 where the label is unknown
    map : (H, W) J on the grid of the input, mean of all samples; None where it has no extent, or is
        not known
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
        """Share of zeros of all neurons at all steps, NeuroBench's ActivationSparsity; the input
        has no neurons.
        """
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
        """J by the formula of Spikformer: graded products, and operations of mean rates; NaN where
        these cost nothing.

        References
        ----------
        Zhou et al. 2023, Spikformer: when spiking neural network meets transformer, ICLR,
        arXiv:2209.15425.
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
        cost = (
            f"{self.operations:,.0f} synaptic operations, {in_joules(self.joules)} "
            f"({self.prices.name})"
        )
        return (
            f"<Energy of a sample: {cost}, sparsity "
            f"{self.sparsity:.4f}{'; ' * bool(self.note)}{self.note}>"
        )

    def _parts(self) -> Iterable[Any]:
        return [cost_table(self), "", *sentences(self)]

    def _picture(self) -> bytes:
        return png_of(lambda path: draw_layers(self, path))


@checked_arguments
def energy(
    raster: RasterReader | str | PathLike[str],
    network: Network | Checkpoint | str | PathLike[str] | None = None,
    *,
    prices: str | Prices = "45nm",
    pictured: int = PICTURED,
) -> Energy:
    """Count what a recording costs: synaptic operations, updates, bytes and joules, by layer, step,
    class and pixel.

    Definitions and equations: `pipeline/cost/ledger.py`. Without the network, operations are those
    that `record(…, operations=True)` counted, a row for each module, `pipeline/cost/counted.py`;
    where it counted none, spikes, sparsity and updates are known.

    Parameters
    ----------
    raster : an open raster, or the path of a raster file or of a run's folder
    network : the network that fired the spikes: a network, a checkpoint, a bundled name or a file;
        if not given, the `network.safetensors` beside the raster, if it is there
    prices : "45nm", "45nm-memory", "lemaire", "loihi", or :class:`Prices` of your own
    pictured : of how many first samples maps are kept

    Returns
    -------
    Energy

    Raises
    ------
    InputError : if there is no such raster, the network is not the raster's, or there are no such
        prices

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
    with opened_raster(raster) as reader:
        known_network, note = network_of(reader, network)
        names = class_names_of(reader, network if known_network else ())
        with ledger_of(reader, known_network, chosen) as ledger:
            if ledger is None:
                return _tables(reader, None, (), chosen, note, names)
            samples = (ledger.sample(number) for number in range(reader.n_samples))
            return _tables(reader, ledger, samples, chosen, ledger.note, names, pictured)


@contextmanager
def ledger_of(
    raster: RasterReader, network: Network | None, prices: Prices
) -> Iterator[Ledger | CountedLedger | None]:
    """The ledger that counts samples: with the network, or by the recording's own counts;
    None of neither.
    """
    if network is not None:
        yield Ledger(raster, network, prices)
        return
    with operations_beside(raster) as operations:
        yield None if operations is None else CountedLedger(raster, operations, prices)


def _tables(
    raster: RasterReader,
    ledger: Ledger | CountedLedger | None,
    samples: Iterable[SampleCost],
    prices: Prices,
    note: str,
    class_names: tuple[str, ...],
    pictured: int = 0,
) -> Energy:
    """Gather samples, of which one is held at a time, into tables; without a ledger there are
    none.
    """
    header = raster.header
    names = [*raster] if ledger is None else ledger.names
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
    by_step = {
        column: {
            name: totals_by_step / raster.n_samples
            for name, totals_by_step in by_step[column].items()
        }
        for column in SUMMED
    }
    if ledger is None:
        counts = {
            layer.name: raster.counts(layer)[:, header.window_of(layer)] for layer in raster.layers
        }
        by_step["spikes"] = {
            name: layer_counts.mean(axis=0) for name, layer_counts in counts.items()
        }
        by_sample["spikes"] = np.sum(
            [layer_counts.sum(axis=1, dtype=np.float64) for layer_counts in counts.values()], axis=0
        )
    else:
        for name in ledger.without_spikes:
            by_step["spikes"][name][:] = np.nan
    layers = [_row(name, raster, ledger, by_step) for name in names]
    steps = [
        {"step": step, "layer": name}
        | {column: by_step[column][name][step] for column in BY_SAMPLE}
        for step in range(length)
        for name in names
    ]
    totals = pd.DataFrame({"class": raster.labels, **by_sample})
    grouped = totals.groupby("class")
    classes = grouped.size().rename("samples").to_frame().join(grouped.mean()).reset_index()
    maps = np.stack(heats) if heats else None
    mean = None if heat is None else heat / raster.n_samples
    return Energy(
        pd.DataFrame(layers, columns=COLUMNS),
        pd.DataFrame(steps),
        classes,
        mean,
        maps,
        prices,
        note,
        class_names,
    )


def _row(
    name: str,
    raster: RasterReader,
    ledger: Ledger | CountedLedger | None,
    by_step: dict[str, Any],
) -> dict[str, Any]:
    """The row of a layer in :attr:`Energy.layers`."""
    recorded = raster.layer(name) if name in raster else None
    neurons = recorded.neurons if recorded else ledger.updates[name] if ledger else 0
    row: dict[str, Any] = {column: by_step[column][name].sum() for column in SUMMED}
    steps = len(by_step["spikes"][name])
    sparsity = 1 - row["spikes"] / (neurons * steps) if neurons else np.nan
    row |= {"layer": name, "neurons": neurons, "sparsity": sparsity}
    row["updates"] = 0 if recorded and recorded.kind == "input" else neurons * steps
    if ledger is None or name not in ledger.updates:  # the input has no synapses
        return row | dict.fromkeys(
            ("dense", "ann_macs", "ann_joules"), np.nan if ledger is None else 0
        )
    return row | {
        "dense": ledger.dense[name],
        "ann_macs": ledger.ann_macs[name],
        "ann_joules": ledger.ann_joules(name),
    }


def cost_table(energy: Energy) -> pd.DataFrame:
    """A row for each layer, and one for all, as people read them; only the columns that are
    known.
    """
    operations_known, layers = not np.isnan(energy.operations), energy.layers
    heads = (
        ["SynOps", "of dense", "energy", "ANN MACs", "energy"] if operations_known else ["updates"]
    )
    sums = layers.drop(columns="layer").sum(skipna=False)
    sums = {"layer": "all", **sums, "spikes": layers["spikes"].sum(), "sparsity": energy.sparsity}
    rows = []
    for row in [*layers.to_dict("records"), sums]:
        cells = [in_short(row["updates"])]
        if operations_known:
            share = f"{row['operations'] / row['dense']:.1%}" if row["dense"] else ""
            cells = [
                in_short(row["operations"]),
                share,
                in_joules(row["joules"]),
                in_short(row["ann_macs"]),
            ]
            cells = (
                [*cells, in_joules(row["ann_joules"])]
                if row["layer"] != "input"
                else [""] * len(heads)
            )
        sparsity = "" if np.isnan(row["sparsity"]) else f"{row['sparsity']:.1%}"
        rows.append([printable(row["layer"], LONGEST), in_short(row["spikes"]), sparsity, *cells])
    return pd.DataFrame(rows, columns=["layer", "spikes", "sparsity", *heads])


def sentences(energy: Energy, network: str = "network") -> list[str]:
    """The lines below the table; `network` is how the network is given."""
    samples = int(energy.classes["samples"].sum())
    layers, mean = energy.layers, f"Mean of {samples} sample{'s' * (samples > 1)}"
    silent = [
        f"Never fires: {', '.join(names)}."
        for names in [layers["layer"][layers["spikes"] == 0]]
        if len(names)
    ]
    if np.isnan(energy.operations):
        give = f"; give {network}, or record with operations=True"
        give = give if energy.note in (UNSAID, AWAY) else ""
        return [
            f"{mean}. Synaptic operations and energy are not known: {energy.note}{give}.",
            *silent,
        ]
    updates, counted = in_short(layers["updates"].sum()), energy.note.startswith(COUNTED)
    moved = "" if counted else f" and moves {readable(layers['bytes'].sum())}"
    multiplied = "Numbers that are no spikes take" if counted else "The current of the input takes"
    rated = f"estimate: {in_joules(energy.rated_joules)}."
    lines = [
        f"{mean}, which also takes {updates} updates of neurons{moved}.",
        "SynOps are additions at synapses; dense: if all neurons fired. ANN: one pass through "
        "these layers.",
        *([] if counted else [f"At mean rates, as papers on spiking transformers {rated}"]),
        *([f"{multiplied} {in_short(macs)} MACs."] if (macs := layers["macs"].sum()) else []),
        *silent,
        *([f"Beware: {energy.note}."] if energy.note else []),
    ]
    if len(energy.classes) > 1:
        shown = energy.classes.sort_values("joules", ascending=False)[:SHOWN_CLASSES]
        listed = [
            f"{_class(row[1], energy.class_names)}: {in_joules(row.joules)}"
            for row in shown.itertuples()
        ]
        unlisted = f", and {len(energy.classes) - len(listed)} more classes" * (
            len(energy.classes) > len(listed)
        )
        lines.append(f"By class: {', '.join(listed)}{unlisted}.")
    return [*lines, f"Prices {energy.prices.name}: {energy.prices.source}."]


def _class(number: int, names: Sequence[str]) -> str:
    if number < 0:
        return "unknown"
    return printable(names[number], LONGEST_NAME) if number < len(names) else f"class {number}"


def unit_of(joules: float) -> tuple[float, str]:
    """The unit that fits a number of joules: how many J it is, and its name."""
    power = 0 if joules == 0 else min(max(math.floor(math.log10(joules) / 3), -4), 0)
    return 1000.0**power, UNITS[power - 1]


def in_joules(value: float) -> str:
    """Such as "12.3 µJ"; "–" of what is not known."""
    return _scaled(value, UNITS, -4)


def in_short(value: float) -> str:
    """Such as "1.23 M"; "–" of what is not known."""
    return _scaled(value, ("", "k", "M", "G", "T"), 0).strip()


def _scaled(value: float, units: tuple[str, ...], first: int) -> str:
    """Three digits and the unit of thousands that fits; `first` is the power of the first unit."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    power = min(max(math.floor(math.log10(value) / 3), first), first + len(units) - 1)
    scaled = value / 1000.0**power
    digits = (
        max(0, 2 - math.floor(math.log10(scaled))) if power > 0 or first < 0 or scaled % 1 else 0
    )
    return f"{scaled:.{min(digits, 2)}f} {units[power - first]}"


def save_pictures(
    energy: Energy, raster: RasterReader, folder: Path, network: Network | None = None
) -> list[Path]:
    """Draw `energy.png`, and `energy_map.png` where there are maps, padding hatched; nothing
    without joules.
    """
    if np.isnan(energy.joules):
        return []
    written = [folder / "energy.png"]
    draw_layers(energy, written[0])
    if energy.maps is not None and len(energy.maps):
        written.append(folder / "energy_map.png")
        _draw_places(written[1], energy, raster, {} if network is None else outside(network))
    return written


def draw_layers(energy: Energy, path: Path) -> None:
    """Draw what layers cost, in all and at every step; an InputError where joules are unknown."""
    if np.isnan(energy.joules):
        raise InputError("energy: joules are not known, so there is nothing to draw")
    from spikesam.pipeline.drawing.energy import (
        draw_energy,
    )  # here, because matplotlib takes a second

    scale, unit = unit_of(energy.layers["joules"].max())
    layers = energy.layers[energy.layers["layer"] != "input"]
    costs = {row.layer: (row.joules / scale, row.ann_joules / scale) for row in layers.itertuples()}
    by_step = energy.steps.pivot(index="step", columns="layer", values="joules") / scale
    samples = int(energy.classes["samples"].sum())
    count = f"{samples} sample{'s' * (samples > 1)}"
    title = f"A sample costs {in_joules(energy.joules)} ({energy.prices.name}); mean of {count}"
    steps = {name: by_step[name].to_numpy() for name in costs}
    draw_energy(path, title, f"Prices: {energy.prices.source}.", unit, costs, steps)


def _draw_places(path: Path, energy: Energy, raster: RasterReader, padded: Outside) -> None:
    """The first samples beside each other: the image, the energy of all layers, and SAM of the
    deepest layer.
    """
    from spikesam.pipeline.drawing.samples import draw_side_by_side

    assert energy.maps is not None
    subjects = recorded_subjects(raster, raster.predictions[: len(energy.maps)])
    maps = [{"energy\nall layers": heat[None].astype(np.float32)} for heat in energy.maps]
    caption = (
        f"Energy of spikes and neurons, all layers on the grid of the input ({energy.prices.name})"
    )
    deepest = next((layer for layer in reversed(raster.layers) if has_places(layer.shape)), None)
    if deepest:  # where an image drives dense layers there is none
        name = f"SAM\n{deepest.name}"
        for sample, of_sample in enumerate(maps):
            packed, steps = raster.packed(deepest, sample), raster.steps_that_matter(deepest)
            of_sample[name] = spike_activation_sum(packed, deepest.shape, GAMMA, steps)[None]
        padded = {name: padded[deepest.name]} if deepest.name in padded else {}
        caption += "; below: SAM"
    draw_side_by_side(path, subjects, maps, "Where the energy goes", caption, padded=padded)
