"""snnTorch: record a network, see what it looks at, and run it on Lava."""

import torch
from digits import draw, held_out, train
from snntorch import Leaky, utils
from torch import nn

import spikesam

torch.manual_seed(0)
model = nn.Sequential(
    *[nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), Leaky(beta=0.9, init_hidden=True)],
    *[nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2), Leaky(beta=0.9, init_hidden=True)],
    *[nn.Flatten(), nn.Linear(256, 10), Leaky(beta=0.9, init_hidden=True)],
)


def run(spikes):
    utils.reset(model)
    return torch.stack([model(step) for step in spikes])


train(run, model)
spikes, labels = held_out(4)
with torch.no_grad(), spikesam.record(model, "runs/snntorch", overwrite=True) as recording:
    recording.finish(run(spikes), labels=labels)
draw(spikesam.explain(recording.raster, overwrite=True), "runs/snntorch/maps.png")

network = spikesam.from_torch(model, spikes)
print(spikesam.compare(model, network, spikes, labels, backends=("event", "torch", "lava")))
