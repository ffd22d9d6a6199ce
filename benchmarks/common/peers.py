"""The peers in simulation, given the network of the backends: other libraries, used as their
manuals do, and a loop in PyTorch alone.

snnTorch's neuron is this project's, so its spikes are too, but for rounding. The neurons of the
others fire at the threshold rather than above it, or reset before the leak rather than after it,
and their layers have no delay: other spikes, about as many, and the same work. Gains and biases are
folded into the weights, images are laid out channels last, which is the fastest for all in PyTorch
on CPUs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import snntorch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.common.environment import (
    COMPILED,
    INT8,
    LOOP,
    NEEDS,
    NORSE_COMPILED,
    ONNX,
    SPIKINGJELLY_COMPILED,
    missing_peer,
    missing_spikingjelly,
)
from benchmarks.common.networks import sides
from spikesam import LIF, Layer, Network
from spikesam.settings import NetworkSection
from spikesam.training import (
    BNTT_EPSILON,
    LayerPlan,
    count_inputs,
    native_type,
    plan_layers,
)

SURROGATE_SLOPE = 0.3  # of Eq. 8
Peer = Callable[[Tensor], Tensor]  # spikes (T, B, C, H, W) float32 -> readout (B, classes)


def peers(network: Network, names: Iterable[str] = NEEDS) -> dict[str, Peer]:
    """Those of these peers that are installed, by name; for networks in float32 of the same gains
    at each step.
    """
    return {name: BUILDERS[name](network) for name in names if not missing_peer(name)}


def spikingjelly() -> Any:
    """Its `activation_based` package, with the modules used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch.jit, which it uses
        from spikingjelly import activation_based
        from spikingjelly.activation_based import functional, layer, neuron, surrogate  # noqa: F401
    return activation_based


def spikingjelly_calls(
    model: nn.Module, given: Tensor, compiled: bool
) -> dict[str, Callable[[], Any]]:
    """Calls of a model of SpikingJelly's from rest, as it is and, if asked for and possible,
    through torch.compile.
    """
    functional = spikingjelly().functional

    @torch.inference_mode()
    def call(called: Any) -> Any:
        functional.reset_net(model)
        return called(given)

    ways: dict[str, Callable[[], Any]] = {"SpikingJelly": partial(call, model)}
    if compiled and not missing_peer(SPIKINGJELLY_COMPILED):
        ways[SPIKINGJELLY_COMPILED] = partial(call, torch.compile(model))
    return ways


def lif_node(leak: float, threshold: float, **options: Any) -> nn.Module:
    """SpikingJelly's leaky neurons, which take all steps at a time."""
    lif: Any = spikingjelly().neuron.LIFNode
    about = {
        "tau": 1 / (1 - leak),
        "decay_input": False,
        "v_threshold": threshold,
        "v_reset": None,
        "step_mode": "m",
    }
    neurons: nn.Module = lif(**about, **options)
    return neurons


