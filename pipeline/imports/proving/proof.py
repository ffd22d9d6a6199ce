"""The proof of an import: the model's bits and the network's, in float32 on the example and another, are the same."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import nn

from spikesam.backends.network import Network, NetworkError
from spikesam.backends.network.step import ROUNDING
from spikesam.backends.readout import ReadoutIntegrator
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.imports.libraries.library import SpikingModule
from spikesam.pipeline.imports.proving.alone import LayerAlone, by_position
from spikesam.pipeline.imports.proving.difference import Difference
from spikesam.pipeline.imports.road.operations import INPUT, Scale, TimeSum
from spikesam.pipeline.imports.torch.calling import FollowedModel, follow_model
from spikesam.pipeline.imports.torch.example import Example
from spikesam.pipeline.imports.torch.follower import ModelOutput
from spikesam.pipeline.imports.torch.imported import Imported, assemble
from spikesam.pipeline.imports.torch.neuron_modules import NeuronModules
from spikesam.pipeline.imports.torch.stream import agreed
from spikesam.recordings.raster.batch import unpack

ONE_STEP = frozenset([0])  # of which two answers must agree
SCORES = 1e-4  # of the largest score: what the order of additions may change


def prove(imported: Imported, example: Example) -> None:
    """Run the network on the example, and compare its bits with the model's."""
    network, device = imported.network, str(example.sequence.device)
    given = imported.of_model(example)
    batches = list(TorchBackend(device).run(network, [given[INPUT]], example.samples))
    for number, (layer, shift) in enumerate(zip(network.layers, imported.shifts, strict=True)):
        steps = slice(shift, shift + example.timesteps)
        of_model = given[layer.name][steps]
        bits = np.concatenate([batch.spikes[layer.name][:, steps] for batch in batches])
        differs = unpack(bits, network.shapes[number + 1]) != of_model
        if differs.any():
            t, sample, *place = map(int, np.argwhere(differs)[0])
            neuron = int(np.ravel_multi_index(place, network.shapes[number + 1]))
            difference = Difference(imported, number, t, sample, neuron, bool(of_model[(t, sample, *place)]))
            raise NetworkError(difference.explained(given, device))


def prove_up_to_rounding(imported: Imported, example: Example) -> None:
    """Compare every bit of a model with what its network fires after the model's own bits."""
    network, device = imported.network, str(example.sequence.device)
    given = imported.of_model(example)
    for number, layer in enumerate(network.layers):
        about, shift = imported.layers[number].about, imported.shifts[number]
        threshold = torch.tensor(layer.spiking_neuron.threshold, dtype=torch.float32, device=device)
        alone = LayerAlone(network, number, given, device)
        for t, fired in alone.run(shift, min(network.timesteps, shift + example.timesteps)):
            model = by_position(given[layer.name][t], device)
            far = (alone.neurons.membrane - threshold).abs() > ROUNDING * threshold + about.rounding
            wrong = ((fired != model) & far).mT.flatten(1).nonzero()
            if len(wrong):
                sample, neuron = wrong[0].tolist()
                bit = bool(given[layer.name][t, sample].flat[neuron])
                raise NetworkError(
                    Difference(imported, number, t - shift, sample, neuron, bit).explained(given, device)
                )
            alone.neurons.spikes.copy_(model)


def prove_on_another(model: nn.Module, neurons: NeuronModules, network: Network, example: Example) -> None:
    """Follow the model on another input, where it must be the network that it was, and fire its bits."""
    try:
        followed = follow_model(model, example, neurons)
        imported = assemble(model, followed, example)
        if imported.network.sha256 != network.sha256:
            found = f"the model is another network, in {_what_differs(network, imported.network)}"
            raise NetworkError(f"{found}; expected weights, neurons and connections that do not depend on data")
        prove_up_to_rounding(imported, example)
        check_answer(imported, followed.answer)
    except NetworkError as error:
        raise NetworkError(f"on a second input, which is made from the example: {error}") from error.__cause__


def check_that_all_fire(imported: Imported) -> None:
    """Refuse an example that proves nothing of a layer; planes of the same neurons have the same currents."""
    firing = {layer.name for layer in imported.layers if layer.spikes.any()}
    for layer in imported.layers:
        if not firing & {layer.name, *layer.about.others}:
            raise NetworkError(
                f"{layer.label}: none of its neurons fires on the example, so that nothing is proven of it; give an "
                "example on which every layer fires, such as more samples, more steps or stronger input"
            )


def check_answer(imported: Imported, answer: ModelOutput) -> None:
    """Refuse a model whose output is not what the readout makes of its last layer's spikes."""
    last = imported.layers[-1].spikes.cpu().numpy()
    silent = np.zeros((imported.shifts[-1], *last.shape[1:]), np.bool_)
    spikes = np.concatenate([silent, last])
    sums = []
    for sample in np.moveaxis(spikes, 1, 0):
        integrator = ReadoutIntegrator(imported.network.readout, len(spikes))
        integrator.add(sample)
        sums.append(integrator.result())
    expected = answer.scores.cpu()
    found = imported.probabilities(torch.from_numpy(np.array(sums)).double())
    error = float((found - expected).abs().max())
    if error > SCORES * max(1.0, float(expected.abs().max())):
        raise NetworkError(
            f"the model's output: all spikes are the same, but its scores differ by up to {error:.3g} from the "
            "network's; expected the sum or mean over steps of spikes or currents, or the last membrane"
        )


def warn_of_dropped(followed: FollowedModel, imported: Imported, where: str, stacklevel: int) -> None:
    """Warn of answers of a model that the network does not give: no membranes, nor spikes of its layers."""
    layers = {layer.name for layer in imported.layers}
    found: dict[str, None] = {}
    for path in followed.others:
        kinds = {type(operation.what) for operation in path.operations}
        fired = kinds <= {TimeSum, Scale} and {str(leaf.source) for leaf in path.leaves} <= layers
        if agreed(path, followed.answer.path, (ONE_STEP, ONE_STEP)) is None and not (fired or SpikingModule in kinds):
            found[path.last] = None
    if found:
        kept = followed.answer.path.last
        warnings.warn(
            f"{where}: the model gives several answers; kept that of {kept}, dropped that of {' and '.join(found)}; to "
            "import another, let the model return it first",
            stacklevel=stacklevel + 1,
        )


def _what_differs(one: Network, other: Network) -> str:
    """The difference: the first numbers, or all else."""
    (_, numbers), (_, others) = one.to_graph(), other.to_graph()
    differ = (name for name in numbers if name not in others or not np.array_equal(numbers[name], others[name]))
    return next(differ, "its neurons or how they are connected")
