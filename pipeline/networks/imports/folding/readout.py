"""What comes behind the last neurons that fire: a count, a linear layer, votes, a leaky integrator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from backends.network import LIF, NetworkError, Shape
from pipeline.networks.imports.following.stream import Path, TimeSum
from pipeline.networks.kernels import unpooled
from pipeline.networks.libraries.library import LeakyIntegrator, SpikingModule, expect

from .folds import FOLDS, fold_one
from .synapses import FoldedSynapses


@dataclass(frozen=True, eq=False)
class FoldedReadout:
    """The answer: r[t] = leak · r[t-1] + weight s[t] + bias, at the last step.

    Parameters
    ----------
    weight : (K, N) float32
    bias : (K,) float64
    leak : 1 of a sum
    probabilities : the function that the model's answer has passed through at last, such as a softmax
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float64]
    leak: float
    probabilities: nn.Module


def fold_readout(path: Path, shape: Shape, steps: int) -> FoldedReadout:
    """The operations behind the last neurons that fire.

    Parameters
    ----------
    shape : (C, H, W) of those neurons
    steps : T
    """
    synapses, integrator, summed = FoldedSynapses(shape), LeakyIntegrator(1.0), 1
    probabilities: nn.Module = nn.Identity()
    over = False
    for operation in path.operations:
        what, where = operation.what, operation.where
        if isinstance(what, (nn.Softmax, nn.LogSoftmax)):
            expect(over, where, "is of every step", "of the sum over steps, or of the last membrane")
            probabilities = what
        elif not isinstance(probabilities, nn.Identity):
            raise NetworkError(f"{where}: follows probabilities, expected nothing behind them")
        elif isinstance(what, TimeSum):
            expect(
                not over, where, "sums membranes over steps", "spikes or currents; or the last membrane as the answer"
            )
            synapses, summed, over = replace(synapses, bias=synapses.bias * steps), steps, True
        elif isinstance(what, SpikingModule):
            expect(not over, where, "integrates an integral", "one readout")
            integrator, over = _integrator(what, where), True
            synapses = replace(synapses, gain=synapses.gain * integrator.gain, bias=synapses.bias * integrator.gain)
        else:
            synapses = fold_one(synapses, operation, READOUT_FOLDS)
    synapses = synapses.dense
    assert synapses.weight is not None
    expect(synapses.weight.ndim == 2, path.last, "is a convolution behind the last neurons", "a linear layer")
    expect(synapses.pooling == "average", path.last, "pools spikes by maximum for the answer", "an average")
    classes = len(synapses.weight)
    gain, bias = (np.broadcast_to(each, classes) for each in (synapses.gain, synapses.bias))
    (channels, height, width), (y, x) = shape, synapses.pool
    averaged = unpooled(synapses.weight, (channels, height // y, width // x), (y, x)) / (y * x)
    weight = gain[:, None] * averaged
    return FoldedReadout(weight.astype(np.float32), bias / summed, integrator.leak, probabilities)


def _integrator(about: SpikingModule, where: str) -> LeakyIntegrator:
    """The readout that a module of neurons is whose membranes are the answer."""
    neuron = about.neuron
    if isinstance(neuron, LIF):
        expect(not np.any(neuron.synaptic_leak), where, "answers with membranes of a synaptic current", "spikes")
        none = neuron.reset == "subtract" and not np.any(neuron.subtracted)
        expect(none, where, "answers with membranes that are reset", "spikes, or membranes without a reset")
        neuron = LeakyIntegrator(neuron.leak, neuron.gain)
    leak = np.unique(neuron.leak)
    expect(len(leak) == 1, where, "has a leak for each class", "one leak")
    return LeakyIntegrator(float(leak[0]), neuron.gain)


def _votes(synapses: FoldedSynapses, module: Any, where: str) -> FoldedSynapses:
    """Classes that are the mean of some neurons each."""
    synapses = synapses.dense
    assert synapses.weight is not None
    size, neurons = module.voting_size, len(synapses.weight)
    expect(
        synapses.weight.ndim == 2 and neurons % size == 0, where, f"has voting_size={size}", f"a divisor of {neurons}"
    )
    gain, bias = (np.broadcast_to(each, neurons) for each in (synapses.gain, synapses.bias))
    votes = (gain[:, None] * synapses.weight).reshape(-1, size, synapses.weight.shape[1]).mean(axis=1)
    return replace(
        synapses,
        weight=votes.astype(np.float32),
        gain=np.array(1.0),
        bias=bias.reshape(-1, size).mean(axis=1),
        shape=(len(votes), 1, 1),
    )


READOUT_FOLDS = {**FOLDS, "spikingjelly": {**FOLDS["spikingjelly"], "VotingLayer": _votes}}
