"""The proof of an import on a second input: what is a constant on one example alone is none of the network."""

from __future__ import annotations

import numpy as np
from torch import nn

from spikesam.backends.network import Network, NetworkError
from spikesam.pipeline.imports.example import Example
from spikesam.pipeline.imports.folding.assemble import assemble
from spikesam.pipeline.imports.following.calling import follow_model
from spikesam.pipeline.imports.neuron_modules import NeuronModules
from spikesam.pipeline.imports.proving.proof import check_answer
from spikesam.pipeline.imports.proving.rounding import prove_up_to_rounding


def prove_on_another(model: nn.Module, neurons: NeuronModules, network: Network, example: Example) -> None:
    """Follow the model on another input, where it must be the network that it was, and fire its bits."""
    try:
        followed = follow_model(model, example, neurons)
        imported = assemble(model, followed, example)
        if imported.network.sha256 != network.sha256:
            raise NetworkError(
                f"the model is another network, in {_difference(network, imported.network)}; expected weights, neurons "
                "and connections that do not depend on data"
            )
        prove_up_to_rounding(imported, example)
        check_answer(imported, followed.answer)
    except NetworkError as error:
        raise NetworkError(f"on a second input, which is made from the example: {error}") from error.__cause__


def _difference(one: Network, other: Network) -> str:
    """What differs: the first numbers, or all else."""
    (_, numbers), (_, others) = one.to_graph(), other.to_graph()
    differ = (name for name in numbers if name not in others or not np.array_equal(numbers[name], others[name]))
    return next(differ, "its neurons or how they are connected")
