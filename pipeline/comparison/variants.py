"""Other rules of a neuron, which a library or a chip may have where a network has another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikesam.backends.network import LIF, SpikingNeuron


def variants_of(neuron: SpikingNeuron) -> dict[str, SpikingNeuron]:
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
    before = neuron.threshold * neuron.leak
    before = before if isinstance(neuron, LIF) else np.rint(before).astype(np.int64)
    has = neuron.threshold if neuron.reset == "zero" else neuron.subtracted
    if not (np.array_equal(before, has) or np.array_equal(before, neuron.threshold)):
        found["a reset by subtraction in front of the leak"] = replace(subtracting, reset_by=before)
    if neuron.reset == "subtract" and not np.array_equal(neuron.subtracted, neuron.threshold):
        found["a reset by subtraction behind the leak"] = subtracting
    return found
