"""A float32 network, spiking or not, as a differentiable function of its encoded input.

What a gradient through spikes needs besides the equations of `backends/network/neurons.py`: the
spike's derivative is replaced by Eq. 8's ∂s/∂v = 0.3·max(0, 1 - |v/θ - 1|) / θ, as in training, and
none flows through the reset (see
:mod:`.firing`). The 1/θ, which Eq. 8 leaves out, is that of the chain rule, and scales all
gradients that pass through a layer alike. Each layer delays by a step, so the last steps of the
input and of early layers have no gradient.

References
----------
Kim & Panda 2021, Eq. 2-5 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikesam.backends.base import InputBatch, unpacked
from spikesam.backends.input_currents import arriving
from spikesam.backends.network import (
    DEFAULT_RANGE,
    LIF,
    PIXEL_LIMIT,
    Input,
    Layer,
    Network,
    NetworkError,
    Readout,
    ReLU,
)
from spikesam.backends.torch.synapses import apply_synapses, arrange, exact_sums
from spikesam.common.arguments import checked_arguments
from spikesam.common.errors import InputError
from spikesam.pipeline.images.encoding import encode
from spikesam.pipeline.networks.checkpoint import Checkpoint, load
from spikesam.pipeline.networks.defaults import usual_defaults
from spikesam.pipeline.networks.firing import fire, fire_step
from spikesam.recordings.schema import steps_that_matter


class DifferentiableNetwork(nn.Module):
    """A float32 network with constant weights through which gradients flow; `width` is in
    thresholds either side.
    """

    def __init__(
        self,
        network: Network,
        width: float = 1.0,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        if network.precision != "float32":
            raise InputError(
                "gradients: got a network in fixed point, expected float32; use the one before "
                "quantise()"
            )
        if network.has_loops:
            raise InputError(
                "gradients: a layer reads one that comes later, expected no loops but those of a "
                "layer to itself"
            )
        self.network = network
        module_kinds: dict[type, Callable[..., nn.Module]] = {
            LIF: partial(SpikingLayer, width=width),
            ReLU: partial(ReluLayer, memory_format=memory_format),
        }
        self.layers = nn.ModuleList(
            module_kinds[type(layer.neuron)](layer, network) for layer in network.layers
        )
        readout, timesteps = network.readout, network.timesteps
        self.readout = constant_parameter(readout.weight)
        bias = torch.tensor(readout.bias, dtype=torch.float64).expand(timesteps, -1)
        self.bias = constant_parameter(
            (_leaked(readout, timesteps) @ bias).numpy().astype(np.float32)
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, classes) of encoded float32 inputs, and each layer's spikes (T, B, C, H, W) or
        activations.
        """
        tracked = torch.is_grad_enabled()
        fired = {"input": inputs}
        with exact_sums():
            for layer, module in zip(self.network.layers, self.layers, strict=True):
                output = module(fired)
                fired[layer.name] = (
                    output if output.requires_grad or not tracked else output.requires_grad_()
                )
            outputs = list(fired.values())[1:]
            logits = self._read(outputs[-1])
        if self.network.kind == "ann" and not logits.isfinite().all():
            finite = [bool(output.isfinite().all()) for output in outputs]
            where = (
                "readout"
                if all(finite)
                else f"layer {self.network.layers[finite.index(False)].name!r}"
            )
            raise NetworkError(
                f"{where}: its sums leave float32 on these images, expected finite numbers; scale "
                "it down"
            )
        return logits, outputs

    def logits(self, inputs: Tensor) -> Tensor:
        """The logits of :meth:`forward` alone, sooner: spikes too late to reach them are not worked
        out.
        """
        if self.network.kind == "ann" or not self.network.is_chain:
            return self(inputs)[0]
        fired, previous = {"input": inputs}, "input"
        with exact_sums():
            for layer, module in zip(self.network.layers, self.layers, strict=True):
                without_steps = (
                    previous == "input" and self.network.encoder == "constant-current"
                )  # an image without steps
                early = fired[previous] if without_steps else fired[previous][: module.reach]
                fired, previous = {layer.name: module({previous: early})}, layer.name
            return self._read(fired[previous])

    def _read(self, last: Tensor) -> Tensor:
        """Logits of what the last layer fires or activates."""
        readout, timesteps = self.network.readout, self.network.timesteps
        if (
            self.network.kind == "snn"
        ):  # (T, …), summed over the steps as the readout does: those long ago have leaked
            without_leak = readout.leak == 1
            last = (
                last.sum(0)
                if without_leak
                else torch.tensordot(_leaked(readout, timesteps).to(last), last, 1)
            )
        return (last.flatten(1) @ self.readout.T + self.bias) / timesteps * readout.scale


