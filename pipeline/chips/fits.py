"""Does a network fit on a chip? A table by layer, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikesam.backends.network import Layer, Network
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.common.text import printable
from spikesam.pipeline.chips._circuit import (
    Group,
    Plan,
    parts_without,
    plan_of,
    refuse_precision,
    refuse_too_many,
)
from spikesam.pipeline.chips.description import ChipDescription, description_of
from spikesam.pipeline.chips.mapping import LONGEST_GROUP, placed
from spikesam.pipeline.cost.energy import in_short
from spikesam.pipeline.drawing.notebook import Shown
from spikesam.pipeline.networks.recorded import loaded_network

if TYPE_CHECKING:
    from spikesam.pipeline.networks.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Fit(Shown):
    """The parts of a network that fit on the model of a chip, which `print` shows.

    Parameters
    ----------
    layers : a row for each group of neurons, in order of depth, with the columns

        - layer: its name; "bias" of the sources of biases, "readout", or relays of delayed spikes
        - neurons, cores: how many, on at least so many cores
        - synapses, fan_in: that drive it; the most that reach one neuron; NaN if that is not known
        - delay: of its sources, the longest, in steps
        - problem: what does not fit, "" if all does

    problems : what does not fit of the network as a whole
    chip, version : name of the chip, and version of SANA-FE
    cores : of the chip
    """

    layers: pd.DataFrame
    problems: tuple[str, ...]
    chip: str
    version: str
    cores: int

    @property
    def fits(self) -> bool:
        """True if all of it fits."""
        return not self.problems and not self.layers["problem"].any()

    def __repr__(self) -> str:
        """One line: whether it fits."""
        return f"<Fit: {self._verdict()}>"

    def _verdict(self) -> str:
        model = f"a model of {self.chip.capitalize()}"
        if self.fits:
            return f"all {len(self.layers)} groups of neurons fit on {model}"
        unfit = int((self.layers["problem"] != "").sum())
        return (
            f"{unfit} of {len(self.layers)} groups of neurons do not fit on {model}"
            if unfit
            else f"the network as a whole does not fit on {model}"
        )

    def _parts(self) -> list[Any]:
        verdict = self._verdict()
        return [
            fit_table(self),
            "",
            *self.problems,
            f"{verdict[0].upper()}{verdict[1:]}.",
            f"The limits are those of a model (SANA-FE {self.version}), not of silicon.",
        ]


@checked_arguments
def fits(network: Network | Checkpoint | str | PathLike[str], *, chip: str = "loihi") -> Fit:
    """Say which layers of a network fit on a model of a chip, before anything runs.

    :func:`chip` simulates what fits. Sizes are those of its circuit: relays of delays, sources of
    biases and the readout are groups of neurons, too. The limits of the chip are read from the
    description that SANA-FE brings.

    Parameters
    ----------
    network : a network, a checkpoint, a bundled name or a file
    chip : "loihi"

    Returns
    -------
    Fit

    Raises
    ------
    InputError : if there is no such network or chip, the network does not spike, or SANA-FE is not
        installed
    """
    description = description_of(chip)
    loaded = loaded_network(
        network, "network: got {}, expected a Network, a checkpoint, its name or its file"
    )
    known_network = loaded if isinstance(loaded, Network) else loaded.network
    plan = plan_of(known_network)
    layers = {layer.name: layer for layer in known_network.layers}
    rows = [
        _row(known_network, plan, group, layers.get(name), description)
        for name, group in plan.groups.items()
    ]
    problems = tuple(_problems(known_network, plan, description, rows))
    return Fit(pd.DataFrame(rows), problems, chip, description.version, description.cores)


def _row(
    network: Network, plan: Plan, group: Group, layer: Layer | None, chip: ChipDescription
) -> dict[str, Any]:
    """The row of a group; `layer` is that of the network, if there is one."""
    problems = [] if layer is None or group.played else [*dict.fromkeys(parts_without(layer))]
    counts = None if problems else plan.count(group)
    if not problems and not group.played:
        try:
            plan.scale(group, network.timesteps)
        except InputError as error:
            problems = [str(error).partition(": ")[2]]
    delays = () if layer is None else (source.longest for source in layer.sources)
    return {
        "layer": group.name,
        "neurons": group.size,
        "cores": -(-group.size // chip.capacity),
        "synapses": np.nan if counts is None else int(counts.sum()),
        "fan_in": np.nan if counts is None else int(counts.max(initial=0)),
        "delay": max(delays, default=1),
        "problem": "; ".join(problems),
    }


def _problems(
    network: Network, plan: Plan, chip: ChipDescription, rows: list[dict[str, Any]]
) -> Iterator[str]:
    """Limits that the network as a whole does not keep."""

    def refusal(check: Any, *arguments: Any) -> Iterator[str]:
        try:
            check(*arguments)
        except InputError as error:
            yield str(error)

    yield from refusal(refuse_precision, network)
    yield from refusal(placed, plan.groups, chip)
    if not any(row["problem"] for row in rows):
        yield from refusal(refuse_too_many, plan)


def fit_table(result: Fit) -> pd.DataFrame:
    """A row for each group, as people read them."""
    rows = [
        [printable(row["layer"], LONGEST_GROUP), in_short(row["neurons"]), str(row["cores"])]
        + ["" if np.isnan(row[name]) else in_short(row[name]) for name in ("synapses", "fan_in")]
        + [str(row["delay"]), "no: " + row["problem"] if row["problem"] else "yes"]
        for row in result.layers.to_dict("records")
    ]
    heads = ["layer", "neurons", "cores", "synapses", "fan-in", "delay", "fits"]
    return pd.DataFrame(rows, columns=heads)