class SnnTorchNetwork(nn.Module):
    """A loop over time; each layer gets what the one before it sent in the last step."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.synapses = nn.ModuleList(map(linear_of, network.layers))
        self.neurons: Any = nn.ModuleList(
            snntorch.Leaky(beta=neuron.leak, threshold=neuron.threshold)
            for neuron in (layer.spiking_neuron for layer in network.layers)
        )
        self.readout = readout(network)
        self.shapes = network.shapes

    @torch.inference_mode()
    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        membranes = [neuron.reset_mem() for neuron in self.neurons]
        sent = [torch.zeros(spikes.shape[1], *shape) for shape in self.shapes]
        fired = sent[-1].flatten(1)
        for arriving in spikes[:-1]:
            sent[0] = arriving
            for number in reversed(range(len(self.neurons))):
                current = self.synapses[number](sent[number])
                sent[number + 1], membranes[number] = self.neurons[number](
                    current, membranes[number]
                )
            fired += sent[-1].flatten(1)
        return self.readout(fired)


class Layered(nn.Module):
    """All steps of a layer, then the next layer: synapses of all steps and images in one call, then
    neurons.
    """

    def __init__(
        self,
        network: Network,
        neurons: Callable[
            [LIF], Callable[[Tensor], Tensor]
        ],  # of a layer, from currents (T, B, …) to spikes
        synapses: Callable[[Layer], Callable[[Tensor], Tensor]] = lambda layer: linear_of(
            layer
        ),  # (N, C, H, W) -> …
        dtype: torch.dtype = torch.float32,
        whole: bool = False,  # torch compiles all of it
    ) -> None:
        super().__init__()
        constants: list[Any] = [layer.spiking_neuron for layer in network.layers]
        self.steps = [
            (synapses(layer), neurons(each))
            for layer, each in zip(network.layers, constants, strict=True)
        ]
        self.parts = nn.ModuleList(
            part for pair in self.steps for part in pair if isinstance(part, nn.Module)
        )
        self.parts.to(dtype).eval()
        self.dtype, self.readout = dtype, readout(network)
        self.compute = torch.compile(self.fired) if whole else self.fired

    @torch.inference_mode()
    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        for part in self.parts:
            getattr(part, "reset", int)()
        fired = self.compute(spikes[:-1].to(self.dtype))
        return self.readout(fired.sum(0, dtype=torch.float32).flatten(1))

    def fired(self, fired: Tensor) -> Tensor:
        """(T, B, C, H, W) -> spikes of the last layer."""
        steps = len(fired)
        for synapses, neurons in self.steps:
            fired = neurons(synapses(fired.flatten(0, 1)).unflatten(0, (steps, -1)))
        return fired


class Neurons(nn.Module):
    """Those of a library that keep a state, which :meth:`reset` forgets; `axis` of time is 1 for
    some.
    """

    def __init__(self, neurons: Any, forget: str, axis: int = 0) -> None:
        super().__init__()
        self.neurons, self.axis, self.reset = neurons, axis, getattr(neurons, forget)

    def forward(self, currents: Tensor) -> Tensor:
        """(T, B, …) -> spikes."""
        fired: Tensor = self.neurons(currents.transpose(0, self.axis))
        return fired.transpose(0, self.axis)


def loop_neurons(neuron: LIF) -> Callable[[Tensor], Tensor]:
    """Step by step, in place: spikes are written over the currents that cause them."""

    def fire(currents: Tensor) -> Tensor:
        membrane = torch.zeros_like(currents[0])
        for current in currents:
            membrane.mul_(neuron.leak).add_(current)
            torch.ge(membrane, neuron.threshold, out=current)
            membrane.sub_(current, alpha=float(neuron.threshold))
        return currents

    return fire


def stepping(currents: Tensor, leak: float, threshold: float) -> Tensor:
    """:func:`loop_neurons` as torch.compile likes it: nothing is written twice."""
    membrane, fired = torch.zeros_like(currents[0]), []
    for current in currents.unbind():
        membrane = membrane * leak + current
        fired.append((membrane >= threshold).to(currents.dtype))
        membrane = membrane - threshold * fired[-1]
    return torch.stack(fired)


def compiled_neurons(neuron: LIF) -> Callable[[Tensor], Tensor]:
    """:func:`stepping` of all steps as one kernel of Inductor's."""
    return partial(compiled_stepping(), leak=float(neuron.leak), threshold=float(neuron.threshold))


@lru_cache
def compiled_stepping() -> Any:
    """One for all layers, so that equal shapes are compiled once."""
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(stepping, dynamic=False)


def norse_neurons(neuron: LIF) -> Callable[[Tensor], Tensor]:
    """LIFBox, whose currents Norse multiplies by what leaks in a step."""
    from norse.torch.functional.lif_box import (
        LIFBoxFeedForwardState,
        LIFBoxParameters,
        lif_box_feed_forward_step,
    )
    from norse.torch.functional.reset import reset_subtract
    from norse.torch.module.snn import SNN

    lost = 1 - float(neuron.leak)
    about = {
        "tau_mem_inv": torch.tensor(lost / 1e-3),
        "v_th": torch.tensor(float(neuron.threshold)),
    }
    parameters = LIFBoxParameters(**about, reset_method=reset_subtract)
    neurons = SNN(
        lif_box_feed_forward_step,
        lambda given: LIFBoxFeedForwardState(torch.zeros_like(given[0])),
        parameters,
    )
    return lambda currents: neurons(currents / lost)[0]


