"""Two ANNs of plain torch, as users have them: a ResNet-18 for photographs, and a VGG for digits in
clutter.

    python examples/own_ann.py --network resnet18 --data tiny-imagenet-200.zip --out
    resnet18.safetensors python examples/own_ann.py --network vgg --out vgg.safetensors

Trains one of them. Weights are rounded to float16 once, and the accuracy printed last is of the
rounded ones. Training goes on where it stopped. What examples/weights holds was made by these
commands; its README says more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

import spikesam
from spikesam.pipeline.config import read_config
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.images.selection import split_selection

WEIGHTS = Path(__file__).parent / "weights"
SIZES = {"resnet18": 64, "vgg": 80}  # of images, pixels
EPOCHS = {"resnet18": 30, "vgg": 4}
LEARNING_RATES = {"resnet18": 0.1, "vgg": 0.05}
BATCH, SCENES = 50, 8_000


class BasicBlock(nn.Module):
    """Two convolutions; what comes in is added before the last ReLU."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(before, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.relu1, self.relu2, self.shortcut = nn.ReLU(), nn.ReLU(), nn.Sequential()
        if stride > 1 or before != channels:
            projection = nn.Conv2d(before, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return self.relu2(
            self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + self.shortcut(x)
        )


def resnet18(width: int = 24) -> nn.Sequential:
    """ResNet-18 of a width, for images of 64×64: a stem of 3×3 with stride 2, and eight blocks."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    before = width
    for channels, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [BasicBlock(before, channels, stride), BasicBlock(channels, channels, 1)]
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def vgg(width: int = 16) -> nn.Sequential:
    """VGG of eight convolutions with maximum pooling, for images of 80×80."""
    layers: list[nn.Module] = []
    before = 3
    for channels in (width, 2 * width, 4 * width, 4 * width):
        for inputs in (before, channels):
            layers += [
                nn.Conv2d(inputs, channels, 3, 1, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        layers.append(nn.MaxPool2d(2))
        before = channels
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(25 * before, 128), nn.ReLU(), nn.Linear(128, 10)
    )


NETWORKS = {"resnet18": resnet18, "vgg": vgg}


def trained(name: str) -> nn.Sequential:
    """A network with the weights of this folder, in evaluation."""
    model = NETWORKS[name]()
    model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return model.eval()


def images(
    name: str, split: str, source: str | None = None, count: int | None = None
) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in -2 … 2 and labels of a split: "train", "val", or "held-out", which no
    training sees.
    """
    if name == "vgg":
        split = "selection" if split == "held-out" else split
        data = open_dataset(
            "cluttered-digits", split, size=count or (SCENES if split == "train" else 1000)
        )
    else:
        classes = read_config("tiny_imagenet_10_ann").data.classes
        data = open_dataset(
            source or "tiny-imagenet-200.zip", "val" if split == "val" else "train", classes
        )
        if split != "val":
            data = data.chosen(split_selection(data.labels, 0.1, 0)[split == "held-out"].tolist())
    if count:
        data = data.chosen(np.random.default_rng(0).permutation(len(data))[:count].tolist())
    prepare = spikesam.Preprocessing(SIZES[name], SIZES[name], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    pictures = [prepare.normalised(prepare.picture(item.image)[None]) for item in data]
    return torch.from_numpy(np.concatenate(pictures)), torch.tensor(data.labels)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of right answers, in %."""
    with torch.inference_mode():
        answers = torch.cat([model(some).argmax(1) for some in images.split(BATCH)])
    return 100 * float((answers == labels).float().mean())


def augment(images: Tensor, zoom: float, flip: bool) -> Tensor:
    """Crop each image at random to at least `1 - zoom` of its side, and mirror half of them."""
    side = 1 - zoom * torch.rand(len(images), 1)
    corner = (2 * torch.rand(len(images), 2) - 1) * (1 - side)
    mirror = torch.where(torch.rand(len(images), 1) < (0.5 if flip else 0), -1.0, 1.0)
    zero = torch.zeros_like(side)
    rows = [
        torch.cat([side * mirror, zero, corner[:, :1]], 1),
        torch.cat([zero, side, corner[:, 1:]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def train(model: nn.Module, name: str, images: Tensor, labels: Tensor, kept: Path) -> None:
    """SGD with one cycle of the learning rate; after every epoch the state is kept."""
    steps = EPOCHS[name] * (len(images) // BATCH)
    optimiser = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATES[name], steps, pct_start=0.2
    )
    parts, begin = {"model": model, "optimiser": optimiser, "schedule": schedule}, 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        begin = state.pop("epoch")
        for part, values in state.items():
            parts[part].load_state_dict(values)
    for epoch in range(begin, EPOCHS[name]):
        torch.manual_seed(epoch)
        losses = []
        for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            some = augment(images[batch], *((0.3, True) if name == "resnet18" else (0.1, False)))
            loss = functional.cross_entropy(model(some), labels[batch], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)
        torch.save(
            {"epoch": epoch + 1, **{part: value.state_dict() for part, value in parts.items()}},
            kept,
        )


def main() -> None:
    """Train one of the two and write its weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--data", help="zip of Tiny-ImageNet, for resnet18")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.manual_seed(0)
    model = NETWORKS[given.network]().to(memory_format=torch.channels_last)
    train(
        model,
        given.network,
        *images(given.network, "train", given.data),
        given.out.with_suffix(".pt"),
    )
    values = {key: value.contiguous() for key, value in model.state_dict().items()}
    rounded = {
        key: value.half() if value.is_floating_point() else value for key, value in values.items()
    }
    save_file(rounded, given.out)
    model.load_state_dict(rounded)
    model.eval()
    for split in ("held-out", "val"):
        print(f"{split}: {accuracy(model, *images(given.network, split, given.data)):.1f} %")


if __name__ == "__main__":
    main()
