"""The comparison of :mod:`.rivals` on recordings of events, the bundled `saccade-digits`: spikes alone are deleted."""

from __future__ import annotations

from paper.common.event_recordings import saccade_recordings
from paper.common.heatmaps import convolutions
from paper.common.result import Result
from paper.common.setup import Setup
from paper.events import CHECKPOINT
from paper.rivals import compared_rivals
from spikesam.pipeline.networks.checkpoint import load_checkpoint
from spikesam.recordings.raster.reader import RasterReader


def run(setup: Setup) -> Result:
    """Record and compare."""
    settings = setup.settings
    checkpoint = load_checkpoint(CHECKPOINT, "snn")
    recordings = saccade_recordings(checkpoint, settings.rivals + settings.apart, settings.seed)
    with RasterReader(setup.recording(checkpoint.network, recordings)) as raster:
        layers = [raster.layers[0].name, *convolutions(raster)]
        return compared_rivals(setup, raster, checkpoint.network, layers, name="rivals_events")
