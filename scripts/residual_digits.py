"""Train the bundled residual network: `python scripts/residual_digits.py OUT`, a folder; it goes on
where it stopped.

A SEW-ResNet (Fang et al. 2021) for cluttered digits of 40×40 pixels: snnTorch's Leaky, T = 4, the
image as a constant current, the spikes of a shortcut added to those of each block. It leaves
`residual-digits.safetensors` and its log.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from snntorch import Leaky, surrogate, utils
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from spikesam.pipeline.images.datasets.cluttered_digits import ClutteredDigits

STEPS, EPOCHS, BATCH, SCENES = 4, 10, 50, 8000
PREPARATION = spikesam.Preprocessing(
    40, 40, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
)  # so that pixels lie in -2 … 2


def neuron() -> Leaky:
    """Leaky integrate-and-fire, with a wide surrogate."""
    return Leaky(beta=0.75, init_hidden=True, spike_grad=surrogate.atan(2.0))


class Block(nn.Module):
    """Two convolutions with neurons; the spikes of the shortcut are added to theirs."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm1, self.neuron1 = nn.BatchNorm2d(channels), neuron()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2, self.neuron2 = nn.BatchNorm2d(channels), neuron()
        self.conv3, self.norm3, self.shortcut = nn.Identity(), nn.Identity(), nn.Identity()
        if stride > 1 or before != channels:
            self.conv3 = nn.Conv2d(before, channels, 1, stride, bias=False)
            self.norm3, self.shortcut = nn.BatchNorm2d(channels), neuron()

    def forward(self, spikes: Tensor) -> Tensor:
        """(B, C, H, W), one step."""
        own = self.neuron1(self.norm1(self.conv1(spikes)))
        return self.neuron2(self.norm2(self.conv2(own))) + self.shortcut(
            self.norm3(self.conv3(spikes))
        )


def residual_network() -> nn.Sequential:
    """An image -> 10 numbers a step, to be averaged over the steps."""
    parts: dict[str, nn.Module] = {
        "conv": nn.Conv2d(3, 16, 5, 2, 2, bias=False),
        "norm": nn.BatchNorm2d(16),
        "stem": neuron(),
        "block1": Block(16, 32, 2),
        "block2": Block(32, 64, 2),
        "block3": Block(64, 64, 1),
        "pool": nn.AvgPool2d(5),
        "flatten": nn.Flatten(),
        "head": nn.Linear(64, 10),
    }
    return nn.Sequential(OrderedDict(parts))


def run(model: nn.Module, images: Tensor) -> Tensor:
    """Mean of the answers of all steps, (B, 10), for images (B, 3, 40, 40)."""
    utils.reset(model)
    return torch.stack([model(images) for _ in range(STEPS)]).mean(0)


def scenes(split: str, count: int) -> tuple[Tensor, Tensor]:
    """Images on the grid of a constant current, k/127·2, and labels."""
    data = ClutteredDigits(split, size=count)
    items = [data[position] for position in range(len(data))]
    images = torch.tensor(
        PREPARATION.normalised(np.stack([PREPARATION.picture(item.image) for item in items]))
    )
    return torch.round(images / 2 * 127) / 127 * 2, torch.tensor([item.label for item in items])


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of right answers."""
    model.eval()
    with torch.no_grad():
        answers = torch.cat([run(model, some).argmax(1) for some in images.split(BATCH)])
    return float((answers == labels).float().mean())


def train(model: nn.Module, out: Path) -> None:
    """Ten epochs, each of which is kept."""
    (images, labels), selection = scenes("train", SCENES), scenes("selection", 500)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, EPOCHS * (SCENES // BATCH))
    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    kept, log = out / "last.pt", ["epoch,training_loss,selection_accuracy"]
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        log = state.pop("log")
        for name, part in parts.items():
            part.load_state_dict(state[name])
    for epoch in range(len(log), EPOCHS + 1):
        random = torch.Generator().manual_seed(epoch - 1)
        model.train()
        losses = []
        for batch in torch.randperm(SCENES, generator=random).split(BATCH):
            down, right = torch.randint(-3, 4, (2,), generator=random).tolist()
            moved = torch.roll(images[batch], (down, right), (2, 3))
            loss = functional.cross_entropy(4 * run(model, moved), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        utils.reset(model)
        log.append(f"{epoch},{np.mean(losses):.4f},{accuracy(model, *selection):.4f}")
        print(log[-1], flush=True)
        utils.reset(model)
        torch.save({"log": log, **{name: part.state_dict() for name, part in parts.items()}}, kept)
    (out / "residual-digits.csv").write_text("\n".join(log) + "\n")


def main(out: Path) -> None:
    """Train, prove that the network fires what the model does, and save it in 8 bits a weight."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = residual_network()
    train(model, out)
    model.eval()
    utils.reset(model)
    network = spikesam.compact(
        spikesam.from_torch(model, scenes("selection", 8)[0], timesteps=STEPS)
    )
    digits = tuple("0123456789")
    spikesam.save(
        spikesam.Checkpoint(network, PREPARATION, digits, digits),
        out / "residual-digits.safetensors",
    )
    print(network)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