class ReluLayer(nn.Module):
    """Activations of a layer of ReLU neurons, (B, C, H, W), or (B, C) of a dense one, from those of
    layers by name.
    """

    def __init__(self, layer: Layer, network: Network, memory_format: torch.memory_format) -> None:
        super().__init__()
        assert isinstance(layer.neuron, ReLU)
        self.memory_format = memory_format
        self.inputs, shape = layer.inputs, network.shapes[network.place(layer.name)]
        self.shape = shape[:1] if layer.kind == "dense" else shape
        self.read = [network.shape_read(layer_input) for layer_input in self.inputs]
        self.weights = nn.ParameterList(
            constant_parameter(layer_input.synapse.tensors.get("weight", np.zeros(0)))
            for layer_input in self.inputs
        )
        self.gains = nn.ParameterList(
            self._by_channel(layer_input.gain) for layer_input in self.inputs
        )
        self.bias = self._by_channel(layer.neuron.bias)
        self.limit = None if layer.neuron.limit is None else self._by_channel(layer.neuron.limit)

    def forward(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The activations of the layer."""
        return self.rectified(self.currents(activations))

    def rectified(self, currents: Tensor) -> Tensor:
        """The activations that currents give."""
        activations = functional.relu(currents)
        return activations if self.limit is None else torch.minimum(activations, self.limit)

    def currents(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The currents that the neurons rectify: Σ gain · a + bias."""
        total = self.bias
        for layer_input, weight, gain, shape in zip(
            self.inputs, self.weights, self.gains, self.read, strict=True
        ):
            first, *further = (
                source.sign * activations[source.layer].reshape(-1, *shape)
                for source in layer_input.sources
            )
            maps = arrange(sum(further, first), layer_input.synapse, (1, 2, 3))
            currents = apply_synapses(layer_input, weight, maps, self.memory_format)
            total = total + gain * currents.reshape(-1, *self.shape)
        return total

    def _by_channel(self, numbers: Any) -> nn.Parameter:
        """One number, or (C,), for the maps of the layer."""
        return constant_parameter(np.float32(numbers).reshape(-1, *[1] * (len(self.shape) - 1)))


def classes_meant(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) the labels, with the predicted class for those that are unknown, which are -1."""
    on_device = labels.to(logits.device, torch.int64)
    return on_device.where(on_device >= 0, logits.argmax(1))


def predictions(
    network: Network | DifferentiableNetwork, inputs: Iterable[InputBatch]
) -> NDArray[np.int64]:
    """The class that a float32 network gives every image of encoded batches: (N,)."""
    model = DifferentiableNetwork(network) if isinstance(network, Network) else network
    with torch.no_grad():
        batches = [
            model.logits(torch.from_numpy(unpacked(batch)).to(torch.float32)).argmax(1)
            for batch in inputs
        ]
    return torch.cat(batches).numpy()


def _leaked(readout: Readout, timesteps: int) -> Tensor:
    """(T,) float64: what is left at the last step of what the readout got at each."""
    return readout.leak ** torch.arange(timesteps - 1, -1, -1, dtype=torch.float64)


Steps = Tensor | list[Tensor]  # (T, B, C, H, W), or one step after the other
Fired = Mapping[str, Tensor]  # name of a layer, or "input" -> the spikes of all steps


class SpikingLayer(nn.Module):
    """Spikes (T, B, C, H, W) of a layer, from those that it reads or an image; gradients of the
    first `reach` steps.
    """

    def __init__(self, layer: Layer, network: Network, width: float = 1.0) -> None:
        super().__init__()
        place, self.width = network.place(layer.name), width
        self.name, self.steps = (
            layer.name,
            network.timesteps - 1,
        )  # at the first one nothing arrives
        self.inputs, self.shape = layer.inputs, network.shapes[place]
        self.driven = [
            number for place_of_layer, number in network.driven if place_of_layer == place - 1
        ]
        self.constant = network.encoder == "constant-current"
        self.unit = network.input_range / DEFAULT_RANGE
        self.weights = nn.ParameterList(
            constant_parameter(layer_input.synapse.tensors.get("weight", np.zeros(0)))
            for layer_input in self.inputs
        )
        self.reach = steps_that_matter(network.timesteps, network.to_readout[layer.name]) - 1
        self.neuron = layer.spiking_neuron
        gains = [layer_input.gain for layer_input in self.inputs]
        self.gain = (
            gains.pop() if len(gains) == 1 else np.ones((1, self.shape[0]))
        )  # which the neurons' steps apply
        self.gains = [torch.tensor(gain, dtype=torch.float32) for gain in gains]
        self.recurrent = layer.reads_itself

    def forward(self, fired: Fired) -> Tensor:
        """From the spikes of all steps of the layers that this one reads, its own of all steps."""
        if self.recurrent:
            return self._step_by_step(fired)
        late = {name: spikes.detach() for name, spikes in fired.items()}
        early_currents, late_currents = (
            self._driven(fired, 0, self.reach),
            self._driven(late, self.reach, self.steps),
        )
        return fire(self.neuron, self.gain, early_currents, late_currents, self.width)

    def currents(self, fired: Fired) -> Tensor:
        """The currents of the neurons at steps 1 … T - 1: of several inputs, with their gains."""
        return self._driven(fired, 0, self.steps)

    def _driven(self, fired: Fired, start: int, stop: int) -> Tensor:
        """The currents of all inputs at steps start + 1 … stop."""
        first, *further = (
            self._weighed(number, fired, start, stop) for number in range(len(self.inputs))
        )
        return sum(further, first)

    def _weighed(self, number: int, fired: Mapping[str, Any], start: int, stop: int) -> Tensor:
        """The currents of one input at steps start + 1 … stop, times its gain."""
        currents = self._currents(number, fired, start, stop)
        if not self.gains:
            return currents
        rows = self.gains[number]
        rows = rows if len(rows) == 1 else rows[start : start + len(currents)]
        return currents * rows.to(currents)[:, None, :, None, None]

    def _currents(self, number: int, fired: Mapping[str, Any], start: int, stop: int) -> Tensor:
        """The currents of one input at steps start + 1 … stop, (S, B, C, H, W)."""
        layer_input, weight = self.inputs[number], self.weights[number]
        stop = max(start, stop)
        if number in self.driven:
            return self._of_numbers(layer_input, weight, fired["input"], start, stop)
        arrived = [
            source.sign * source.arriving(partial(_later, fired[source.layer], start, stop))
            for source in layer_input.sources
        ]
        sums = [sum(further, first) for first, *further in layer_input.summands(arrived)]
        joined = sums[0] if len(sums) == 1 else torch.cat(sums, 2)
        maps = arrange(joined, layer_input.synapse, (2, 3, 4))
        currents = apply_synapses(layer_input, weight, maps.flatten(0, 1))
        return currents.reshape(*maps.shape[:2], *self.shape)

    def _of_numbers(
        self, layer_input: Input, weight: Tensor, numbers_in: Tensor, start: int, stop: int
    ) -> Tensor:
        """The currents of numbers, summed in float64 and rounded once: see
        backends/input_currents.py.
        """
        delay, synapse = layer_input.sources[0].longest, layer_input.synapse
        maps = numbers_in[None] if self.constant else _later(numbers_in, start, stop, delay)
        numbers = arrange(maps.flatten(0, 1).double(), synapse, (1, 2, 3)) / PIXEL_LIMIT
        currents = (
            (apply_synapses(layer_input, weight.double(), numbers) * self.unit)
            .float()
            .reshape(*maps.shape[:2], *self.shape)
        )
        return (
            _later(currents.expand(stop, -1, -1, -1, -1), start, stop, delay)
            if self.constant
            else currents
        )

    def _step_by_step(self, fired: Fired) -> Tensor:
        reads_itself = [
            any(source.layer == self.name for source in layer_input.sources)
            for layer_input in self.inputs
        ]
        outside_currents = [
            None if again else self._weighed(number, fired, 0, self.steps)
            for number, again in enumerate(reads_itself)
        ]
        source_name, source_spikes = list(fired.items())[-1]
        samples = (
            len(source_spikes)
            if self.constant and source_name == "input"
            else source_spikes.shape[1]
        )  # an image has no steps
        own_spikes = [torch.zeros((samples, *self.shape), device=source_spikes.device)]
        state: Any = None
        for t in range(1, self.steps + 1):
            with_own = {**fired, self.name: own_spikes}
            currents = [
                self._weighed(number, with_own, t - 1, t)[0] if current is None else current[t - 1]
                for number, current in enumerate(outside_currents)
            ]
            spikes, state = fire_step(
                self.neuron,
                self.gain,
                sum(currents[1:], currents[0]),
                t,
                own_spikes[-1],
                state,
                self.width,
            )
            own_spikes.append(spikes)
        return torch.stack(own_spikes)


def _later(spikes: Steps, start: int, stop: int, delay: int) -> Tensor:
    """The spikes that arrive at steps start + 1 … stop, each `delay` steps after it was fired.

    Parameters
    ----------
    spikes : of all steps from 0 on; `spikes[t]` are those of step t, in a list or a tensor

    Returns
    -------
    (stop - start, …): row 0 is what arrives at step start + 1; zeros before the first spikes arrive
    """
    silent_steps, fired_steps = arriving(range(start + 1, stop + 1), delay)
    if isinstance(spikes, list):
        silence = [torch.zeros_like(spikes[0])] * silent_steps
        return torch.stack([*silence, *spikes[fired_steps]])
    arrived = spikes[fired_steps]
    if not silent_steps:
        return arrived
    return torch.cat([spikes.new_zeros((silent_steps, *spikes.shape[1:])), arrived])


def constant_parameter(weight: object) -> nn.Parameter:
    """Weights that have no gradient."""
    return nn.Parameter(torch.tensor(np.asarray(weight)), requires_grad=False)


@checked_arguments
@usual_defaults()
def to_torch(network: Network | Checkpoint | str, seed: int = 0) -> nn.Module:
    """A torch module that is a network: images in, class scores out, with gradients.

    What it computes is what the backends do in float32. A spike's derivative is that of its
    surrogate (see `pipeline/networks/differentiable.py`), and Poisson spikes and the rounding of
    currents have the gradient of their mean. So methods that ask a model again, or its gradients,
    can be used: captum's, Quantus' faithfulness, attacks.

    Parameters
    ----------
    network : in float32, which takes images; a checkpoint, or its name
    seed : of the Poisson spikes: image number i of a batch always draws the same random numbers

    Returns
    -------
    a module: (B, C, H, W) float32, preprocessed as the checkpoint says, -> (B, classes) float32, as
        `readout / T`

    Raises
    ------
    InputError : if the network is in fixed point, takes no images, or has loops through several
        layers; from the module, if images are of another shape

    Examples
    --------
    >>> import spikesam, torch
    >>> model = spikesam.to_torch("residual-digits")
    >>> images = torch.rand(2, *model.image_shape, requires_grad=True)
    >>> model(images)[:, 3].sum().backward()
    >>> images.grad.shape == images.shape
    True
    """
    loaded: Any = load(network) if isinstance(network, str) else network
    graph = getattr(loaded, "network", loaded)
    if not isinstance(graph, Network):
        raise NetworkError(
            f"to_torch: got {type(network).__name__}, expected a Network, a checkpoint or its name"
        )
    if not graph.takes_images:
        raise NetworkError(
            f"to_torch: the network takes {graph.encoder}, expected one that takes images"
        )
    return _ImageModule(graph, seed).eval()


class _ImageModule(nn.Module):
    """See :func:`to_torch`. `image_shape` is (C, H, W)."""

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__()
        self.spiking, self.seed = DifferentiableNetwork(network), seed
        channels, *sides = network.input_shape
        self.image_shape = channels // (2 if network.encoder == "poisson" else 1), *sides

    def forward(self, images: Tensor) -> Tensor:
        """The class scores of images."""
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            expected = ", ".join(map(str, self.image_shape))
            raise NetworkError(
                f"to_torch: got images of {tuple(images.shape)}, expected (B, {expected})"
            )
        encoded = encode_straight_through(
            self.spiking.network, images.cpu(), self.seed, range(len(images))
        )
        return self.spiking.logits(encoded.to(self.spiking.readout.device)).to(images.device)


def encode_straight_through(
    network: Network, images: Tensor, seed: int, indices: Sequence[int] | NDArray[np.int64]
) -> Tensor:
    """The input of a network, exactly as it is simulated, with the gradient of its expectation.

    Images are (B, C, H, W) float32, preprocessed, on the CPU. The input is float32, (T, B, 2C, H,
    W) of 0 and 1; or (B, C, H, W), for a constant current in -127 … 127, of an ANN in -1 … 1.
    """
    if network.encoder in ("image", "constant-current"):
        largest = network.input_range
        unit = 1 if network.encoder == "image" else PIXEL_LIMIT
        expected = images.clamp(-largest, largest) * (unit / largest)
    else:
        expected = torch.cat([images.clamp(0, 2), (-images).clamp(0, 2)], dim=1) / 2
    encoded = torch.from_numpy(unpacked(encode(network, images.detach().numpy(), seed, indices)))
    return encoded.to(torch.float32) + (expected - expected.detach())
