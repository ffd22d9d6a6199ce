"""What comes behind the last neurons that fire: a count, a linear layer, votes, a leaky integrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from spikesam.backends.network import LIF, NetworkError, Shape, Source
from spikesam.pipeline.imports.folding.folds import FOLDS, begin, fold_one, refused
from spikesam.pipeline.imports.folding.synapses import FoldedSynapses
from spikesam.pipeline.imports.following.stream import Path, TimeSum
from spikesam.pipeline.imports.kernels import unpooled
from spikesam.pipeline.imports.libraries.library import LeakyIntegrator, SpikingModule, expect


@dataclass(frozen=True, eq=False)
class FoldedReadout:
    """The answer: r[t] = leak · r[t-1] + weight s[t] + bias, at the last step.

    Parameters
    ----------
    sources : whose spikes s are, one behind the other: names of modules, and how many steps ago they fired
    weight : (K, N) float32
    bias : (K,) float64
    leak : 1 of a sum
    probabilities : the function that the model's answer has passed through at last, such as a softmax
    """

    sources: tuple[Source, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float64]
    leak: float
    probabilities: nn.Module


def fold_readout(path: Path, shapes: Mapping[str, Shape], steps: int) -> FoldedReadout:
    """The operations behind the last neurons that fire.

    Parameters
    ----------
    shapes : (C, H, W) of neurons, by the name of their module
    steps : T
    """
    folded, integrator, over_steps = begin(path, shapes), LeakyIntegrator(1.0), 1
    expect(all(each.gain.ndim < 2 and each.bias.ndim < 2 for each in folded), path.last, *NUMBERS_OF_STEPS)
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
            folded, over_steps, over = [replace(each, bias=each.bias * steps) for each in folded], steps, True
        elif isinstance(what, SpikingModule):
            expect(not over, where, "integrates an integral", "one readout")
            integrator, over, by = _integrator(what, where), True, what.gain
            folded = [replace(each, gain=each.gain * by, bias=each.bias * by) for each in folded]
        else:
            folded = fold_one(folded, operation, READOUT_FOLDS)
    folded = [each.dense for each in folded]
    weights: dict[Source, NDArray[np.float64]] = {}
    for synapses in folded:
        weight = _unpooled(synapses, shapes, path.last)
        for source in synapses.sources:
            key = replace(source, sign=1)
            weights[key] = weights.get(key, 0.0) + source.sign * weight
    bias = np.broadcast_to(folded[0].bias, len(weight))
    whole = np.concatenate(list(weights.values()), axis=1).astype(np.float32)
    return FoldedReadout(tuple(weights), whole, bias / over_steps, integrator.leak, probabilities)


def _unpooled(synapses: FoldedSynapses, shapes: Mapping[str, Shape], where: str) -> NDArray[np.float64]:
    """(K, N) weights of the spikes themselves."""
    assert synapses.weight is not None
    expect(synapses.weight.ndim == 2, where, "is a convolution behind the last neurons", "a linear layer")
    expect(synapses.pooling == "average", where, "pools spikes by maximum for the answer", "an average")
    (channels, height, width), (y, x) = shapes[synapses.sources[0].layer], synapses.pool
    averaged = unpooled(synapses.weight, (channels, height // y, width // x), (y, x)) / (y * x)
    weight: NDArray[np.float64] = np.broadcast_to(synapses.gain, len(averaged))[:, None] * averaged
    return weight


def _integrator(about: SpikingModule, where: str) -> LeakyIntegrator:
    """The readout that a module of neurons is whose membranes are the answer."""
    neuron = about.neuron
    if isinstance(neuron, LIF):
        expect(not np.any(neuron.synaptic_leak), where, "answers with membranes of a synaptic current", "spikes")
        none = neuron.reset == "subtract" and not np.any(neuron.subtracted)
        expect(none, where, "answers with membranes that are reset", "spikes, or membranes without a reset")
    leak = np.unique(neuron.leak)
    expect(len(leak) == 1, where, "has a leak for each class", "one leak")
    return LeakyIntegrator(float(leak[0]))


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


NUMBERS_OF_STEPS = "has other numbers at every step in front of the answer", "the same numbers"
READOUT_FOLDS = {
    **FOLDS,
    "spikingjelly": {**FOLDS["spikingjelly"], "VotingLayer": _votes},
    "spikesam": {**FOLDS["spikesam"], "ByStep": refused(", expected ".join(NUMBERS_OF_STEPS))},
}
