"""The proof of an import: in float32, model and network fire the same bits on the example, on a
dense input and on silence; or why not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikesam.backends.input_currents import currents_of
from spikesam.backends.network import LIF, Identity, Input, Network, NetworkError
from spikesam.backends.network.step import ROUNDING, Neurons, arrived_from
from spikesam.backends.readout import ReadoutIntegrator
from spikesam.backends.torch.backend import TorchBackend
from spikesam.backends.torch.neurons import TorchNeurons
from spikesam.backends.torch.synapses import Workspace, exact_sums, make_synapses, repeat_spikes
from spikesam.common.errors import at
from spikesam.common.warning import warn
from spikesam.pipeline.imports.libraries.library import SpikingModule
from spikesam.pipeline.imports.road.operations import INPUT, Scale, TimeSum, expect
from spikesam.pipeline.imports.torch._stream import agreed
from spikesam.pipeline.imports.torch.calling import Example, FollowedModel, follow_model
from spikesam.pipeline.imports.torch.follower import ModelOutput
from spikesam.pipeline.imports.torch.imported import Imported, assemble, model_bits
from spikesam.pipeline.imports.torch.modules import NeuronModules
from spikesam.recordings.raster.batch import unpack

ONE_STEP = frozenset([0])  # of which two answers must agree
SCORES = 1e-4  # of the largest score: what the order of additions may change


def check_rounding(imported: Imported, example: Example, accepted: bool) -> None:
    """Refuse neurons of a library that rounds their states, if that is not accepted, or that cuts
    their currents: whether it changes a bit depends on the input.
    """
    for followed, layer in zip(imported.layers, imported.network.layers, strict=True):
        spiking = followed.about
        if spiking.rounds and not accepted:
            raise NetworkError(
                f"{followed.label}: {spiking.rounds}, and this network does not; expected "
                "rounding=True, which accepts bits that differ by that; or from_netx, which has "
                "lava-dl's integers"
            )
        for drive in layer.inputs if spiking.unit else ():
            current = drive.sources[0].layer == INPUT and example.encoder != "spikes"
            weight = np.asarray(drive.synapse.tensors.get("weight", np.ones(1)), np.float64)
            weight = drive.gain.T * weight.reshape(len(weight), -1)
            cut = (
                current or (np.remainder(weight / drive.synapse.averaged, spiking.unit) != 0).any()
            )
            finding = f"cuts currents to multiples of {spiking.unit:.3g}, between which some lie"
            with at(followed.label):
                expect(not cut, finding, "spikes, and weights rounded to 8 bits")


def prove(imported: Imported, example: Example) -> None:
    """Run the network on the example, and compare its bits with the model's."""
    network, device = imported.network, str(example.sequence.device)
    bits_by_layer = model_bits(network, imported.layers, imported.shifts, example)
    batches = list(TorchBackend(device).run(network, [bits_by_layer[INPUT]], example.samples))
    for number, (layer, shift) in enumerate(zip(network.layers, imported.shifts, strict=True)):
        steps = slice(shift, shift + example.timesteps)
        of_model = bits_by_layer[layer.name][steps]
        bits = np.concatenate([batch.spikes[layer.name][:, steps] for batch in batches])
        differs = unpack(bits, network.shapes[number + 1]) != of_model
        if differs.any():
            t, sample, *place = map(int, np.argwhere(differs)[0])
            neuron = int(np.ravel_multi_index(place, network.shapes[number + 1]))
            raise NetworkError(
                _difference(imported, number, (t, sample, neuron), bits_by_layer, device)
            )


def prove_up_to_rounding(imported: Imported, example: Example) -> None:
    """Compare every bit of a model with what its network fires after the model's own bits."""
    network, device = imported.network, str(example.sequence.device)
    bits_by_layer = model_bits(network, imported.layers, imported.shifts, example)
    for number, layer in enumerate(network.layers):
        spiking, shift = imported.layers[number].about, imported.shifts[number]
        threshold = torch.tensor(layer.spiking_neuron.threshold, dtype=torch.float32, device=device)
        layer_alone = LayerAlone(network, number, bits_by_layer, device)
        for t, fired in layer_alone.run(shift, min(network.timesteps, shift + example.timesteps)):
            model = by_position(bits_by_layer[layer.name][t], device)
            far = (
                layer_alone.neurons.membrane - threshold
            ).abs() > ROUNDING * threshold + spiking.rounding
            wrong = ((fired != model) & far).mT.flatten(1).nonzero()
            if len(wrong):
                sample, neuron = wrong[0].tolist()
                raise NetworkError(
                    _difference(
                        imported, number, (t - shift, sample, neuron), bits_by_layer, device
                    )
                )
            layer_alone.neurons.spikes.copy_(model)


