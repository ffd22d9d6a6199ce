"""Why this pixel is a cross, and why the wheel turns: relevance of outputs that are no classes.

A small spiking U-Net names the class of each pixel, and a small network steers along a road. Both
train in about a minute of one core. `record(why=…)` explains one pixel's class, and the angle.
"""

import sys

import numpy as np
import torch
from scenes import CROSS, SIDE, STEPS, conv, draw, explained, lif, run, scenes, train
from spikingjelly.activation_based.layer import Linear
from torch import nn

BATCHES, SAMPLES = 400, 40


class UNet(nn.Module):
    """Spikes (T, B, 1, 32, 32) -> (T, B, 3, 32, 32), a score for each class of each pixel."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(conv(1, 12), lif())
        self.coarse = nn.Sequential(conv(12, 24, 5, 2), lif(), conv(24, 24), lif())
        self.joined = nn.Sequential(conv(36, 16), lif(), conv(16, 3, 1))

    def forward(self, spikes):
        """Join fine maps with coarse ones, which are enlarged."""
        fine = self.fine(spikes)
        coarse = self.coarse(fine).repeat_interleave(2, -1).repeat_interleave(2, -2)
        return self.joined(torch.cat([fine, coarse], 2))


def trained_unet(batches=BATCHES):
    """A U-Net that knows background, crosses and blocks."""
    torch.manual_seed(0)
    model = UNet()

    def loss_of(seed):
        spikes, classes, _ = scenes(8, seed)
        return nn.functional.cross_entropy(run(model, spikes), classes, torch.tensor([0.2, 1, 0.6]))

    return train(model, loss_of, batches)


def trained_steering(batches=BATCHES):
    """A network that gives the angle of a road, and one output alone."""
    torch.manual_seed(0)
    layers = [conv(1, 8, 5, 2), lif(), conv(8, 16, 3, 2), lif(), conv(16, 16, 3, 2), lif()]
    model = nn.Sequential(*layers, nn.Flatten(2), Linear(256, 1, bias=False, step_mode="m"))

    def loss_of(seed):
        spikes, angles = roads(16, seed)
        return nn.functional.mse_loss(run(model, spikes)[:, 0], angles)

    return train(model, loss_of, batches)


def roads(count, seed):
    """Spikes (T, N, 1, 32, 32) of two lines beside a road, among brighter blocks; angles (N,), -1
    to 1 from left to right.
    """
    random = np.random.default_rng(seed)
    angles, rates = random.uniform(-1, 1, count), np.full((count, SIDE, SIDE), 0.02)
    rows = np.arange(8, SIDE)
    ahead = (SIDE - 1 - rows) / 24  # 0 below, 1 at the horizon
    for scene, angle in zip(rates, angles, strict=True):
        for _ in range(3):
            side, row, column = random.integers(3, 6), *random.integers(0, SIDE - 6, 2)
            scene[row : row + side, column : column + side] = 0.9
        for line in (-1, 1):
            columns = 15.5 + 9 * angle * ahead**2 + line * (9 - 6 * ahead)
            scene[rows, np.clip(columns.round().astype(int), 0, SIDE - 1)] = 0.7
    spikes = random.random((STEPS, count, 1, SIDE, SIDE)) < rates[None, :, None]
    return torch.from_numpy(spikes).float(), torch.from_numpy(angles).float()


def share_within(relevance, places):
    """The share of each sample's relevance, of what raises the target, that lies in places."""
    raising = relevance.clamp(min=0).flatten(1)
    return (raising * places.flatten(1)).sum(1) / raising.sum(1)


def explain_pixels(batches=BATCHES, samples=SAMPLES):
    """The middle of a cross in each scene: how much of its relevance lies on crosses."""
    model = trained_unet(batches)
    spikes, classes, crosses = scenes(samples, 10**6)
    middles = torch.tensor(
        [[row + side // 2, column + side // 2] for (row, column, side), *_ in crosses]
    )
    rows, columns = middles.T

    def pixel(output):
        return output[torch.arange(len(output)), CROSS, rows, columns]

    output, relevance = explained(model, spikes, {"cross": pixel}, "runs/pixel")
    right = (output.argmax(1) == classes).float().mean()
    on_crosses = share_within(relevance, classes == CROSS)
    spikes_there = (spikes.sum((0, 2)) * (classes == CROSS)).sum((1, 2)) / spikes.sum((0, 2, 3, 4))
    print(f"pixel: {right:.0%} of the pixels of {samples} new scenes have the right class")
    print(
        f"{on_crosses.mean():.0%} of the relevance lie on crosses, "
        f"{spikes_there.mean():.0%} of the spikes"
    )

    def mark(axis, scene):
        axis.plot(columns[scene], rows[scene], "o", color="tab:green", fillstyle="none", ms=9)

    titles = "spikes of a scene, and a pixel", "relevance of its score as a cross (red raises it)"
    draw(spikes, relevance, "runs/pixel/pixel.png", titles, mark)
    return right, on_crosses, spikes_there


def explain_angles(batches=BATCHES, samples=SAMPLES):
    """What turns the wheel to the right."""
    model = trained_steering(batches)
    spikes, angles = roads(samples, 10**6)
    output, relevance = explained(
        model, spikes, {"angle": lambda output: output[:, 0]}, "runs/angle"
    )
    error = (output[:, 0] - angles).abs()
    print(f"angle: {error.mean():.2f} beside the right one, of -1 to 1, on {samples} new roads")
    total = relevance.sum((1, 2))
    print(f"relevance sums to the angle, to {(total - output[:, 0]).abs().max():.1e}")

    def mark(axis, road):
        axis.set_xlabel(
            f"angle {angles[road]:+.2f}, the network says {output[road, 0]:+.2f}", fontsize=8
        )

    titles = "spikes of a road", "relevance of the angle (red turns right, blue left)"
    draw(spikes, relevance, "runs/angle/angle.png", titles, mark)
    return error, total - output[:, 0]


if __name__ == "__main__":
    for part in sys.argv[1:] or ("pixels", "angles"):
        explain_pixels() if part == "pixels" else explain_angles()
