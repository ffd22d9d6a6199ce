"""The comparison of :mod:`.rivals` on recordings of events, the bundled `saccade-digits`: spikes alone are deleted."""

from __future__ import annotations

from pipeline.networks.checkpoint import load_checkpoint
from recordings.raster.reader import RasterReader

from .common.event_recordings import saccade_recordings
from .common.heatmaps import convolutions
from .common.result import Result
from .common.setup import Setup
from .events import CHECKPOINT
from .rivals import compared_rivals


def run(setup: Setup) -> Result:
    """Record and compare."""
    settings = setup.settings
    checkpoint = load_checkpoint(CHECKPOINT, "snn")
    recordings = saccade_recordings(checkpoint, settings.rivals + settings.apart, settings.seed)
    with RasterReader(setup.recording(checkpoint.network, recordings)) as raster:
        layers = [raster.layers[0].name, *convolutions(raster)]
        return compared_rivals(setup, raster, checkpoint.network, layers, name="rivals_events")