def sinabs_neurons(neuron: LIF) -> Callable[[Tensor], Tensor]:
    """LIF of one spike a step, at most."""
    from sinabs import layers
    from sinabs.activation import SingleSpike

    about: dict[str, Any] = {
        "spike_threshold": torch.tensor(float(neuron.threshold)),
        "norm_input": False,
    }
    return Neurons(
        layers.LIF(-1 / math.log(float(neuron.leak)), spike_fn=SingleSpike, **about),
        "reset_states",
        1,
    )


def spikingjelly_neurons(neuron: LIF) -> Callable[[Tensor], Tensor]:
    """LIFNode in multi-step mode."""
    return Neurons(lif_node(float(neuron.leak), float(neuron.threshold)), "reset")


def quantised(layer: Layer) -> tuple[nn.Sequential, Any, Tensor, Tensor, float]:
    """Modules before the weights, these in float32, in int8, their scales (O,), and how many spikes
    are pooled.
    """
    modules: list[Any] = list(linear_of(layer))
    *before, linear = modules
    rows = linear.weight.detach().flatten(1)
    scales = rows.abs().amax(1).clamp(min=1e-12) / 127
    weight = (rows / scales[:, None]).round().to(torch.int8).view_as(linear.weight).contiguous()
    area = float(layer.inputs[0].synapse.summed)
    return nn.Sequential(*before), linear, weight, scales, area


def onednn_synapses(layer: Layer) -> Callable[[Tensor], Tensor]:
    """Convolutions of oneDNN with counts and weights of 8 bits, through the operators of torch's
    quantization.
    """
    before, linear, weight, scales, area = quantised(layer)
    ops, zeros = torch.ops.onednn, torch.zeros(len(scales), dtype=torch.int64)
    dtype, bias = native_type(), linear.bias.detach()
    if isinstance(linear, nn.Linear):
        packed = ops.qlinear_prepack(weight, None)
        given: Any = (packed, scales, zeros, bias, 1.0, 0, dtype, "none", [], "")
        return lambda fired: ops.qlinear_pointwise(
            (before(fired) * area).to(torch.uint8), 1 / area, 0, *given
        )
    sides = list(linear.stride), list(linear.padding), [1, 1], 1
    packed = ops.qconv_prepack(weight, scales, 1 / area, 0, *sides, None)
    then: Any = (packed, scales, zeros, bias, *sides, 1.0, 0, dtype, "none", [], None)
    return lambda fired: ops.qconv2d_pointwise(
        (before(fired) * area).to(torch.uint8), 1 / area, 0, *then
    )


