"""lava-dl, steps last: record a network, see what it looks at, and run it on Lava."""

import lava.lib.dl.slayer as slayer
import torch
from digits import draw, held_out, train
from torch import nn

import spikesam

torch.manual_seed(0)
neuron = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.1}
model = nn.Sequential(
    slayer.block.cuba.Conv(neuron, 1, 8, 3, stride=2, padding=1),
    slayer.block.cuba.Conv(neuron, 8, 16, 3, stride=2, padding=1),
    *[slayer.block.cuba.Flatten(), slayer.block.cuba.Dense(neuron, 256, 10)],
)


def run(spikes):  # (T, B, C, H, W) -> (B, C, H, W, T), and back
    return model(spikes.movedim(0, -1)).movedim(-1, 0)


train(run, model)
spikes, labels = held_out(4)
with (
    torch.no_grad(),
    spikesam.record(model, "runs/lava-dl", layer_delay=1, overwrite=True) as recording,
):
    recording.finish(run(spikes), labels=labels)
draw(spikesam.explain(recording.raster, overwrite=True), "runs/lava-dl/maps.png")

network = spikesam.from_torch(model, spikes, rounding=True)  # lava-dl rounds what leaks
print(spikesam.compare(model, network, spikes, labels, backends=("event", "torch", "lava")))
