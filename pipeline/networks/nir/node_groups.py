"""A chain of NIR nodes in groups, each of which becomes one layer or the readout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from backends.network import NetworkError

from .chain import Named

POOLS = ("AvgPool2d", "SumPool2d")
SYNAPSES = ("Affine", "Linear", "Conv2d")
SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
LEAKY = ("I", "LI", "CubaLI")
SUPPORTED = ", ".join(("Input", "Output", "Flatten", "Scale", *POOLS, *SYNAPSES, *SPIKING, *LEAKY))
ORDER = "pooling, Flatten, weights, Scale, neurons"
REASONS = {
    "Conv1d": "maps have two dimensions here; a Conv2d with a kernel of 1 × n says as much",
    "Delay": "a layer costs one step here, and there is no other delay",
}


@dataclass
class NodeGroup:
    """What lies between two sets of spikes: at most one node of each kind, in the order of the fields.

    Attributes
    ----------
    or_ : a Threshold on a pooled map, which is the OR of spikes
    currents_pool : pooling between weights and neurons
    neuron : neurons that spike; in the last group those that leak, or None
    """

    pool: Named | None = None
    or_: Named | None = None
    flatten: Named | None = None
    synapse: Named | None = None
    scale: Named | None = None
    currents_pool: Named | None = None
    neuron: Named | None = None

    @property
    def filled(self) -> list[str]:
        """Which fields there are nodes for."""
        return [slot.name for slot in fields(self) if getattr(self, slot.name)]

    def add(self, node: Named) -> None:
        """Put a node where it belongs."""
        kind, filled = node.kind, self.filled
        slot = _slot(kind, filled)
        if slot is None:
            reason = REASONS.get(kind, f"expected one of {SUPPORTED}")
            raise NetworkError(f"{node.where}: type {kind} is not supported: {reason}")
        order = [each.name for each in fields(self)]
        if filled and order.index(slot) <= order.index(filled[-1]):
            previous = getattr(self, filled[-1])
            expected = f"nodes of a layer in the order {ORDER}"
            if previous.kind in LEAKY:
                expected = "the end: only spikes can go on to another layer"
            raise NetworkError(
                f"{node.where}: got {kind} behind {previous.kind} {previous.name!r}, expected {expected}"
            )
        setattr(self, slot, node)


def _slot(kind: str, filled: list[str]) -> str | None:
    if kind in POOLS:
        return "currents_pool" if "synapse" in filled else "pool"
    if kind == "Threshold" and filled == ["pool"]:
        return "or_"
    if kind in SYNAPSES:
        return "synapse"
    if kind in (*SPIKING, *LEAKY):
        return "neuron"
    return {"Flatten": "flatten", "Scale": "scale"}.get(kind)


def group_by_layer(nodes: Iterable[Named]) -> list[NodeGroup]:
    """The groups of a chain, the last of which is the readout; nodes Input and Output do nothing and are left out."""
    groups = [NodeGroup()]
    for node in nodes:
        if node.kind in ("Input", "Output"):
            continue
        groups[-1].add(node)
        if groups[-1].neuron and node.kind in SPIKING:
            groups.append(NodeGroup())
    return groups