def onnx_synapses(layer: Layer) -> Callable[[Tensor], Tensor]:
    """ConvInteger and MatMulInteger of ONNX Runtime, on all cores."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    before, linear, weight, scales, area = quantised(layer)
    conv, sides = isinstance(linear, nn.Conv2d), dict[str, Any]()
    if conv:
        sides |= {
            "strides": list(linear.stride),
            "pads": 2 * list(linear.padding),
            "kernel_shape": weight.shape[2:],
        }
    shape = (1, -1, 1, 1) if conv else (1, -1)
    constants = {
        "w": (weight if conv else weight.T.contiguous()).numpy(),
        "scale": (scales / area).view(shape).numpy(),
        "bias": linear.bias.detach().view(shape).numpy(),
    }
    nodes = [
        helper.make_node("ConvInteger" if conv else "MatMulInteger", ["x", "w"], ["sums"], **sides),
        helper.make_node("Cast", ["sums"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.UINT8, [None] * weight.ndim)
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * weight.ndim)
    arrays = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "layer", [given], [found], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(fired: Tensor) -> Tensor:
        counts = (before(fired) * area).to(torch.uint8).contiguous()
        return torch.from_numpy(session.run(None, {"x": counts.numpy()})[0])

    return run


def jax_network(network: Network) -> Peer:
    """XLA compiles all of it: convolutions of all steps, then a scan over the steps of the
    neurons.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    linears: list[Any] = [linear_of(layer)[-1] for layer in network.layers]
    constants = [
        (jnp.asarray(each.weight.detach().numpy()), jnp.asarray(each.bias.detach().numpy()))
        for each in linears
    ]

    def fired(spikes: Any) -> Any:
        steps = len(spikes)
        for layer, (weight, bias) in zip(network.layers, constants, strict=True):
            (given,), neuron = layer.inputs, layer.spiking_neuron
            flat, (down, across) = spikes.reshape(-1, *spikes.shape[2:]), sides(given.synapse.pool)
            if down * across > 1:
                flat = lax.reduce_window(
                    flat, 0.0, lax.add, (1, 1, down, across), (1, 1, down, across), "VALID"
                )
                flat /= down * across
            if weight.ndim == 4:
                padding = [(border, border) for border in sides(given.synapse.padding)]
                currents = (
                    lax.conv_general_dilated(flat, weight, sides(given.synapse.stride), padding)
                    + bias[:, None, None]
                )
            else:
                currents = flat.reshape(len(flat), -1) @ weight.T + bias
            currents = currents.reshape(steps, -1, *currents.shape[1:])

            def step(membrane: Any, current: Any, neuron: Any = neuron) -> tuple[Any, Any]:
                membrane = membrane * float(neuron.leak) + current
                fires = (membrane >= float(neuron.threshold)).astype(jnp.float32)
                return membrane - float(neuron.threshold) * fires, fires

            _, spikes = lax.scan(step, jnp.zeros_like(currents[0]), currents)
        return spikes.sum(0)

    compiled, last = jax.jit(fired), readout(network)
    with torch.inference_mode():
        return lambda spikes: last(
            torch.from_numpy(np.array(compiled(spikes[:-1].numpy()))).flatten(1)
        ).detach()


BUILDERS: dict[str, Callable[[Network], Peer]] = {
    "snnTorch": lambda network: SnnTorchNetwork(network),
    "SpikingJelly": lambda network: Layered(network, spikingjelly_neurons),
    SPIKINGJELLY_COMPILED: lambda network: Layered(network, spikingjelly_neurons, whole=True),
    "Norse": lambda network: Layered(network, norse_neurons),
    NORSE_COMPILED: lambda network: Layered(network, norse_neurons, whole=True),
    "sinabs": lambda network: Layered(network, sinabs_neurons),
    "JAX": jax_network,
    LOOP: lambda network: Layered(network, loop_neurons, dtype=native_type()),
    COMPILED: lambda network: Layered(network, compiled_neurons, dtype=native_type()),
    INT8: lambda network: Layered(network, loop_neurons, onednn_synapses, native_type()),
    ONNX: lambda network: Layered(network, loop_neurons, onnx_synapses),
}


def as_tensor(spikes: NDArray[np.bool_]) -> Tensor:
    """(T, B, C, H, W) float32, each image with its channels last."""
    tensor = torch.from_numpy(spikes).float()
    return (
        tensor.flatten(0, 1)
        .contiguous(memory_format=torch.channels_last)
        .unflatten(0, tensor.shape[:2])
    )


def linear_of(layer: Layer) -> nn.Sequential:
    """Function from the spikes of one step, (B, C, H, W), to currents of the next, gain and bias
    included.
    """
    (given,) = layer.inputs
    gain, bias = (torch.tensor(rows[0]).float() for rows in (given.gain, layer.spiking_neuron.bias))
    weight, synapse = torch.tensor(given.weight), given.synapse
    outputs, inputs, *kernel = weight.shape
    linear: Any
    modules: list[nn.Module] = [nn.AvgPool2d(synapse.pool)] if synapse.pool != 1 else []
    if kernel:
        linear = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), synapse.stride, synapse.padding)
    else:
        linear = nn.Linear(inputs, outputs)
        modules.append(nn.Flatten())
    linear.weight.data = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
    linear.bias.data = bias
    return nn.Sequential(*modules, linear).to(memory_format=torch.channels_last)


def readout(network: Network) -> nn.Linear:
    """From the summed spikes of the last layer, flattened."""
    linear = nn.Linear(network.readout.weight.shape[1], network.classes, bias=False)
    linear.weight.data = torch.tensor(network.readout.weight)
    return linear


