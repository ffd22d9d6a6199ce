"""The kinds of synapses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikesam.backends.network.checks import NetworkError
from spikesam.backends.network.synapses._attention import Attention
from spikesam.backends.network.synapses.linear import (
    Conv,
    Dense,
    Identity,
    LinearSynapse,
    Weighted,
    weights_as_synapse,
)
from spikesam.backends.network.synapses.synapse import Synapse
from spikesam.common.text import LONGEST_NAME, printable

KINDS: dict[str, type[Synapse]] = {kind.kind: kind for kind in (Conv, Dense, Identity, Attention)}

__all__ = [
    "KINDS",
    "Attention",
    "Conv",
    "Dense",
    "Identity",
    "LinearSynapse",
    "Synapse",
    "Weighted",
    "synapse_of",
    "weights_as_synapse",
]


def synapse_of(node: Mapping[str, Any], tensors: Mapping[str, Any]) -> Synapse:
    """The synapse of a node of a graph, see :attr:`Synapse.node`, and of its tensors by name."""
    kind = node["kind"]
    if kind not in KINDS:
        shown = printable(repr(kind), LONGEST_NAME)
        raise NetworkError(f"kind is {shown}, expected one of {', '.join(map(repr, KINDS))}")
    return KINDS[kind].of_node(node, tensors)
