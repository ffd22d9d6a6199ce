"""Data sets and samples as networks get them, for samples of your own and for measuring on many.

:func:`open_dataset` opens a set by name or path; :func:`choose_samples` reads the first of a seeded
class-balanced order, prepared for a checkpoint. :class:`ClutteredDigits` are generated scenes,
whose digits come from :func:`handwriting`; :data:`CLUTTERED_DIGITS` is the set's name.

:func:`spikesam.simulate` takes anything that extends :class:`Samples`: :class:`DatasetSamples` of
images, :class:`EventSamples`, :class:`PreparedImages` and :class:`InputSteps` of arrays.
:class:`SampleTable` has their numbers and labels. :func:`encode` makes a network's input of
prepared images. :class:`RasterHeader` is what a raster file says of itself.

Examples
--------
>>> import spikesam
>>> from spikesam.data import choose_samples
>>> samples = choose_samples("cluttered-digits", spikesam.load("cluttered-digits"), 4, seed=0)
>>> samples.images().shape, samples.table.label.tolist()
((4, 3, 80, 80), [1, 8, 9, 7])
"""

from __future__ import annotations

from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.datasets.cluttered_digits import CLUTTERED_DIGITS, ClutteredDigits
from spikesam.pipeline.images.datasets.handwriting import handwriting
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.images.samples import (
    DatasetSamples,
    EventSamples,
    InputSteps,
    PreparedImages,
    Samples,
)
from spikesam.pipeline.networks.samples import choose_samples
from spikesam.recordings.raster.schema import RasterHeader
from spikesam.recordings.schema import SampleTable

__all__ = [
    "CLUTTERED_DIGITS",
    "ClutteredDigits",
    "DatasetSamples",
    "EventSamples",
    "InputSteps",
    "PreparedImages",
    "RasterHeader",
    "SampleTable",
    "Samples",
    "choose_samples",
    "encode",
    "handwriting",
    "open_dataset",
]
