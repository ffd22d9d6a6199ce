"""Relevance against SAM in several trainings of one network: the method, or the one network? Not in the paper.

Spikes are deleted as in :mod:`.rivals`. The networks are those of :mod:`.doses` that got no decay of their gains, small
ones. Every training sees the same images; intervals and p-values are over trainings and images.
"""

from __future__ import annotations

from functools import partial

import pandas as pd

from paper.common.deletion import BY_SPIKES, RANDOM
from paper.common.heatmaps import SAM, convolutions
from paper.common.result import Claim, Result, compared_over_trainings
from paper.common.setup import Setup
from paper.doses import Treatment, recorded, treated
from paper.measures.tables import rows, summary_over_trainings
from paper.rivals import ALWAYS, RELEVANCE, MapsOf, areas, draw, of_the_variance, sam
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.reader import RasterReader

NO_CLASS = "relevance of the variance"
BEYOND = ((RELEVANCE, SAM), (NO_CLASS, SAM), (RELEVANCE, NO_CLASS), (RELEVANCE, "SLTRP"), (SAM, RANDOM))


def run(setup: Setup) -> Result:
    """Train, or find trained, delete and compare."""
    trainings = range(setup.config.doses.trainings)
    found = pd.concat([deleted(setup, training).assign(training=training) for training in trainings])
    found = found[["image", "training", "map", "layer", "measure", "value"]]
    table = summary_over_trainings(found)
    about = f"{len(trainings)} trainings and {table['n'].max()} samples"
    draw(setup.out / "rivals_trainings.png", table, about)
    by_spikes = rows(found, measure=BY_SPIKES)
    layers = by_spikes["layer"].unique()
    claims = [smaller(rows(by_spikes, layer=layer), layer, *maps) for layer in layers for maps in BEYOND]
    notes = [
        f"Spike deletion: lower is better; intervals are over {about}. Small networks, see “doses”, without decay of "
        "their gains.",
        "Maps of a class are of the class that the network predicts. None needs a label.",
    ]
    title = "Rivals: the same in several trainings of a small network"
    return Result(title, table, claims, notes, found, networks={})


def deleted(setup: Setup, training: int) -> pd.DataFrame:
    """The areas of every map in one training's network."""
    section = setup.config.doses
    network = treated(setup, training, Treatment(0.0, "none", section.rate))
    maps: dict[str, MapsOf] = {SAM: partial(sam, gamma=setup.settings.gamma), **ALWAYS, NO_CLASS: of_the_variance}
    with RasterReader(recorded(setup, network)) as raster:
        layers, samples = [raster.layers[0].name, *convolutions(raster)], range(raster.n_samples)
        return areas(setup, raster, quantise(network.network), layers, samples, maps)


def smaller(found: pd.DataFrame, layer: str, name: str, rival: str) -> Claim:
    """The claim that a map has the smaller area than a rival, in one layer."""
    both = {f"area of {each}": rows(found, map=each) for each in (rival, name)}
    return compared_over_trainings(f"in {layer}: {name}: better spike deletion than {rival}", "–", both)
