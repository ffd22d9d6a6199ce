"""Norse: record a network, see what it looks at, and run it on Lava."""

import norse.torch as norse
import torch
from digits import draw, held_out, train
from torch import nn

import spikesam

torch.manual_seed(0)
parameters = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.3))
model = norse.SequentialState(
    *[nn.Conv2d(1, 8, 3, padding=1), norse.LIFBoxCell(parameters), nn.AvgPool2d(2)],
    *[nn.Conv2d(8, 16, 3, padding=1), norse.LIFBoxCell(parameters), nn.AvgPool2d(2)],
    *[nn.Flatten(), nn.Linear(256, 10), norse.LIFBoxCell(parameters)],
)


def run(spikes):
    return norse.Lift(model)(spikes)[0]


train(run, model)
spikes, labels = held_out(4)
with torch.no_grad(), spikesam.record(model, "runs/norse", overwrite=True) as recording:
    recording.finish(run(spikes), labels=labels)
draw(spikesam.explain(recording.raster, overwrite=True), "runs/norse/maps.png")

network = spikesam.from_torch(model, spikes)
print(spikesam.compare(model, network, spikes, labels, backends=("event", "torch", "lava")))