class Surrogate(torch.autograd.Function):
    """Heaviside forward, piecewise-linear backward: ∂s/∂u = 0.3·max(0, 1 - |u|), with u = v/θ - 1
    (Eq. 8).
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        """Fire where u > 0."""
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Let the gradient through near the threshold."""
        (u,) = ctx.saved_tensors
        return gradients[0] * SURROGATE_SLOPE * (1 - u.abs()).clamp(min=0)


def training_peers(network: NetworkSection, size: int, classes: int) -> dict[str, nn.Module]:
    """Every peer that is installed, by name, for RGB images of a size: spikes (T, B, 3, H, W) ->
    logits.
    """
    found: dict[str, nn.Module] = {"snnTorch": SnnTorchTraining(network, size, classes)}
    if not missing_spikingjelly():
        found["SpikingJelly"] = SpikingJellyTraining(network, size, classes)
    return found


class SnnTorchTraining(nn.Module):
    """A loop over time, with a batch normalisation per step: the very function that this project
    trains.
    """

    def __init__(self, network: NetworkSection, size: int, classes: int) -> None:
        super().__init__()
        self.synapses: Any = nn.ModuleList()
        self.norms: Any = nn.ModuleList()
        self.neurons: Any = nn.ModuleList()
        plans = plan_layers(network.layers)
        for plan, inputs in zip(plans, count_inputs(plans, (3, size, size)), strict=True):
            norm = snntorch.BatchNormTT1d if plan.flattens else snntorch.BatchNormTT2d
            self.synapses.append(untrained_synapses(plan, inputs))
            self.norms.append(norm(plan.outputs, network.timesteps, eps=BNTT_EPSILON))
            self.neurons.append(
                snntorch.Leaky(
                    beta=network.leak,
                    threshold=network.threshold,
                    spike_grad=lambda distance: Surrogate.apply(distance / network.threshold),
                )
            )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        depth = len(self.neurons)
        membranes = [neuron.reset_mem() for neuron in self.neurons]
        sent = [spikes[0], *membranes]  # by each layer, the input first, in the last step
        counts = []
        for t in range(1, len(spikes)):
            for layer in reversed(range(min(t, depth))):
                current = self.norms[layer][t - 1](self.synapses[layer](sent[layer]))
                sent[layer + 1], membranes[layer] = self.neurons[layer](current, membranes[layer])
            sent[0] = spikes[t]
            if t >= depth:
                counts.append(sent[-1])
        return self.readout(torch.stack(counts).sum(0)) / len(spikes)


class SpikingJellyTraining(nn.Module):
    """Multi-step mode: all steps of a layer, then the next layer; one batch normalisation for all
    steps.
    """

    def __init__(self, network: NetworkSection, size: int, classes: int) -> None:
        super().__init__()
        self.library = spikingjelly()
        plans = plan_layers(network.layers)
        self.layers = nn.ModuleList()
        for plan, inputs in zip(plans, count_inputs(plans, (3, size, size)), strict=True):
            norm = nn.BatchNorm1d if plan.flattens else nn.BatchNorm2d
            triangle = self.library.surrogate.PiecewiseQuadratic(alpha=1.0)  # as Eq. 8
            neuron = lif_node(
                network.leak, network.threshold, surrogate_function=triangle, detach_reset=True
            )
            container = self.library.layer.SeqToANNContainer
            self.layers.append(
                nn.Sequential(
                    container(untrained_synapses(plan, inputs), norm(plan.outputs, BNTT_EPSILON)),
                    neuron,
                )
            )
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) -> (B, classes)."""
        self.library.functional.reset_net(self)
        timesteps = len(spikes)
        for layer in self.layers:
            spikes = layer(spikes[:-1])
        return self.readout(spikes.sum(0)) / timesteps


def untrained_synapses(plan: LayerPlan, inputs: int) -> nn.Sequential:
    """Average pooling, then a convolution or matrix product without bias."""
    front: list[nn.Module] = [nn.AvgPool2d(plan.pool)] if plan.pool > 1 else []
    if plan.flattens:
        return nn.Sequential(*front, nn.Flatten(), nn.Linear(inputs, plan.outputs, bias=False))
    return nn.Sequential(*front, nn.Conv2d(inputs, plan.outputs, 3, padding=1, bias=False))
