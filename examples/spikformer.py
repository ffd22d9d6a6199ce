"""Spikformer (Zhou et al. 2023), SpikingJelly's: digits in a corner, and where every layer of
tokens looks.

Trains for four minutes on one core, to 55 … 79 % of digits it had not seen, by the machine. Then
one digit moves through the four corners, and the maps of its tokens move with it. At the end the
model becomes a network, whose spikes in integers are the same on three backends.
"""

import re

import torch
from digits import draw, held_out, train
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model.spikformer import Spikformer

import spikesam

STEPS, SIDE = (
    4,
    32,
)  # steps; pixels of a picture, of which a patch of 4 × 4 becomes a token: 8 × 8 tokens
CORNERS = [(0, 0), (0, 16), (16, 0), (16, 16)]  # row and column of the digit's first pixel


def placed(spikes, corners):
    """(T, B, 1, 16, 16) -> (T, B, 1, 32, 32): each digit in its corner, nothing elsewhere."""
    pictures = spikes.new_zeros(*spikes.shape[:3], SIDE, SIDE)
    for sample, (row, column) in enumerate(corners):
        pictures[:, sample, :, row : row + 16, column : column + 16] = spikes[:, sample]
    return pictures


def run(pictures):
    functional.reset_net(model)
    return model(pictures)


def run_anywhere(spikes):
    return run(placed(spikes[:STEPS], [CORNERS[i] for i in torch.randint(4, (spikes.shape[1],))]))


torch.manual_seed(0)
size = {"embed_dims": 64, "num_heads": 4, "mlp_ratio": 2, "depths": 2}
model = Spikformer(STEPS, 1, SIDE, SIDE, patch_size=4, num_classes=10, **size)
train(run_anywhere, model, epochs=8)

spikes, labels = held_out(200)
with torch.no_grad():
    answers = run(placed(spikes[:STEPS], CORNERS * 50)).sum(0).argmax(1)
print(
    f"right on {(answers == labels).float().mean():.1%} of {len(labels)} digits that it had not "
    "seen"
)

modules = [name for name, module in model.named_modules() if isinstance(module, neuron.BaseNode)]
names = {
    name: re.sub(r"\W", "_", re.sub(r"patch_embed\.|attn\.|mlp\.|\.neuron$", "", name))
    for name in modules
}
one = spikes[:STEPS, :1].expand(-1, 4, -1, -1, -1)  # one digit, in each corner
with torch.no_grad(), spikesam.record(model, "runs/spikformer", names, overwrite=True) as recording:
    recording.finish(
        run(placed(one, CORNERS)), labels=labels[:1].expand(4), layout="TB..."
    )  # 4 steps, 4 samples
maps = spikesam.explain(recording.raster, overwrite=True)
draw(maps, "runs/spikformer/maps.png")

print("how much of each map lies in the corner of the digit; a quarter would be chance:")
for layer in maps:
    heat = torch.from_numpy(maps[layer].sum[:])
    heat = (
        heat - heat.flatten(1).median(1).values[:, None, None]
    ).abs()  # what differs from the empty places
    half = heat.shape[1] // 2
    corners = [
        heat[n, y // 16 * half :, x // 16 * half :][:half, :half]
        for n, (y, x) in enumerate(CORNERS)
    ]
    print(
        f"{layer:20}",
        " ".join(f"{corner.sum() / heat[n].sum():6.1%}" for n, corner in enumerate(corners)),
    )

moved = placed(one, CORNERS)
network = spikesam.from_torch(model, moved)  # attention and all, proven to fire the model's spikes
print(network)
print(
    spikesam.compare(
        model, network, moved, labels[:1].expand(4), backends=("event", "torch", "lava")
    )
)