def prove_on_others(
    model: nn.Module, neurons: NeuronModules, network: Network, example: Example
) -> None:
    """Prove the network on a dense input and on silence, up to rounding."""
    dense, silence = example.varied(), example.silenced()
    _prove_on(model, neurons, network, dense, "a second input, which is made from the example")
    _prove_on(model, neurons, network, silence, "silence")


def _prove_on(
    model: nn.Module, neurons: NeuronModules, network: Network, example: Example, name: str
) -> None:
    """Follow the model on another input, where it must be the network that it was, and fire its
    bits.
    """
    try:
        followed = follow_model(model, example, neurons)
        imported = assemble(model, followed, example)
        if imported.network.sha256 != network.sha256:
            finding = f"the model is another network, in {_what_differs(network, imported.network)}"
            raise NetworkError(
                f"{finding}; expected weights, neurons and connections that do not depend on data"
            )
        prove_up_to_rounding(imported, example)
        check_answer(imported, followed.answer)
    except NetworkError as error:
        raise NetworkError(f"on {name}: {error}") from error.__cause__


def check_that_all_fire(imported: Imported) -> None:
    """Refuse an example that proves nothing of a layer; planes of the same neurons have the same
    currents.
    """
    firing = {layer.name for layer in imported.layers if layer.spikes.any()}
    for layer in imported.layers:
        if not firing & {layer.name, *layer.about.others}:
            raise NetworkError(
                f"{layer.label}: none of its neurons fires on the example, so that nothing is "
                "proven of it; give an "
                "example on which every layer fires, such as more samples, more steps or stronger "
                "input"
            )


def check_answer(imported: Imported, answer: ModelOutput) -> None:
    """Refuse a model whose output is not what the readout makes of its last layer's spikes."""
    last = imported.layers[-1].spikes.cpu().numpy()
    silent = np.zeros((imported.shifts[-1], *last.shape[1:]), np.bool_)
    spikes = np.concatenate([silent, last])
    integrator = ReadoutIntegrator(imported.network.readout, len(spikes))
    integrator.add(spikes)
    expected = answer.scores.cpu()
    probabilities = imported.probabilities(torch.from_numpy(integrator.result()).double())
    error = float((probabilities - expected).abs().max())
    if error > SCORES * max(1.0, float(expected.abs().max())):
        raise NetworkError(
            "the model's output: all spikes are the same, but its scores differ by up to "
            f"{error:.3g} from the network's; expected the sum or mean over steps of spikes or "
            "currents, or the last "
            "membrane"
        )


def warn_of_dropped(followed: FollowedModel, imported: Imported, caller: str) -> None:
    """Warn of answers of a model that the network does not give: no membranes, nor spikes of its
    layers.
    """
    layers = {layer.name for layer in imported.layers}
    names: dict[str, None] = {}
    for path in followed.others:
        kinds = {type(operation.what) for operation in path.operations}
        fired = kinds <= {TimeSum, Scale} and {str(leaf.source) for leaf in path.leaves} <= layers
        if agreed(path, followed.answer.path, (ONE_STEP, ONE_STEP)) is None and not (
            fired or SpikingModule in kinds
        ):
            names[path.last] = None
    if names:
        answer_layer = followed.answer.path.last
        warn(
            f"{caller}: the model gives several answers; kept that of {answer_layer}, dropped that "
            f"of {' and '.join(names)}; to import another, let the model return it first",
        )


def _what_differs(first: Network, second: Network) -> str:
    """The difference: the first numbers, or all else."""
    (_, numbers), (_, second_numbers) = first.to_graph(), second.to_graph()
    differ = (
        name
        for name in numbers
        if name not in second_numbers or not np.array_equal(numbers[name], second_numbers[name])
    )
    return next(differ, "its neurons or how they are connected")


def _difference(
    imported: Imported,
    number: int,
    bit: tuple[int, int, int],
    bits_by_layer: Mapping[str, NDArray[Any]],
    device: str,
) -> str:
    """A bit (t, sample, neuron) of a layer that differs, in the model's steps: its membranes, and
    why it may.
    """
    layer, shape, (t, sample, neuron_place) = (
        imported.layers[number],
        imported.network.shapes[number + 1],
        bit,
    )
    place = tuple(map(int, np.unravel_index(neuron_place, shape)))
    neuron = imported.network.layers[number].spiking_neuron
    assert isinstance(neuron, LIF)
    membranes = {"in the network": _membrane(imported, number, bit, bits_by_layer, device)}
    if layer.currents is not None and not layer.about.begins:
        currents = layer.currents[:, sample, neuron_place].cpu().numpy()
        model_neuron = imported.neurons[number]
        assert isinstance(model_neuron, LIF)
        membranes["with the model's own currents"] = membrane(
            model_neuron, imported.gains[number], place[0], currents
        )[t]
    threshold = float(np.broadcast_to(neuron.threshold, shape[0])[place[0]])
    reason = layer.about.rounds
    if all(
        abs(membrane - threshold) <= ROUNDING * threshold + layer.about.rounding
        for membrane in membranes.values()
    ):
        reason = f"{reason or 'the order of additions decides'}, which rounding=True accepts"
    fires = ("network, not in the model", "model, not in the network")[bool(layer.spikes[bit])]
    listed_membranes = ", ".join(f"{value:.9g} {whose}" for whose, value in membranes.items())
    return (
        f"{layer.label}: at step {t} of sample {sample}, neuron {place} fires in the {fires}; its "
        f"membrane is {listed_membranes}, "
        f"its threshold {threshold:.9g}{reason and '; '}{reason}"
    )


