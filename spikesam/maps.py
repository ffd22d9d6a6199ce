"""Maps as arrays, for research on them: what :func:`spikesam.explain` computes of a whole file.

Spikes of one sample and layer come packed, as :meth:`RasterReader.packed` gives them.
:func:`spike_activation_maps` are SAM of every step and γ, :func:`spike_activation_sum` its sum over
steps, :func:`spike_count_map` the spikes of each place; :data:`Variant` names SAM's kernel.

:func:`relevance` passes a class's logit back to recorded spikes; :data:`Signs` names its rules, and
a rule of your own extends :class:`RelevanceLayer`. :func:`variance_relevance` divides a variance.

:func:`methods` gives every map method by its name; those that explain an input extend
:class:`InputMethod`. :func:`answers_of` gives the logits of any input, :data:`Answering` is its
type. :func:`mapped_layers` chooses layers by their names, as `spikesam explain --layers` does.

Nothing here needs torch to be imported; methods by gradients do when they are called.

Examples
--------
>>> import spikesam
>>> from spikesam.maps import spike_activation_maps
>>> raster = spikesam.simulate("cluttered-digits", samples=1)
>>> layer = raster.layer("conv2")
>>> spike_activation_maps(raster.packed(layer, 0), layer.shape, [0.5, 1.0]).shape  # γ, T, H, W
(2, 16, 20, 20)
"""

from __future__ import annotations

from spikesam.pipeline.maps.image_method import InputMethod
from spikesam.pipeline.maps.layers import mapped_layers
from spikesam.pipeline.maps.method import methods
from spikesam.pipeline.maps.methods.perturbation import Answering, answers_of
from spikesam.pipeline.maps.relevance import (
    RelevanceLayer,
    Signs,
    relevance,
    variance_relevance,
)
from spikesam.pipeline.maps.sam import (
    Variant,
    spike_activation_maps,
    spike_activation_sum,
    spike_count_map,
)

__all__ = [
    "Answering",
    "InputMethod",
    "RelevanceLayer",
    "Signs",
    "Variant",
    "answers_of",
    "mapped_layers",
    "methods",
    "relevance",
    "spike_activation_maps",
    "spike_activation_sum",
    "spike_count_map",
    "variance_relevance",
]
