"""Training and conversion in parts, for experiments on them: what :func:`spikesam.train` is made
of.

:class:`SpikingNetwork` is the torch module that is trained, with BNTT, for a training loop of your
own; :func:`export_network` makes a :class:`spikesam.Network` of it. :func:`plan_layers` reads the
list of layers of the settings into :class:`LayerPlan`, :func:`count_inputs` says how many inputs a
layer then has. :data:`BNTT_EPSILON` is BNTT's ε. :func:`native_type` is the type in which this
machine computes fast, and :func:`keep_freed_memory` spares it page faults.

Of a training by :func:`spikesam.train`: :func:`steps_per_epoch` and :func:`step_milestones` say
when the learning rate changes, :func:`network_of_epoch` gives the network of a kept epoch,
:func:`check_fit` refuses a checkpoint that is not what settings describe.

Of a conversion: :func:`calibration_of` reads the images, :func:`converted` gives the network alone,
of which nothing is measured. :func:`write_network` and :func:`read_network` keep a network without
classes. Needs the extra `train`.

Examples
--------
>>> from spikesam.settings import NetworkSection
>>> from spikesam.training import SpikingNetwork, export_network
>>> settings = NetworkSection(layers=(4, "P4", "D8"), timesteps=6)
>>> model = SpikingNetwork(settings, (3, 16, 16), classes=10)
>>> export_network(model.eval()).shapes
((6, 16, 16), (4, 16, 16), (8, 1, 1))
"""

from __future__ import annotations

from spikesam.backends.network.storage import read_network, write_network
from spikesam.common.extras import missing

try:
    from spikesam.pipeline.conversion.algorithm import calibration_of, converted
    from spikesam.pipeline.networks.checkpoint import check_fit
    from spikesam.pipeline.networks.defaults import keep_freed_memory
    from spikesam.pipeline.networks.layer_list import LayerPlan, count_inputs, plan_layers
    from spikesam.pipeline.training.fit import network_of_epoch, step_milestones
    from spikesam.pipeline.training.inputs import steps_per_epoch
    from spikesam.pipeline.training.precision import native_type
    from spikesam.pipeline.training.trainable import (
        BNTT_EPSILON,
        SpikingNetwork,
        export_network,
    )
except ImportError as error:
    raise ImportError(
        f"spikesam.training {missing(error, 'train') or error}", name=error.name
    ) from None

__all__ = [
    "BNTT_EPSILON",
    "LayerPlan",
    "SpikingNetwork",
    "calibration_of",
    "check_fit",
    "converted",
    "count_inputs",
    "export_network",
    "keep_freed_memory",
    "native_type",
    "network_of_epoch",
    "plan_layers",
    "read_network",
    "step_milestones",
    "steps_per_epoch",
    "write_network",
]
