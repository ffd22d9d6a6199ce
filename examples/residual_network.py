"""A residual network: the spikes of each block's shortcut are added to its own, as in SEW-ResNet
(Fang et al. 2021).
"""

import torch
from digits import draw, held_out, train
from snntorch import Leaky, utils
from torch import nn

import spikesam


class Block(nn.Module):
    """Two convolutions; what comes in is added to what they fire."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.neuron1 = (
            nn.Conv2d(channels, channels, 3, padding=1),
            Leaky(beta=0.9, init_hidden=True),
        )
        self.conv2, self.neuron2 = (
            nn.Conv2d(channels, channels, 3, padding=1),
            Leaky(beta=0.9, init_hidden=True),
        )

    def forward(self, spikes):
        """(B, C, H, W), one step."""
        return self.neuron2(self.conv2(self.neuron1(self.conv1(spikes)))) + spikes


torch.manual_seed(0)
model = nn.Sequential(
    *[nn.Conv2d(1, 12, 3, stride=2, padding=1), Leaky(beta=0.9, init_hidden=True)],
    *[Block(12), Block(12)],
    *[nn.Conv2d(12, 24, 3, stride=2, padding=1), Leaky(beta=0.9, init_hidden=True)],
    *[nn.Flatten(), nn.Linear(384, 10), Leaky(beta=0.9, init_hidden=True)],
)


def run(spikes):
    utils.reset(model)
    return torch.stack([model(step) for step in spikes])


train(run, model)
spikes, labels = held_out(4)
with torch.no_grad(), spikesam.record(model, "runs/residual", overwrite=True) as recording:
    recording.finish(run(spikes), labels=labels)
draw(spikesam.explain(recording.raster, overwrite=True), "runs/residual/maps.png")

network = spikesam.from_torch(model, spikes)
print(network)
spikesam.draw_network(network).savefig("runs/residual/network.png")
print(spikesam.compare(model, network, spikes, labels, backends=("event", "torch", "lava")))
