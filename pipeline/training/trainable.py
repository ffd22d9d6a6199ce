"""Networks that can be trained, spiking with BNTT or an ANN, of one VGG-like list; and each as a
plain `Network`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import snntorch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikesam.backends.network import (
    LIF,
    Input,
    Layer,
    Network,
    Neuron,
    Readout,
    ReLU,
    Shape,
    Source,
)
from spikesam.backends.torch.synapses import attended_maps, without_autocast
from spikesam.common.errors import InputError, at
from spikesam.pipeline.config import NetworkSection
from spikesam.pipeline.networks.firing import fire, fire_step
from spikesam.pipeline.networks.layer_list import (
    AttentionPlan,
    ConvPlan,
    DensePlan,
    LayerPlan,
    count_inputs,
    plan_depths,
    plan_layers,
)
from spikesam.pipeline.training._fused import bntt_lif, compile_bntt_lif, pooling
from spikesam.pipeline.training._spike_convolution import (
    compile_spike_convolution,
    convolve_spikes,
    pays,
)

BNTT_EPSILON = 1e-4
NO_GAIN = np.ones((1, 1))  # BNTT is apart
RECURRENT_GAIN = 0.5  # of the orthogonal weights that training begins with
ATTENTION_GAIN = 0.125  # Spikformer's scale of q · kᵀ · v, in place of BNTT


class Convolution(nn.Conv2d):
    """Trained weights of a convolution of maps."""

    normalise = staticmethod(snntorch.BatchNormTT2d)
    gain = 1.0

    def currents(self, maps: Tensor, sparse: bool) -> Tensor:
        """The currents of maps (N, C, H, W); `sparse` ones may be added spike by spike."""
        maps = maps.contiguous(memory_format=torch.channels_last)  # by far the fastest on CPUs
        if sparse and pays(maps, self.weight):
            return convolve_spikes(maps, self.weight, self.weight.shape[2] // 2)
        return self(maps)

    @staticmethod
    def joined(sources: Sequence[Tensor]) -> Tensor:
        """The spikes of several layers, summed."""
        return sum(sources[1:], sources[0])


class Matrix(nn.Linear):
    """Trained weights of a matrix product with flattened maps."""

    normalise = staticmethod(snntorch.BatchNormTT1d)
    gain = 1.0
    joined = staticmethod(Convolution.joined)

    def currents(self, maps: Tensor, _sparse: bool) -> Tensor:
        """The currents of maps (N, C, H, W)."""
        return self(maps.flatten(1))


class ProductModule(nn.Module):
    """Attention to the channels of q, k and v, which has no weights and no BNTT."""

    normalise = weight = None
    gain = ATTENTION_GAIN

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def currents(self, maps: Tensor, _sparse: bool) -> Tensor:
        """The currents of maps (N, 3·C, H, W)."""
        with without_autocast():
            products = ATTENTION_GAIN * attended_maps(
                maps.float().flatten(2).mT, self.heads, maps.shape[1] // 3
            )
        return products.mT.unflatten(2, maps.shape[2:])

    @staticmethod
    def joined(sources: Sequence[Tensor]) -> Tensor:
        """The spikes of several layers, (T, B, C, H, W), channels one behind the other."""
        return torch.cat(list(sources), 2)


def untrained(plan: LayerPlan, inputs: int) -> Convolution | Matrix | ProductModule:
    """The synapses of a planned layer of so many input channels or features."""
    match plan:
        case ConvPlan():
            padding = plan.side // 2
            return Convolution(inputs, plan.outputs, plan.side, padding=padding, bias=False)
        case DensePlan():
            return Matrix(inputs, plan.outputs, bias=False)
        case AttentionPlan():
            return ProductModule(plan.heads)
    raise TypeError(f"{plan.name} is a {type(plan).__name__}, expected a plan of a known kind")


class TrainableLayer(nn.Module):
    """Average pooling, synapses without bias, BNTT and LIF neurons, silent for its first `depth`
    steps.
    """

    def __init__(
        self, plan: LayerPlan, inputs: int, depth: int, network: NetworkSection, fused: bool
    ) -> None:
        super().__init__()
        self.pool, self.pool_after = plan.pool, 1
        self.reads_spikes = False  # of one layer that normalises, not pooled
        self.depth = depth
        with at(plan.name):
            self.neuron = LIF(network.leak, network.threshold).of_channels(plan.outputs)
        self.fused = fused
        self.bntt = self.back = None
        if isinstance(plan, DensePlan) and plan.recurrent:
            self.back = nn.Linear(plan.outputs, plan.outputs, bias=False)
            nn.init.orthogonal_(self.back.weight, RECURRENT_GAIN)
        self.synapses = untrained(plan, inputs)
        for weight in self.synapses.parameters():
            nn.init.kaiming_normal_(weight)
        if network.normalise and self.synapses.normalise is not None:
            self.bntt = self.synapses.normalise(plan.outputs, network.timesteps, eps=BNTT_EPSILON)

    def forward(self, early: Tensor, late: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes that arrive from step `depth` on -> spikes of these steps; no gradient passes the
        `late` ones.

        They are pooled behind the neurons where the only layer that reads them would pool them.
        """
        first_late = self.depth + len(early)
        if self.back is not None:
            return self._step_by_step(early, late)
        if self.fused and self.training and self.bntt is not None and early.device.type == "cpu":
            early, membrane = self._fused(early, self.depth, None)
            if len(late):
                with torch.no_grad():
                    late, _ = self._fused(late, first_late, membrane)
            return early, late
        currents = self._normalised(early, self.depth)
        with torch.no_grad():
            of_late = self._normalised(late, first_late) if len(late) else None
        spikes = _pooled(fire(self.neuron, NO_GAIN, currents, of_late), self.pool_after)
        return spikes[1 : 1 + len(early)], spikes[1 + len(early) :].detach()

    def _step_by_step(self, early: Tensor, late: Tensor) -> tuple[Tensor, Tensor]:
        """The neurons' spikes where they read their own of the step before."""
        assert self.back is not None
        currents, state = self._normalised(early, self.depth), None
        with torch.no_grad():
            of_late = self._normalised(late, self.depth + len(early)) if len(late) else late[:0]
        fired = [torch.zeros_like(currents[0])]
        for t, current in enumerate([*currents, *of_late], 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and t <= len(early)):
                driven = current + self.back(fired[-1])
                spikes, state = fire_step(
                    self.neuron,
                    NO_GAIN,
                    driven[..., None, None],
                    t,
                    fired[-1][..., None, None],
                    state,
                )
                fired.append(spikes[..., 0, 0])
        spikes = torch.stack(fired[1:])
        return spikes[: len(early)], spikes[len(early) :].detach()

    def _currents(self, spikes: Tensor, sparse: bool = False) -> Tensor:
        maps = _pooled(spikes, self.pool).flatten(0, 1)
        return self.synapses.currents(maps, sparse).unflatten(0, spikes.shape[:2])

    def _norms(self, steps: int, step: int) -> list[Any]:
        """BNTT of so many steps from `step` on, by the step of the input."""
        return list(cast(nn.ModuleList, self.bntt))[step - 1 : step - 1 + steps]

    def _normalised(self, spikes: Tensor, step: int) -> Tensor:
        """The neurons' currents of spikes that arrive from `step` on: (T, B, …) float32."""
        currents = self._currents(spikes).float()
        if self.bntt is None:
            return currents
        norms = self._norms(len(spikes), step)
        return torch.stack([norm(current) for norm, current in zip(norms, currents, strict=True)])

    def _fused(self, spikes: Tensor, step: int, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """From `step` on: spikes that arrive -> spikes fired, and the membrane at the end."""
        sparse = self.reads_spikes and spikes.dtype == torch.float32
        channels_last = self._currents(spikes, sparse).movedim(2, -1)
        rows = channels_last.flatten(1, -2)
        norms = self._norms(len(spikes), step)
        scale = torch.stack([norm.weight for norm in norms])
        _, samples, *space, channels = channels_last.shape
        height, width = space or (1, 1)
        windows = pooling(samples, height, width, self.pool_after)
        fired, membrane, mean, variance = bntt_lif(
            rows, scale, BNTT_EPSILON, self.neuron.leak, self.neuron.threshold, membrane, windows
        )
        count = rows.shape[1]
        if count < 2:  # as torch's own batch normalisation
            raise ValueError("BNTT: got one value per channel and step, expected more in training")
        for norm, batch_mean, batch_variance in zip(
            norms, mean, variance * (count / (count - 1)), strict=True
        ):
            norm.running_mean.lerp_(batch_mean, norm.momentum)
            norm.running_var.lerp_(batch_variance, norm.momentum)
            norm.num_batches_tracked += 1
        pooled = (side // self.pool_after for side in space)
        return fired.reshape(-1, samples, *pooled, channels).movedim(-1, 2), membrane


def _pooled(spikes: Tensor, side: int) -> Tensor:
    """Averages over side × side pixels of (T, B, C, H, W)."""
    if side == 1:
        return spikes
    return functional.avg_pool2d(spikes.flatten(0, 1), side).unflatten(0, spikes.shape[:2])


class SpikingNetwork(nn.Module):
    """Layers as planned and an accumulating readout, for images or input spikes of (C, H, W) =
    `shape`.
    """

    def __init__(
        self,
        network: NetworkSection,
        shape: Shape,
        classes: int,
        dropout: float = 0.0,
        fused: bool = False,
    ) -> None:
        super().__init__()
        plans = plan_layers(network.layers)
        self.depths = plan_depths(plans)
        self.depth = self.depths[plans[-1].name]
        if network.timesteps <= self.depth:
            raise InputError(
                f"network.timesteps is {network.timesteps}, but {self.depth} layers delay the "
                "image by as many steps; "
                f"expected at least {self.depth + 1}, better twice that"
            )
        self.plans = plans
        self.timesteps = network.timesteps
        self.encoder = network.encoder
        self.normalise = network.normalise
        self.input_shape = shape
        self.dropout = dropout
        inputs = count_inputs(plans, shape)
        self.layers = nn.ModuleList(
            TrainableLayer(plan, count, self.depths[plan.name], network, fused)
            for plan, count in zip(plans, inputs, strict=True)
        )
        self._connect()
        self.readout = nn.Linear(plans[-1].outputs, classes, bias=False)

    def _connect(self) -> None:
        """Let layers pool their own spikes where one other alone reads them; tell who reads one's
        spikes unpooled.
        """
        by_name: dict[str, Any] = dict(
            zip((plan.name for plan in self.plans), self.layers, strict=True)
        )
        reads = [
            plan.reads or (previous,)
            for previous, plan in zip(["input", *by_name], self.plans, strict=False)
        ]
        for plan, (name, *further_names) in zip(self.plans, reads, strict=True):
            sole_reader = (
                not further_names and sum(name in layer_reads for layer_reads in reads) == 1
            )
            if name in by_name and sole_reader and not (plan.flattens and self.dropout):
                by_name[name].pool_after, by_name[plan.name].pool = (
                    plan.pool,
                    1,
                )  # unpooled maps never reach memory
            normalises = name in by_name and by_name[name].bntt is not None
            by_name[plan.name].reads_spikes = (
                not plan.flattens and plan.pool == 1 and normalises and not further_names
            )

    def forward(self, spikes: Tensor) -> Tensor:
        """Input spikes (T, B, C, H, W), signed ones of images in {-1, 0, 1} or bits -> logits (B,
        classes).

        Each of L layers delays by a step, so only the first T - L steps of the input, and as many
        of every layer, reach the readout. Later ones are worked out in training alone, without
        gradient, for BNTT's statistics. Where a layer reads several, the delays bring the spikes of
        one input step together.
        """
        reach = self.timesteps - self.depth
        early, late = spikes[:reach], spikes[reach:]
        if not (self.training and self.normalise):
            late = late[:0]
        fired, previous = {"input": (early, late)}, "input"
        layers = cast("Iterable[TrainableLayer]", self.layers)
        for plan, layer in zip(self.plans, layers, strict=True):
            in_time = self.depth - self.depths[plan.name]
            sources = [
                (early, late[:in_time])
                for early, late in (fired[name] for name in plan.reads or (previous,))
            ]
            by_phase = zip(*sources, strict=True)
            arriving = [layer.synapses.joined(parts) for parts in by_phase]
            previous = plan.name
            fired[previous] = layer(*(self._drop(*arriving) if plan.flattens else arriving))
        (early,) = self._drop(fired[previous][0])
        return self.readout(early.float().sum(0)) / self.timesteps

    def _drop(self, *spikes: Tensor) -> tuple[Tensor, ...]:
        if not self.training or not self.dropout:
            return spikes
        dropout_mask = functional.dropout(torch.ones_like(spikes[0][0]), self.dropout)
        return tuple(part * dropout_mask for part in spikes)


def compile_operations(dtype: torch.dtype) -> None:
    """Compile what fused training calls with currents of a type, or load it from numba's cache."""
    compile_bntt_lif(dtype)
    if dtype == torch.float32:
        compile_spike_convolution()


def poisson(images: Tensor, timesteps: int, generator: torch.Generator | None = None) -> Tensor:
    """Signed Poisson spikes for training, on the images' device: (B, C, H, W) -> (T, B, C, H, W) in
    {-1, 0, 1}.
    """
    random = torch.rand((timesteps, *images.shape), device=images.device, generator=generator)
    return images.sign() * (random < images.abs() / 2)


class ReluNetwork(nn.Module):
    """Average pooling, synapses without bias, ReLU and dropout, for images (C, H, W) clipped to ±2
    and halved.
    """

    def __init__(
        self, layers: Sequence[int | str], shape: Shape, classes: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.plans = plan_layers(layers)
        if any(plan.needs_spikes for plan in self.plans):
            raise InputError(
                "network.layers: an ANN has neither attention, which multiplies spikes, nor time "
                "to read itself; set "
                'network.neuron = "lif"'
            )
        self.input_shape = shape
        self.dropout = dropout
        counts = count_inputs(self.plans, shape)
        self.synapses = nn.ModuleList()
        for plan, inputs in zip(self.plans, counts, strict=True):
            self.synapses.append(untrained(plan, inputs))
            for weight in self.synapses[-1].parameters():
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
        self.readout = nn.Linear(self.plans[-1].outputs, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, C, H, W) -> logits (B, classes)."""
        x = images.clamp(-2, 2) / 2
        for plan, synapse in zip(self.plans, self.synapses, strict=True):
            x = functional.avg_pool2d(x, plan.pool) if plan.pool > 1 else x
            if plan.flattens:
                x = functional.dropout(x.flatten(1), self.dropout, self.training)
            x = functional.relu(synapse(x))
        return self.readout(functional.dropout(x, self.dropout, self.training))


def export_network(model: SpikingNetwork | ReluNetwork) -> Network:
    """The float32 :class:`Network` that behaves as `model` does in evaluation.

    The first layer of a spiking network for images gets their ON and OFF planes with weights [W,
    -W]. BNTT becomes g = γ/√(σ²+ε), b = -g·μ per channel and step (Eq. 4).
    """
    shape, readout = model.input_shape, Readout(_numpy(model.readout.weight))
    if isinstance(model, ReluNetwork):
        layers = [
            _layer(plan, synapses.weight, ReLU())
            for plan, synapses in zip(model.plans, model.synapses, strict=True)
        ]
        return Network(shape, 1, tuple(layers), readout, "image")
    layers = [
        _spiking_layer(plan, layer, model.depths)
        for plan, layer in zip(model.plans, model.layers, strict=True)
    ]
    if model.encoder == "spikes":
        return Network(shape, model.timesteps, tuple(layers), readout, "spikes")
    first, *back = layers[0].inputs
    first = first.weighed(with_off_planes)
    layers[0] = Layer(layers[0].name, (first, *back), layers[0].neuron)
    return Network((2 * shape[0], *shape[1:]), model.timesteps, tuple(layers), readout)


def with_off_planes(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """W on signed input -> [W, -W] on its ON and OFF planes; a dense layer's inputs are
    channel-major too.
    """
    return np.concatenate([weight, -weight], axis=1)


def _layer(
    plan: LayerPlan, weight: Any, neuron: Neuron, gain: Any = 1, source: tuple[Source, ...] = ()
) -> Layer:
    synapse = plan.synapse(None if weight is None else _numpy(weight))
    return Layer(plan.name, Input(synapse, source, gain), neuron)


def _spiking_layer(plan: LayerPlan, layer: nn.Module, depths: Mapping[str, int]) -> Layer:
    assert isinstance(layer, TrainableLayer)
    gain, bias = (layer.synapses.gain, 0.0) if layer.bntt is None else _fold(layer.bntt)
    source = tuple(Source(name, depths[plan.name] - depths[name]) for name in plan.reads)
    neuron = LIF(layer.neuron.leak, layer.neuron.threshold, bias=bias)
    converted = _layer(plan, layer.synapses.weight, neuron, gain, source)
    if layer.back is None:
        return converted
    return replace(
        converted, inputs=(*converted.inputs, Input(_numpy(layer.back.weight), Source(plan.name)))
    )


def _fold(bntt: nn.ModuleList) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, C) gain and bias of a BNTT layer, in double precision."""
    scale, mean, variance = (
        np.stack([_numpy(getattr(norm, name)).astype(np.float64) for norm in bntt])
        for name in ("weight", "running_mean", "running_var")
    )
    gain = scale / np.sqrt(variance + BNTT_EPSILON)
    return gain, -gain * mean


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().float().numpy()
