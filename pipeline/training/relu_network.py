"""The trainable ANN: the list of layers that describes a spiking network, with ReLU in place of spikes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from spikesam.backends.network import Shape
from spikesam.pipeline.networks.layer_list import count_inputs, plan_layers
from spikesam.recordings.errors import InputError


class ReluNetwork(nn.Module):
    """Average pooling, synapses without bias, ReLU and dropout, for images (C, H, W) clipped to ±2 and halved."""

    def __init__(self, layers: Sequence[int | str], shape: Shape, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.plans = plan_layers(layers)
        if any(plan.heads or plan.recurrent for plan in self.plans):
            raise InputError(
                "network.layers: an ANN has neither attention, which multiplies spikes, nor time to read itself; set "
                'network.neuron = "lif"'
            )
        self.input_shape = shape
        self.dropout = dropout
        synapses: list[nn.Conv2d | nn.Linear] = []
        for plan, inputs in zip(self.plans, count_inputs(self.plans, shape), strict=True):
            if plan.kind == "conv":
                synapses.append(nn.Conv2d(inputs, plan.outputs, 3, padding=1, bias=False))
            else:
                synapses.append(nn.Linear(inputs, plan.outputs, bias=False))
            nn.init.kaiming_normal_(synapses[-1].weight, nonlinearity="relu")
        self.synapses = nn.ModuleList(synapses)
        self.readout = nn.Linear(self.plans[-1].outputs, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, C, H, W) -> logits (B, classes)."""
        x = images.clamp(-2, 2) / 2
        for plan, synapse in zip(self.plans, self.synapses, strict=True):
            x = functional.avg_pool2d(x, plan.pool) if plan.pool > 1 else x
            if plan.kind == "dense":
                x = functional.dropout(x.flatten(1), self.dropout, self.training)
            x = functional.relu(synapse(x))
        return self.readout(functional.dropout(x, self.dropout, self.training))
