"""Relevance of a raster's spikes for the variance over logits: what sets the classes apart, whichever wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from spikesam.backends.network import Network
from spikesam.backends.network.step import Floats
from spikesam.pipeline.maps.relevance import Spikes, variance_relevance
from spikesam.pipeline.maps.relevance_method import RelevanceMethod


@dataclass(frozen=True)
class VarianceRelevance(RelevanceMethod):
    """Which spikes set the classes apart, whichever wins."""

    name = "variance-relevance"
    title = "Relevance of the variance over logits"
    shows = "What sets the classes apart"
    speaks_for = "none"
    parameters: ClassVar[dict[str, type]] = {"network_sha256": str}

    def relevance_of(self, network: Network, spikes: Sequence[Spikes], target: int) -> list[Floats]:
        """See :class:`RelevanceMethod`."""
        return variance_relevance(network, spikes)
