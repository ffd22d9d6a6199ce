"""SpikingJelly, all steps at once: record a network, see what it looks at, and run it on Lava."""

import torch
from digits import draw, held_out, train
from spikingjelly.activation_based import functional, layer, neuron

import spikesam

torch.manual_seed(0)
model = torch.nn.Sequential(
    *[
        layer.Conv2d(1, 8, 3, padding=1, bias=False),
        layer.BatchNorm2d(8),
        neuron.LIFNode(),
        layer.MaxPool2d(2),
    ],
    *[
        layer.Conv2d(8, 16, 3, padding=1, bias=False),
        layer.BatchNorm2d(16),
        neuron.LIFNode(),
        layer.MaxPool2d(2),
    ],
    *[layer.Flatten(), layer.Linear(256, 10), neuron.IFNode()],
)
functional.set_step_mode(model, "m")


def run(spikes):
    functional.reset_net(model)
    return model(spikes)


train(run, model)
spikes, labels = held_out(4)
with torch.no_grad(), spikesam.record(model, "runs/spikingjelly", overwrite=True) as recording:
    recording.finish(run(spikes), labels=labels)
draw(spikesam.explain(recording.raster, overwrite=True), "runs/spikingjelly/maps.png")

network = spikesam.from_torch(model, spikes)
print(spikesam.compare(model, network, spikes, labels, backends=("event", "torch", "lava")))
