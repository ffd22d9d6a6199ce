"""Relevance of a raster's spikes for the predicted classes: what the answer rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from spikesam.backends.network import Network
from spikesam.backends.network.step import Floats
from spikesam.pipeline.maps.relevance import Rule, Spikes, relevance
from spikesam.pipeline.maps.relevance_method import RelevanceMethod
from spikesam.pipeline.networks.recorded import class_names_of, find_class
from spikesam.recordings.arguments import Option
from spikesam.recordings.maps.schema import Parameter
from spikesam.recordings.raster.reader import RasterReader


@dataclass(frozen=True)
class Relevance(RelevanceMethod):
    """Which spikes the predicted class, or another, rests on."""

    name = "relevance"
    title = "Relevance of spikes"
    shows = "What the answer rests on"
    speaks_for = "prediction"
    label = "relevance"
    on_page = "network"
    signed = True
    parameters: ClassVar[dict[str, type]] = {"network_sha256": str, "rule": str}
    optional: ClassVar[dict[str, type]] = {"target": int, "target_name": str}

    rule: Annotated[Rule, Option("exact shares of the membrane, or those of exciting spikes alone (SLTRP)")] = "signed"
    target: Annotated[
        str | None,
        Option(
            "class whose relevance is shown, by name or number; each sample's predicted one if not given",
            python="str | int | None",
        ),
    ] = None

    def relevance_of(self, network: Network, spikes: Sequence[Spikes], target: int) -> list[Floats]:
        """See :class:`RelevanceMethod`."""
        return relevance(network, spikes, target, self.rule)

    def chosen(self, raster: RasterReader) -> dict[str, Parameter]:
        """See :class:`RelevanceMethod`."""
        if self.target is None:
            return {}
        names = class_names_of(raster, self.network)
        number = find_class(self.target, raster.header.classes, names)
        found: dict[str, Parameter] = {"target": number}
        return found | ({"target_name": names[number]} if number < len(names) else {})
