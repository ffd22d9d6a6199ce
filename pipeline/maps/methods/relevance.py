"""Relevance of a raster's spikes for the predicted classes: what the answer rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from spikesam.backends.network import Network
from spikesam.backends.network.step import Floats
from spikesam.pipeline.maps.relevance import Rule, Spikes, relevance
from spikesam.pipeline.maps.relevance_method import RelevanceMethod
from spikesam.recordings.arguments import Option


@dataclass(frozen=True)
class Relevance(RelevanceMethod):
    """Which spikes the predicted class rests on."""

    name = "relevance"
    title = "Relevance of spikes"
    shows = "What the answer rests on"
    target = "prediction"
    label = "relevance"
    on_page = "network"
    signed = True
    parameters: ClassVar[dict[str, type]] = {"network_sha256": str, "rule": str}

    rule: Annotated[Rule, Option("exact shares of the membrane, or those of exciting spikes alone (SLTRP)")] = "signed"

    def relevance_of(self, network: Network, spikes: Sequence[Spikes], prediction: int) -> list[Floats]:
        """See :class:`RelevanceMethod`."""
        return relevance(network, spikes, prediction, self.rule)
