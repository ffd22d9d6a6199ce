"""A recurrent network that reads a digit row by row: what it fires at one step comes back to it at
the next.
"""

import torch
from digits import IMAGES, LABELS, TRAINING
from snntorch import Leaky, RLeaky, utils
from torch import nn
from torch.nn import functional

import spikesam

torch.manual_seed(0)
model = nn.Sequential(
    *[nn.Linear(16, 64), RLeaky(beta=0.9, linear_features=64, init_hidden=True)],
    *[nn.Linear(64, 10), Leaky(beta=0.9, init_hidden=True)],
)
ROWS = (IMAGES > 0.5).float()[:, 0].movedim(1, 0)  # (16 steps, digits, 16)


def run(rows):
    utils.reset(model)
    return torch.stack([model(row) for row in rows])


optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
for _ in range(3):
    for batch in torch.randperm(TRAINING).split(50):
        loss = functional.cross_entropy(run(ROWS[:, batch]).sum(0), LABELS[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
model.eval()

rows, labels = ROWS[:, TRAINING : TRAINING + 8], LABELS[TRAINING : TRAINING + 8]
with torch.no_grad(), spikesam.record(model, "runs/recurrent", overwrite=True) as recording:
    recording.finish(run(rows), labels=labels)
print(recording.raster)
maps = spikesam.explain(recording.raster, overwrite=True)
maps.plot().savefig("runs/recurrent/maps.png", dpi=110)

network = spikesam.from_torch(model, rows)
print(network)
spikesam.draw_network(network).savefig("runs/recurrent/network.png")
print(spikesam.compare(model, network, rows, labels, backends=("event", "torch", "lava")))
