"""The proof of an import: the model's bits and the network's, in float32 on the example, are all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikesam.backends.network import Network, NetworkError
from spikesam.backends.readout import ReadoutIntegrator
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.imports.example import Example
from spikesam.pipeline.imports.folding.assemble import Imported
from spikesam.pipeline.imports.following.calling import FollowedModel
from spikesam.pipeline.imports.following.follower import ModelOutput
from spikesam.pipeline.imports.following.stream import INPUT, Scale, TimeSum, agreed
from spikesam.pipeline.imports.libraries.library import SpikingModule
from spikesam.pipeline.imports.proving.difference import Difference
from spikesam.recordings.raster.batch import unpack

ONE_STEP = frozenset([0])  # of which two answers must agree
SCORES = 1e-4  # of the largest score: what the order of additions may change


def prove(imported: Imported, example: Example) -> None:
    """Run the network on the example, and compare its bits with the model's."""
    network, device = imported.network, str(example.sequence.device)
    given = imported.of_model(example)
    spikes = _run(network, given[INPUT], device)
    for number, (layer, shift) in enumerate(zip(network.layers, imported.shifts, strict=True)):
        steps = slice(shift, shift + example.timesteps)
        of_model = given[layer.name][steps]
        differs = spikes[layer.name][steps] != of_model
        if differs.any():
            t, sample, *place = map(int, np.argwhere(differs)[0])
            neuron = int(np.ravel_multi_index(place, network.shapes[number + 1]))
            difference = Difference(imported, number, t, sample, neuron, bool(of_model[(t, sample, *place)]))
            raise NetworkError(difference.explained(given, device))


def check_that_all_fire(imported: Imported) -> None:
    """Refuse an example that proves nothing of a layer."""
    for layer in imported.layers:
        if not layer.spikes.any():
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
    found = imported.readout.probabilities(torch.from_numpy(np.array(sums)).double())
    error = float((found - expected).abs().max())
    if error > SCORES * max(1.0, float(expected.abs().max())):
        raise NetworkError(
            f"the model's output: all spikes are the same, but its scores differ by up to {error:.3g} from the "
            "network's; expected the sum or mean over steps of spikes or currents, or the last membrane"
        )


def dropped(followed: FollowedModel, imported: Imported) -> dict[str, None]:
    """Answers of a model that the network does not give: no membranes, nor spikes of its layers, summed perhaps."""
    layers = {layer.name for layer in imported.layers}
    found: dict[str, None] = {}
    for path in followed.others:
        kinds = {type(operation.what) for operation in path.operations}
        fired = kinds <= {TimeSum, Scale} and {str(leaf.source) for leaf in path.leaves} <= layers
        if agreed(path, followed.answer.path, (ONE_STEP, ONE_STEP)) is None and not (fired or SpikingModule in kinds):
            found[path.last] = None
    return found


def _run(network: Network, inputs: NDArray[Any], device: str) -> dict[str, NDArray[np.bool_]]:
    """Spikes (T, B, C, H, W) of every layer."""
    batches = list(TorchBackend(device).run(network, [inputs], inputs.shape[-4]))
    return {
        name: np.concatenate([unpack(batch.spikes[name], shape) for batch in batches], axis=1)
        for name, shape in zip(network.raster_names, network.raster_shapes, strict=True)
    }
