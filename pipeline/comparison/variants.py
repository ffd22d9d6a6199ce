"""Other rules of a layer's neurons, which a library or a chip may have where a network has another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesam.backends.network import LIF, THETA, Layer, SpikingNeuron
from spikesam.backends.network.step import ROUNDING

LEAKS = (0, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99, 1)  # that networks often have


@dataclass(frozen=True, eq=False)
class Variant:
    """A rule by which a layer may fire."""

    neuron: SpikingNeuron
    late: int = 0  # steps by which inputs act later
    all_late: bool = False  # biases and gains of a step come later, too
    at: bool = False  # a membrane at the threshold in float32 is so in truth, not rounded


def rules_of(neuron: SpikingNeuron) -> dict[str, Variant]:
    """Neurons that other libraries, or chips, have in its place."""
    found: dict[str, SpikingNeuron] = {}
    if neuron.fires_at_threshold:
        found["firing above the threshold alone"] = replace(neuron, fires_at_threshold=False)
    else:
        found["firing at the threshold, too"] = replace(neuron, fires_at_threshold=True)
    subtracting = replace(neuron, reset="subtract", reset_by=None)
    if neuron.reset == "zero":
        found["a reset by subtraction"] = subtracting
    else:
        found["a reset to zero"] = replace(neuron, reset="zero", reset_by=None)
    before = _as_its_own(neuron, neuron.threshold * neuron.leak)
    has = neuron.threshold if neuron.reset == "zero" else neuron.subtracted
    if not (np.array_equal(before, has) or np.array_equal(before, neuron.threshold)):
        found["a reset by subtraction in front of the leak"] = replace(subtracting, reset_by=before)
    if neuron.reset == "subtract" and not np.array_equal(neuron.subtracted, neuron.threshold):
        found["a reset by subtraction behind the leak"] = subtracting
    return {
        name: Variant(other, at=other.fires_at_threshold != neuron.fires_at_threshold) for name, other in found.items()
    }


def delays_of(layer: Layer) -> dict[str, Variant]:
    """The layer itself a step later or earlier, with or without its constants of a step."""
    neuron, found = layer.spiking_neuron, {}
    for late, when in ((1, "later"), (-1, "earlier")):
        found[f"inputs that act one step {when}"] = Variant(neuron, late)
        if np.any(neuron.bias) or any(len(each.gain) > 1 for each in layer.inputs):
            found[f"all that it does one step {when}"] = Variant(neuron, late, all_late=True)
    return found


def leaks_of(neuron: SpikingNeuron) -> dict[str, Variant]:
    """Neurons of other leaks."""
    found = {}
    for leak in LEAKS:
        other: Any = {"leak": leak} if isinstance(neuron, LIF) else {"decay": round(THETA * (1 - leak))}
        if np.any(neuron.leak != leak):
            found[f"a leak of {leak}"] = Variant(replace(neuron, **other))
    return found


def threshold_between(neuron: SpikingNeuron, low: float, high: float, *, alone: bool = False) -> dict[str, Variant]:
    """Neurons whose thresholds differ by a factor between two, if any; `alone`: a spike subtracts what it did."""
    if low > high + ROUNDING:
        return {}
    factor = (low + high) / 2 if high < np.inf else 2 * low  # none fires at all, if there is no upper bound
    if isinstance(neuron, LIF):
        threshold: Any = neuron.threshold * factor
    else:
        down = np.ceil if neuron.fires_at_threshold else np.floor  # to the last integer at which the same fire
        threshold = down(neuron.threshold * factor).astype(np.int64)
    amount = None if neuron.reset == "zero" else neuron.subtracted
    if not alone and amount is not None:
        amount = threshold if neuron.reset_by is None else _as_its_own(neuron, amount * factor)
    also = ", of which a spike subtracts the network's" if alone else ""
    rest = "" if low >= high else f" to {high:.2%}" if high < np.inf else " or more"
    name = f"a threshold of {low:.2%}{rest} of the network's{also}"
    return {name: Variant(replace(neuron, threshold=threshold, reset_by=amount))}


def _as_its_own(neuron: SpikingNeuron, number: Any) -> Any:
    """A constant in the neuron's numbers."""
    rounded: NDArray[np.int64] = np.rint(number).astype(np.int64)
    return number if isinstance(neuron, LIF) else rounded