def _membrane(
    imported: Imported,
    number: int,
    bit: tuple[int, int, int],
    bits_by_layer: Mapping[str, NDArray[Any]],
    device: str,
) -> float:
    """v[t] of a neuron in the network, after the model's own bits."""
    network, shift, (t, sample, neuron) = imported.network, imported.shifts[number], bit
    bits_of_sample = {
        name: bits[..., sample : sample + 1, :, :, :] for name, bits in bits_by_layer.items()
    }
    layer_alone = LayerAlone(network, number, bits_of_sample, device)
    for step, _ in layer_alone.run(shift, shift + t + 1):
        layer_alone.neurons.spikes.copy_(
            by_position(bits_of_sample[network.layers[number].name][step], device)
        )
    return layer_alone.neurons.membrane.mT.flatten()[neuron].item()


def membrane(
    neuron: LIF, gain: NDArray[np.float64], channel: int, currents: NDArray[np.float32]
) -> NDArray[np.float32]:
    """v[t] of one neuron in float32, (S,), driven from rest by a[t], (S,); a channel's constants
    count.
    """
    neurons = Neurons(neuron, [Input(Identity(), gain=gain)], (gain.shape[1], 1, 1), np.float32)
    membranes, fired = [], np.zeros_like(neurons.v, np.bool_)
    for t, current in enumerate(currents, start=1):
        membranes.append(neurons.step(t, [np.full_like(neurons.v, current)], fired)[channel].item())
        fired = neurons.fires
    return np.array(membranes, np.float32)


class LayerAlone:
    """The neurons of layer `number`, from 0, at rest; `bits_by_layer` are (T, B, C, H, W) by name,
    of all that it reads.
    """

    def __init__(
        self, network: Network, number: int, bits_by_layer: Mapping[str, NDArray[Any]], device: str
    ) -> None:
        self.network, self.given, self.device = network, bits_by_layer, device
        layer, (channels, height, width) = network.layers[number], network.shapes[number + 1]
        samples = bits_by_layer[layer.inputs[0].sources[0].layer].shape[-4]
        self.neurons = TorchNeurons(
            layer.spiking_neuron, layer.inputs, (samples, height * width, channels), device
        )
        self.currents = [
            self._currents(layer_input, (number, place))
            for place, layer_input in enumerate(layer.inputs)
        ]

    def run(self, first: int, stop: int) -> Iterator[tuple[int, Tensor]]:
        """Go from rest before `first` to each step before `stop`, and what fires, (B, H·W, C);
        `spikes` may be set.
        """
        for t in range(max(1, first), stop):
            with torch.inference_mode(), exact_sums():
                fired = self.neurons.step(
                    [current(t).view_as(self.neurons.membrane) for current in self.currents], t
                )
            yield t, fired

    def _currents(self, layer_input: Input, key: tuple[int, int]) -> Callable[[int], Tensor]:
        """The function to a[t] of an input, (B, H·W, C); `key` are the numbers of the layer and of
        the input.
        """
        network, (first, delay) = (
            self.network,
            (layer_input.sources[0].layer, layer_input.sources[0].longest),
        )
        if key in network.driven:
            steps = (
                torch.from_numpy(currents_of(network, key, self.given[first]))
                .to(self.device)
                .flatten(3)
                .mT
            )
            return lambda t: steps[:, min(max(0, t - delay), steps.shape[1] - 1)] * (t >= delay)
        shape_read = network.shapes[network.place(first)]
        synapses = make_synapses(layer_input, shape_read, Workspace(self.device), "currents")
        return lambda t: synapses(
            repeat_spikes(self._arrived(layer_input, t), layer_input, shape_read)
        )

    def _arrived(self, layer_input: Input, t: int) -> Tensor:
        """x[t] of an input, (B, H·W, C) int8, not spread."""
        arriving = [
            source.sign
            * by_position(arrived_from(source, self.given[source.layer], t), self.device)
            for source in layer_input.sources
        ]
        return torch.cat(
            [sum(further, first) for first, *further in layer_input.summands(arriving)], -1
        )


def by_position(spikes: NDArray[np.bool_], device: str) -> Tensor:
    """(B, C, H, W) bool -> (B, H·W, C) int8."""
    return torch.from_numpy(spikes).to(device, torch.int8).flatten(2).mT
