"""sinabs, batch and steps in one axis: record a network, see what it looks at,
and run it on Lava.
"""

import sinabs.layers
import torch
from digits import STEPS, draw, held_out, train
from torch import nn

import spikesam

torch.manual_seed(0)
neurons = {"num_timesteps": STEPS, "spike_fn": sinabs.activation.SingleSpike}
model = nn.Sequential(
    *[
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        sinabs.layers.IAFSqueeze(**neurons),
        nn.AvgPool2d(2),
    ],
    *[
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        sinabs.layers.IAFSqueeze(**neurons),
        nn.AvgPool2d(2),
    ],
    *[nn.Flatten(), nn.Linear(256, 10, bias=False), sinabs.layers.IAFSqueeze(**neurons)],
)


def run(spikes):
    sinabs.reset_states(model)
    return model(spikes.transpose(0, 1).flatten(0, 1)).unflatten(0, (-1, STEPS)).transpose(0, 1)


train(run, model)
spikes, labels = held_out(4)
with torch.no_grad(), spikesam.record(model, "runs/sinabs", overwrite=True) as recording:
    recording.finish(run(spikes), labels=labels)
draw(spikesam.explain(recording.raster, overwrite=True), "runs/sinabs/maps.png")
network = spikesam.from_torch(model, spikes)
print(spikesam.compare(model, network, spikes, labels, backends=("event", "torch", "lava")))
