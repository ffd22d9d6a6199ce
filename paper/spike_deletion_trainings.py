"""Beyond the paper: spike deletion in several trainings of one network: the method, or the one
network?

As :mod:`.spike_deletion`. The networks are those of :mod:`.doses` that got no decay of their gains,
small ones. Every training sees the same images; intervals and p-values are over trainings and
images.
"""

from __future__ import annotations

import pandas as pd

from paper.common.heatmaps import convolutions
from paper.common.result import Result, compared_over_trainings
from paper.common.setup import Setup
from paper.doses import Treatment, recorded, treated
from paper.measures.tables import summary_over_trainings
from paper.spike_deletion import areas, compared_maps, draw, notes
from spikesam import RasterReader, quantise


def run(setup: Setup) -> Result:
    """Train, or find trained, delete and compare."""
    trainings = range(setup.config.doses.trainings)
    found = pd.concat(
        [deleted(setup, training).assign(training=training) for training in trainings]
    )
    found = found[["image", "training", "map", "layer", "measure", "value"]]
    table = summary_over_trainings(found)
    about = f"{len(trainings)} trainings and {table['n'].max()} samples"
    draw(setup.out / "spike_deletion_trainings.png", table, about)
    claims = [
        compared_over_trainings(what, "–", dict(reversed(both.items())))
        for what, both in compared_maps(found)
    ]  # the rival's area is the larger one
    told = [
        *notes(about),
        "Small networks, see “doses”, without decay of their gains; intervals are over both.",
    ]
    return Result(
        "Spike deletion in several trainings of a small network",
        table,
        claims,
        told,
        found,
        networks={},
    )


def deleted(setup: Setup, training: int) -> pd.DataFrame:
    """The areas of every map in one training's network."""
    network = treated(setup, training, Treatment(0.0, "none", setup.config.doses.rate))
    with RasterReader(recorded(setup, network)) as raster:
        return areas(
            setup, raster, quantise(network.network), [raster.layers[0].name, *convolutions(raster)]
        )
