"""Shared by examples of SpikingJelly: scenes of crosses among brighter blocks, and layers on all
steps at once.
"""

import numpy as np
import torch
from matplotlib import pyplot as plt
from spikingjelly.activation_based import functional, layer, neuron, surrogate

import spikesam

torch.set_num_threads(1)  # tensors this small gain nothing from more

STEPS, SIDE = 4, 32
BACKGROUND, CROSS, BLOCK = range(3)
RATES = np.array([0.02, 0.6, 0.9])  # of firing, a step


def scenes(count, seed):
    """Spikes (T, N, 1, 32, 32), the class of each pixel (N, 32, 32), and of each scene the crosses
    (row, column, side).
    """
    random = np.random.default_rng(seed)
    classes, crosses = np.full((count, SIDE, SIDE), BACKGROUND), []
    for scene in classes:
        for _ in range(3):
            side, row, column = random.integers(3, 6), *random.integers(0, SIDE - 6, 2)
            scene[row : row + side, column : column + side] = BLOCK
        crosses.append([])
        for half in random.permutation(2)[: random.integers(1, 3)]:  # a cross left, right, or both
            side, row = random.choice([7, 9, 11]), random.integers(0, SIDE - 11)
            column = half * 16 + random.integers(0, 16 - side + 1)
            place = scene[row : row + side, column : column + side]
            place[:] = BACKGROUND
            place[side // 2] = place[:, side // 2] = CROSS
            crosses[-1].append((row, column, side))
    spikes = random.random((STEPS, count, 1, SIDE, SIDE)) < RATES[classes][None, :, None]
    return torch.from_numpy(spikes).float(), torch.from_numpy(classes), crosses


def conv(channels, filters, kernel=3, stride=1):
    """A convolution of all steps."""
    return layer.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False, step_mode="m")


def lif():
    """Leaky neurons of all steps."""
    options = {"tau": 1.5, "decay_input": False, "v_reset": None, "step_mode": "m"}
    return neuron.LIFNode(surrogate_function=surrogate.ATan(), **options)


def run(model, spikes):
    """The mean output over the steps, from rest."""
    functional.reset_net(model)
    return model(spikes).mean(0)


def train(model, loss_of, batches):
    """Train for some seconds, then leave the model in evaluation; `loss_of` takes a seed."""
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, batches)
    for batch in range(batches):
        loss = loss_of(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def explained(model, spikes, why, out):
    """The output for samples, and the relevance of their targets at the input, (N, 32, 32)."""
    with spikesam.record(model, out, why=why, layout="TB...", overwrite=True) as recording:
        recording.tap("input", spikes, "TB...")
        output = run(model, spikes)
        recording.finish(output, answers=None, images=spikes.mean(0))
    with spikesam.open_maps(f"{out}/why.h5") as maps:  # with signs; explain() keeps what raises it
        return output.detach(), torch.from_numpy(np.array(maps["input"].sum))


def draw(spikes, relevance, path, titles, mark=None):
    """Four samples above, their relevance below; `mark` draws on the axes of a column."""
    figure, axes = plt.subplots(2, 4, figsize=(9, 4.9), layout="constrained")
    for column, pair in enumerate(axes.T):
        values = relevance[column]
        limit = float(abs(values).max()) or 1
        pair[0].imshow(spikes[:, column, 0].mean(0), cmap="gray_r")
        pair[1].imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for axis in pair:
            axis.set(xticks=[], yticks=[])
            if mark:
                mark(axis, column)
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_title(title, loc="left", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
